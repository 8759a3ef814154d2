from collections import Counter

import pytest

from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import WATCHERS, choose_watchers

HUNDRED = Candidates(f"node{number}" for number in range(100))
IN_THE_CIRCLE = ("node3", "node5", "node1", "node4", "node2")


def few(*names: str) -> tuple[Candidates, ...]:
    return (Candidates(names),)


@pytest.mark.parametrize(
    ("sets", "watchers"),
    [
        pytest.param([], set(), id="nobody where there is nothing to take over"),
        pytest.param([()], set(), id="nobody where nobody may"),
        pytest.param([few("a")], set(), id="nobody where the holder is the only one"),
        pytest.param([few("a", "b", "c")], {"b", "c"}, id="all others where they are few"),
        pytest.param([(Candidates("a"), Candidates("b"))], {"b"}, id="lesser nodes where there is none as good"),
        pytest.param([few("b", "c")], {"b", "c"}, id="also where the holder itself may not hold it any more"),
    ],
)
def test_who_watches(sets: list[tuple[Candidates, ...]], watchers: set[str]) -> None:
    assert set(choose_watchers("a", sets)) == watchers


def test_every_node_is_watched_by_as_many_as_it_watches() -> None:
    watching = Counter(one for holder in HUNDRED.nodes for one in choose_watchers(holder, [(HUNDRED,)]))
    assert set(watching.values()) == {WATCHERS}
    assert len(watching) == 100


def test_a_loss_changes_the_watchers_of_those_only_that_it_watched() -> None:
    lost = "node7"
    survivors = Candidates(node for node in HUNDRED.nodes if node != lost)
    for holder in survivors.nodes:
        before, after = (choose_watchers(holder, [(nodes,)]) for nodes in (HUNDRED, survivors))
        assert set(before) - {lost} <= set(after)
        assert len(set(after) - set(before)) == (lost in before)


def test_better_nodes_watch_first() -> None:
    better, lesser = Candidates(["a", *"bcde"]), HUNDRED
    assert set(choose_watchers("a", [(better, lesser)])[:4]) == set("bcde")


def test_every_address_gets_somebody_that_can_take_it_over() -> None:
    """Those that only one other node can serve come before those that anybody can."""
    anybody = Candidates([*HUNDRED.nodes, *"xbcdefghi"])
    rare = [few("x", name) for name in "bcdefghi"]
    assert set(choose_watchers("x", [(anybody,), *rare])) == set("bcdefghi")


def test_each_gets_a_second_one_before_any_gets_a_third() -> None:
    """Sets that have nothing in common share the places."""
    sets = [Candidates(f"{letter}{number}" for number in range(9)) for letter in "bcd"]
    watchers = choose_watchers("a", [(one,) for one in sets])
    assert sorted(sum(name in one for name in watchers) for one in sets) == [2, 3, 3]


def test_a_node_that_can_take_over_several_counts_for_each() -> None:
    watchers = choose_watchers("a", [few("a", "b", "c"), few("a", "b", "c", "d"), few("a", "b", "c", "d", "e")], most=2)
    assert set(watchers) == {"b", "c"}


def test_never_more_than_asked_for() -> None:
    assert len(choose_watchers("a", [few("a", f"node{number}") for number in range(20)])) == WATCHERS


def test_the_order_of_the_input_does_not_matter() -> None:
    sets = [few("a", "b"), (HUNDRED,), few("a", "c", "d")]
    assert choose_watchers("a", sets) == choose_watchers("a", sets[::-1])


def test_is_the_same_in_every_release() -> None:
    """Speakers of two releases watch each other during an upgrade, so the circle is part of the protocol."""
    assert choose_watchers("node0", [few(*IN_THE_CIRCLE)]) == IN_THE_CIRCLE
