from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.election.assignment import Assignment, Contest
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import WATCHERS, Tiers

NODES = tuple(f"node{number}" for number in range(1, 6))
BLOCKS: dict[str, list[Address]] = {
    "IPv4": [ip_network("198.51.100.0/22", strict=False)[number] for number in range(1000)],
    "IPv6": [ip_network("2001:db8::/64")[number] for number in range(1000)],
}


class CountedCandidates(Candidates):
    """Count how often an order was asked for."""

    asked = 0

    def first(self, address: Address) -> str:
        type(self).asked += 1
        return super().first(address)

    def rank(self, address: Address) -> tuple[str, ...]:
        type(self).asked += 1
        return super().rank(address)


@pytest.fixture
def assignment() -> Iterator[Assignment]:
    machine = Assignment()
    yield machine
    machine.check_invariants()


@pytest.fixture(params=list(BLOCKS))
def address(request: pytest.FixtureRequest) -> Address:
    return BLOCKS[request.param][100]


@pytest.fixture(params=list(BLOCKS))
def addresses(request: pytest.FixtureRequest) -> list[Address]:
    return BLOCKS[request.param]


def tiers(*names: Iterable[str]) -> Tiers:
    return tuple(Candidates(tier) for tier in names)


def first(address: Address, nodes: Iterable[str] = NODES) -> str:
    return Candidates(nodes).first(address)


def others(node: str) -> tuple[str, ...]:
    return tuple(one for one in NODES if one != node)


def deal(assignment: Assignment, contests: Iterable[Contest], now: float = 0.0) -> frozenset[Address]:
    for contest in contests:
        assignment.put(contest, now)
    return assignment.deal(now)


def holders(assignment: Assignment, addresses: Iterable[Address]) -> dict[Address, str | None]:
    return {address: assignment.holder(address) for address in addresses}


@pytest.mark.parametrize(
    ("candidates", "claims", "holder"),
    [
        pytest.param((), {}, None, id="without candidates nobody holds it"),
        pytest.param((), {"node2": 1}, None, id="nor does who says so"),
        pytest.param((NODES,), {}, "first", id="unclaimed it goes to the first in order"),
        pytest.param((NODES,), {"node4": 1}, "node4", id="who holds it keeps it"),
        pytest.param((("node1", "node2"),), {"node4": 1}, "first of tier 1", id="unless it may not any more"),
        pytest.param((NODES,), {"node4": 2, "node5": 1}, "node4", id="the highest term counts"),
        pytest.param((("node1", "node5"),), {"node4": 2, "node5": 1}, "node5", id="of those that may hold it"),
        pytest.param((("node1", "node2"), NODES[2:]), {}, "first of tier 1", id="unclaimed it goes to the best"),
        pytest.param((("node1", "node2"), NODES[2:]), {"node4": 1}, "node4", id="a lesser one keeps it too"),
        pytest.param((("node1",), NODES[1:]), {"node1": 1, "node2": 1}, "node1", id="of one term the better counts"),
        pytest.param((NODES,), dict.fromkeys(NODES, 3), "first", id="among equals the first in order"),
    ],
)
def test_who_holds_an_address(
    assignment: Assignment,
    address: Address,
    candidates: tuple[tuple[str, ...], ...],
    claims: Mapping[str, int],
    holder: str | None,
) -> None:
    deal(assignment, [Contest(address, tiers(*candidates), claims)])
    expected = {"first": lambda: first(address), "first of tier 1": lambda: first(address, candidates[0])}
    assert assignment.holder(address) == (expected[holder]() if holder in expected else holder)


def test_a_deal_tells_what_changed(assignment: Assignment, address: Address) -> None:
    holder = first(address)
    contest = Contest(address, tiers(NODES))
    assert deal(assignment, [contest]) == {address}
    assert deal(assignment, [contest]) == frozenset()
    assert deal(assignment, [Contest(address, contest.tiers, {holder: 1})]) == frozenset(), "as dealt before"
    assert deal(assignment, [Contest(address, contest.tiers, {others(holder)[0]: 2})]) == {address}
    assignment.remove(address)
    assert assignment.deal(0.0) == {address}
    assert assignment.holder(address) is None


def test_removing_what_is_not_there_changes_nothing(assignment: Assignment, address: Address) -> None:
    assignment.remove(address)
    assert assignment.deal(0.0) == frozenset()


def test_a_loss_moves_only_what_was_lost_and_a_return_moves_nothing(
    assignment: Assignment, addresses: list[Address]
) -> None:
    everybody, survivors = tiers(NODES), tiers(NODES[1:])
    deal(assignment, [Contest(one, everybody) for one in addresses])
    at_first = holders(assignment, addresses)
    moved = deal(assignment, [Contest(one, survivors, {str(at_first[one]): 1}) for one in addresses])
    assert moved == {one for one in addresses if at_first[one] == NODES[0]}
    meanwhile = holders(assignment, addresses)
    assert deal(assignment, [Contest(one, everybody, {str(meanwhile[one]): 2}) for one in addresses]) == frozenset()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 100])
def test_nobody_gets_more_than_a_quarter_above_its_share(
    assignment: Assignment, addresses: list[Address], count: int
) -> None:
    candidates = tiers(f"node{number}" for number in range(count))
    deal(assignment, [Contest(one, candidates) for one in addresses[:90]])
    most = max(Counter(holders(assignment, addresses[:90]).values()).values())
    assert most <= -(-90 * 5 // (count * 4))


def test_who_has_its_share_already_is_passed_over(assignment: Assignment, addresses: list[Address]) -> None:
    """A node that holds everything gets nothing more, until the others are at their bounds too."""
    candidates = tiers(NODES)
    loaded = first(addresses[0])
    wanting = [one for one in addresses if first(one) == loaded][:50]
    held = [one for one in addresses if one not in wanting][:200]
    deal(assignment, [Contest(one, candidates, {loaded: 1}) for one in held])
    deal(assignment, [Contest(one, candidates) for one in wanting])
    expected = {one: Candidates(others(loaded)).first(one) for one in wanting}
    assert holders(assignment, wanting) == expected


def test_nothing_moves_because_of_a_bound(assignment: Assignment, addresses: list[Address]) -> None:
    deal(assignment, [Contest(one, tiers(NODES), {"node1": 1}) for one in addresses])
    assert assignment.held_by("node1") == frozenset(addresses)


def test_different_candidates_have_one_bound_in_common(assignment: Assignment, addresses: list[Address]) -> None:
    """Ten addresses of the Local policy that only node1 can serve leave no room there for those that all can."""
    local, cluster = addresses[:10], addresses[10:20]
    deal(assignment, [Contest(one, tiers(["node1"]), {"node1": 1}) for one in local])
    everybody = tiers(NODES)
    deal(assignment, [Contest(one, everybody) for one in cluster])
    assert len(assignment.held_by("node1")) <= 15, "1.25 times (10 by Local and a fifth of 10), rounded up"
    many_local = [Contest(one, tiers(["node1", "node2"]), {"node1": 1}) for one in addresses[20:40]]
    deal(assignment, many_local)
    assert assignment.held_by("node1").isdisjoint(cluster)


def test_where_all_are_at_their_bounds_the_least_beyond_gets_it(assignment: Assignment) -> None:
    """Both nodes hold addresses that others are preferred for, so they have no room for one more; node2 has less."""
    block = BLOCKS["IPv4"]
    better = tiers(["node5"], ["node1", "node2"])
    deal(assignment, [Contest(one, better, {"node1": 1}) for one in block[:9]])
    deal(assignment, [Contest(one, better, {"node2": 1}) for one in block[9:14]])
    candidates = tiers(["node1", "node2"])
    last = next(one for one in block[14:] if candidates[0].first(one) == "node1")
    deal(assignment, [Contest(last, candidates)])
    assert assignment.holder(last) == "node2"


@pytest.mark.parametrize(
    ("preempt_after", "holder_at"),
    [
        pytest.param(None, {0.0: "node4", 1000.0: "node4"}, id="never unless asked for"),
        pytest.param(0.0, {0.0: "best"}, id="at once"),
        pytest.param(30.0, {0.0: "node4", 29.9: "node4", 30.0: "best", 31.0: "best"}, id="after a time"),
    ],
)
def test_a_better_node_replaces_the_holder(
    assignment: Assignment, address: Address, preempt_after: float | None, holder_at: dict[float, str]
) -> None:
    contest = Contest(address, tiers(NODES[:2], NODES[2:]), {"node4": 1}, preempt_after)
    for now, holder in holder_at.items():
        deal(assignment, [contest], now)
        assert assignment.holder(address) == (first(address, NODES[:2]) if holder == "best" else holder)


def test_the_delay_begins_anew_when_the_better_node_was_away(assignment: Assignment, address: Address) -> None:
    with_better, without = tiers(["node1"], ["node4"]), tiers(["node4"])
    deal(assignment, [Contest(address, with_better, {"node4": 1}, 30.0)], 0.0)
    assert assignment.next_deadline() == 30.0
    deal(assignment, [Contest(address, without, {"node4": 1}, 30.0)], 29.0)
    assert assignment.next_deadline() is None
    deal(assignment, [Contest(address, with_better, {"node4": 1}, 30.0)], 29.5)
    assert assignment.next_deadline() == 59.5
    assert assignment.deal(59.4) == frozenset()
    assert assignment.deal(59.5) == {address}


def test_the_delay_goes_on_when_another_lesser_node_takes_over(assignment: Assignment, address: Address) -> None:
    candidates = tiers(["node1"], ["node4", "node5"])
    deal(assignment, [Contest(address, candidates, {"node4": 1}, 30.0)], 0.0)
    deal(assignment, [Contest(address, candidates, {"node4": 1, "node5": 2}, 30.0)], 20.0)
    assert assignment.next_deadline() == 30.0


def test_a_deadline_that_was_met_is_over(assignment: Assignment, address: Address) -> None:
    """The better node may take a while to begin; that must not keep anybody busy."""
    candidates = tiers(["node1"], ["node4"])
    deal(assignment, [Contest(address, candidates, {"node4": 1}, 30.0)], 0.0)
    assignment.deal(30.0)
    assert assignment.next_deadline() is None
    assert assignment.holder(address) == "node1"
    deal(assignment, [Contest(address, candidates, {"node1": 2}, 30.0)], 31.0)
    assert (assignment.holder(address), assignment.next_deadline()) == ("node1", None)


def test_a_lesser_node_that_takes_an_unclaimed_address_gets_its_time(assignment: Assignment, address: Address) -> None:
    candidates = tiers(["node1"], ["node4"])
    deal(assignment, [Contest(address, candidates, {}, 30.0)], 0.0)
    deal(assignment, [Contest(address, candidates, {"node4": 1}, 30.0)], 1.0)
    assert (assignment.holder(address), assignment.next_deadline()) == ("node4", 31.0)


def test_preemption_that_is_turned_off_leaves_the_address_where_it_is(assignment: Assignment, address: Address) -> None:
    candidates = tiers(["node1"], ["node4"])
    deal(assignment, [Contest(address, candidates, {"node4": 1}, 30.0)], 0.0)
    assignment.deal(30.0)
    deal(assignment, [Contest(address, candidates, {"node4": 1}, None)], 31.0)
    assert assignment.holder(address) == "node4"


@pytest.mark.parametrize(
    ("claims", "term"),
    [
        pytest.param({}, 1, id="the first term is 1"),
        pytest.param({"node1": 3, "node2": 7}, 8, id="then one more than the highest"),
        pytest.param({"gone": 9}, 10, id="also of those that may not hold it"),
    ],
)
def test_terms_count_on(address: Address, claims: dict[str, int], term: int) -> None:
    assert Contest(address, tiers(NODES), claims).next_term == term


@pytest.mark.parametrize(
    ("node", "other", "prefers"),
    [
        pytest.param("node1", "node2", True, id="a better tier"),
        pytest.param("node2", "node1", False, id="a worse tier"),
        pytest.param("node2", "node3", False, id="the same tier"),
        pytest.param("node3", "node4", True, id="one that may not hold it at all"),
        pytest.param("node4", "node5", False, id="neither may"),
    ],
)
def test_a_contest_prefers_nodes_of_better_tiers(address: Address, node: str, other: str, prefers: bool) -> None:
    assert Contest(address, tiers(["node1"], ["node2", "node3"])).prefers(node, other) == prefers


def test_successors_are_those_that_may_the_better_first_without_the_holder(
    assignment: Assignment, address: Address
) -> None:
    deal(assignment, [Contest(address, tiers(["node5", "node1"], ["node2", "node3"]), {"node5": 1})])
    lesser = Candidates(["node2", "node3"]).rank(address)
    assert assignment.successors(address) == ("node1", *lesser)


def test_nobody_succeeds_where_nobody_holds(assignment: Assignment, address: Address) -> None:
    deal(assignment, [Contest(address)])
    assert assignment.successors(address) == ()


def test_successors_watch_the_holder(assignment: Assignment, addresses: list[Address]) -> None:
    """However many nodes there are, only some watch one holder, and the order differs from address to address."""
    candidates = tiers(f"node{number}" for number in range(100))
    deal(assignment, [Contest(one, candidates, {"node7": 1}) for one in addresses])
    watchers = assignment.watchers("node7")
    assert len(watchers) == WATCHERS
    assert {one for address in addresses for one in assignment.successors(address)[:1]} == set(watchers)
    assert all(sorted(assignment.successors(one)) == sorted(watchers) for one in addresses)
    assert {one for one in candidates[0].nodes if assignment.watched_by(one)} == set(watchers)


def test_nobody_watches_a_node_without_addresses(assignment: Assignment, address: Address) -> None:
    assert assignment.watchers("node1") == ()
    deal(assignment, [Contest(address, tiers(NODES), {"node1": 1})])
    assert set(assignment.watchers("node1")) == set(NODES[1:])
    deal(assignment, [Contest(address, tiers(NODES), {"node2": 2})])
    assert assignment.watchers("node1") == ()
    assert assignment.watched_by("node1") == {"node2"}


def test_watchers_follow_the_candidates(assignment: Assignment, address: Address) -> None:
    deal(assignment, [Contest(address, tiers(["node1", "node2"]), {"node1": 1})])
    assert assignment.watchers("node1") == ("node2",)
    deal(assignment, [Contest(address, tiers(["node1", "node3"]), {"node1": 1})])
    assert assignment.watchers("node1") == ("node3",)


def test_what_is_kept_costs_no_hashing(
    assignment: Assignment, addresses: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of one address, and the loss of a node, compute an order only for what they open."""
    monkeypatch.setattr(CountedCandidates, "asked", 0)
    candidates: Tiers = (CountedCandidates(NODES),)
    deal(assignment, [Contest(one, candidates, {"node4": 1}) for one in addresses])
    assert CountedCandidates.asked == 0
    deal(assignment, [Contest(addresses[0], candidates)])
    assert CountedCandidates.asked == 1
    survivors: Tiers = (CountedCandidates(NODES[1:]),)
    deal(assignment, [Contest(one, survivors, {"node4": 1}) for one in addresses[3:]])
    assert CountedCandidates.asked == 2, "the open one is dealt again, nothing else"
