"""What a node wants with an address, by what it knows of the others."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Nomination
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.election.liveness import SpeakerState
from baremetal_lb.election.peer import PeerState
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.l2.segment import Began, Ended, ForeignHost, HeldBy, Stance, Wish
from baremetal_lb.speaker.elections import Claim, Elections
from baremetal_lb.speaker.succession import (
    HAND_OVER_SECONDS,
    LEAVING_SECONDS,
    SUCCESSOR_SECONDS,
    Again,
    Cause,
    Succession,
)

NOW = "2026-11-23T12:00:00Z"
ALL = Nomination((Candidates(["node1", "node2", "node3", "node4"]),))
HERE = Wish(frozenset({"eth0"}), on_conflict=ConflictPolicy.YIELD)


@pytest.fixture(params=["192.0.2.100", "2001:db8:0:2::100"])
def address(request: pytest.FixtureRequest) -> Address:
    chosen: Address = ip_address(request.param)
    return chosen


def others_hold(*nodes: str) -> Nomination:
    """All nodes but these may hold it."""
    return Nomination((Candidates(set(ALL.tiers[0].nodes) - set(nodes)),))


class Node:
    """One node, and what it is told of an address."""

    def __init__(self, name: str, address: Address, terms: Mapping[str, int], nomination: Nomination = ALL) -> None:
        self.name, self.address = name, address
        self.leases: dict[str, SpeakerState] = {}
        self.elections = Elections(name)
        self.machine = Succession(name, self.elections, lambda node: self.leases.get(node, SpeakerState.ALIVE))
        for node, term in terms.items():
            self.elections.heard(node, {address: Claim(term, NOW)})
        self.nominate(nomination)

    def nominate(self, nomination: Nomination | None, now: float = 0.0) -> None:
        self.elections.nominate(self.address, nomination, now)
        self.elections.deal(now)

    def begin(self) -> None:
        self.wish(0.0)
        self.machine.segment_changed(Began(self.address), NOW, 0.0)

    def wish(self, now: float, where: Wish | None = HERE) -> Wish | None:
        self.machine.decide(self.address, where, now)
        return self.machine.wishes.get(self.address)


def successors(address: Address, holder: str) -> tuple[str, ...]:
    return Node("node1", address, {holder: 1}).elections.successors(address)


def test_who_is_named_wishes_to_hold_it(address: Address) -> None:
    first = ALL.tiers[0].first(address)
    assert Node(first, address, {}).wish(0.0) == HERE
    other = next(node for node in ALL.tiers[0].nodes if node != first)
    assert Node(other, address, {}).wish(0.0) is None


def test_what_nobody_asks_for_is_not_wished(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    for nomination in (Nomination(), None):
        node.nominate(nomination)
        assert node.wish(1.0) is None


@pytest.mark.parametrize(
    ("terms", "nomination", "leases", "states", "replacing"),
    [
        pytest.param({"node2": 3}, others_hold("node2"), {}, {}, {"node2"}, id="it may hold it no more, and knows"),
        pytest.param(
            {"node2": 3}, others_hold("node2"), {"node2": SpeakerState.RELEASED}, {}, {"node2"}, id="it has let go"
        ),
        pytest.param(
            {"node2": 3}, others_hold("node2"), {"node2": SpeakerState.SILENT}, {}, set(), id="it may not know: ask"
        ),
        pytest.param(
            {"node2": 3}, others_hold("node2"), {}, {"node2": PeerState.SILENT}, set(), id="its beats are missing: ask"
        ),
        pytest.param(
            {"node2": 3, "node3": 2},
            others_hold("node2", "node3"),
            {"node3": SpeakerState.SILENT},
            {},
            {"node2"},
            id="who began before it does not matter",
        ),
        pytest.param(
            {"node2": 2, "node3": 3},
            others_hold("node2", "node3"),
            {"node3": SpeakerState.SILENT},
            {},
            set(),
            id="who began last may not know: ask",
        ),
    ],
)
def test_who_is_replaced_without_asking(
    address: Address,
    terms: dict[str, int],
    nomination: Nomination,
    leases: dict[str, SpeakerState],
    states: dict[str, PeerState],
    replacing: set[str],
) -> None:
    node = Node(nomination.tiers[0].first(address), address, terms, nomination)
    node.leases = leases
    for other, state in states.items():
        node.machine.peer_changed(other, state, 0.0)
    assert node.wish(0.0) == replace(HERE, replacing=frozenset(replacing))
    assert node.machine.cause(address) is (Cause.MOVED if replacing else Cause.ELECTED)


def test_a_better_node_replaces_the_holder_without_asking(address: Address) -> None:
    tiers = (Candidates(["node2"]), Candidates(["node1", "node3"]))
    nomination = Nomination(tiers, preempt_after=30.0)
    node = Node("node2", address, {"node1": 1}, nomination)
    assert node.wish(29.0) is None
    node.nominate(nomination, 30.0)
    assert node.wish(30.0) == replace(HERE, replacing=frozenset({"node1"}))


@pytest.mark.parametrize(("state", "cause"), [(PeerState.SILENT, Cause.SILENT), (PeerState.UNHEALTHY, Cause.UNHEALTHY)])
def test_successors_follow_one_after_the_other(address: Address, state: PeerState, cause: Cause) -> None:
    for place, name in enumerate(successors(address, "node1")):
        node = Node(name, address, {"node1": 1})
        assert node.wish(9.0) is None
        assert node.machine.peer_changed("node1", state, 10.0) == {address}
        assert node.wish(10.1) == replace(HERE, begin_at=10.0 + place * SUCCESSOR_SECONDS)
        assert node.machine.cause(address) is cause


def test_who_is_away_itself_is_no_successor(address: Address) -> None:
    first, second, third = successors(address, "node1")
    node = Node(third, address, {"node1": 1})
    node.machine.peer_changed("node1", PeerState.SILENT, 10.0)
    assert node.machine.peer_changed(first, PeerState.SILENT, 10.0) == {address}
    assert node.wish(10.0) == replace(HERE, begin_at=10.0 + SUCCESSOR_SECONDS)
    assert node.machine.peer_changed(second, PeerState.LEAVING, 10.0) == {address}
    assert node.wish(10.0) == replace(HERE, begin_at=10.0)
    assert node.machine.peer_changed(second, PeerState.ALIVE, 10.0) == {address}
    assert node.wish(10.0) == replace(HERE, begin_at=10.0 + SUCCESSOR_SECONDS)


def test_who_hears_nobody_of_several_takes_nothing_over(address: Address) -> None:
    first, second, third = successors(address, "node1")
    node = Node(first, address, {"node1": 1})
    for other in ("node1", second, third):
        node.machine.peer_changed(other, PeerState.SILENT, 10.0)
    assert node.wish(10.0) is None
    assert node.machine.peer_changed(third, PeerState.ALIVE, 10.5) == {address}
    assert node.wish(10.5) == replace(HERE, begin_at=10.0)


def test_what_is_waited_for_is_looked_at_again_whoever_comes_or_goes(address: Address) -> None:
    """Whether it must be asked for may have changed."""
    nomination = others_hold("node2")
    name = nomination.tiers[0].first(address)
    bystander = next(one for one in nomination.tiers[0].nodes if one != name)
    node = Node(name, address, {"node2": 3}, nomination)
    assert node.wish(0.0) is not None
    assert node.machine.peer_changed(bystander, PeerState.SILENT, 1.0) == {address}
    node.begin()
    assert node.machine.peer_changed(bystander, PeerState.ALIVE, 2.0) == set()


@pytest.mark.parametrize("state", [PeerState.ALIVE, PeerState.UNKNOWN])
def test_a_holder_that_is_not_suspect_any_more_has_no_successor(address: Address, state: PeerState) -> None:
    node = Node(successors(address, "node1")[0], address, {"node1": 1})
    node.machine.peer_changed("node1", PeerState.SILENT, 10.0)
    assert node.wish(10.0) is not None
    assert node.machine.peer_changed("node1", state, 10.1) == {address}
    assert node.wish(10.1) is None


def test_the_successors_of_one_that_leaves_wait_for_the_elections(address: Address) -> None:
    for place, name in enumerate(successors(address, "node1")):
        node = Node(name, address, {"node1": 1})
        node.machine.peer_changed("node1", PeerState.LEAVING, 10.0)
        begin_at = 10.0 + LEAVING_SECONDS + place * SUCCESSOR_SECONDS
        assert node.wish(10.0) == replace(HERE, begin_at=begin_at, replacing=frozenset({"node1"}))
        assert node.machine.cause(address) is Cause.LEAVING


def test_a_successor_that_began_holds_it_also_when_its_predecessor_is_back(address: Address) -> None:
    node = Node(successors(address, "node1")[0], address, {"node1": 4})
    node.machine.peer_changed("node1", PeerState.SILENT, 10.0)
    node.begin()
    assert node.elections.own_claims == {address: Claim(5, NOW)}
    node.machine.peer_changed("node1", PeerState.ALIVE, 10.5)
    assert node.wish(10.5) == HERE
    node.nominate(ALL, 11.0)
    assert node.wish(11.0) == HERE


def test_what_may_not_be_held_any_more_is_handed_over(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    node.nominate(others_hold("node1"))
    expected = replace(HERE, stance=Stance.HAND_OVER, until=7.0 + HAND_OVER_SECONDS)
    assert node.wish(7.0) == expected
    assert node.wish(8.0, None) == expected, "the time runs on, also without an interface to begin on"
    node.machine.segment_changed(Ended(address), NOW, 8.1)
    assert node.wish(8.1) is None
    assert node.elections.own_claims == {}


def test_what_another_began_later_is_handed_over(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    node.elections.heard("node2", {address: Claim(2, NOW)})
    node.nominate(ALL)
    assert node.wish(7.0) == replace(HERE, stance=Stance.HAND_OVER, until=7.0 + HAND_OVER_SECONDS)


def test_who_hears_another_waits_for_its_word(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    for event in (Ended(address), HeldBy(address, "node2")):
        assert node.machine.segment_changed(event, NOW, 10.0) == {address}
    node.nominate(ALL, 10.0)
    assert node.wish(10.0) is None
    assert node.machine.next_deadline() == 12.0
    assert node.machine.tick(12.0) == {address}


def test_what_an_earlier_run_held_is_said_until_it_is_clear_that_another_has_it(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    assert not node.machine.decide(address, HERE, 0.0)
    assert node.elections.own_claims == {address: Claim(1, NOW)}
    node.elections.heard("node2", {address: Claim(2, NOW)})
    node.nominate(ALL)
    assert node.machine.decide(address, HERE, 0.0)
    assert node.elections.own_claims == {}


def test_foreign_hosts_are_no_matter_of_succession(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    assert node.machine.segment_changed(ForeignHost(address, bytes(6), "eth0"), NOW, 0.0) == set()


def test_who_stops_hands_over_what_it_holds_and_wants_nothing_more(address: Address) -> None:
    node = Node("node1", address, {"node1": 1})
    node.begin()
    node.elections.nominate(address + 1, others_hold("node2", "node3", "node4"), 0.0)
    node.elections.deal(0.0)
    node.machine.decide(address + 1, HERE, 0.0)
    assert set(node.machine.wishes) == {address, address + 1}
    node.machine.leave(5.0)
    assert node.machine.wishes == {address: replace(HERE, stance=Stance.HAND_OVER, until=5.0)}
    node.machine.decide(address + 1, HERE, 1.0)
    assert set(node.machine.wishes) == {address}


@pytest.mark.parametrize(
    ("ours", "theirs", "outranks"),
    [
        pytest.param(2, 1, False, id="we began later"),
        pytest.param(1, 2, True, id="it began later"),
        pytest.param(2, 2, None, id="both say the same: by the order of the election"),
        pytest.param(None, None, None, id="neither has said anything: by the order of the election"),
    ],
)
def test_who_of_two_goes_before_the_other(
    address: Address, ours: int | None, theirs: int | None, outranks: bool | None
) -> None:
    terms = {node: term for node, term in {"node1": ours, "node2": theirs}.items() if term is not None}
    by_order = Candidates(["node1", "node2"]).first(address) == "node2"
    seen = Node("node1", address, terms).machine.outranks(address, "node2")
    assert seen == (by_order if outranks is None else outranks)


def test_two_that_know_the_same_agree_on_who_goes_first(address: Address) -> None:
    one, other = (Node(name, address, {"node1": 3, "node2": 3}) for name in ("node1", "node2"))
    assert one.machine.outranks(address, "node2") != other.machine.outranks(address, "node1")


def test_who_has_not_said_that_it_began_began_later(address: Address) -> None:
    """Our word was there to be read."""
    for name in ("node2", "node3", "node4"):
        node = Node("node1", address, {"node1": 3})
        assert node.machine.outranks(address, name) == (_first(address, name) == name)
        node.elections.published({address: Claim(3, NOW)})
        assert node.machine.outranks(address, name)


@pytest.mark.parametrize(
    ("better", "outranks"),
    [
        pytest.param("node2", True, id="a better one has waited long enough, by its own clock"),
        pytest.param("node1", False, id="a worse one may not have heard of us"),
    ],
)
def test_who_was_away_goes_first_only_if_it_is_better(address: Address, better: str, outranks: bool) -> None:
    tiers = tuple(Candidates([name]) for name in sorted(("node1", "node2"), key=lambda name: name != better))
    node = Node("node1", address, {"node1": 3}, Nomination(tiers, preempt_after=30.0))
    node.elections.published({address: Claim(3, NOW)})
    for at, state in enumerate((PeerState.ALIVE, PeerState.SILENT, PeerState.ALIVE)):
        node.machine.peer_changed("node2", state, float(at))
    assert node.machine.outranks(address, "node2") == outranks


def _first(address: Address, other: str) -> str:
    return Candidates(["node1", other]).first(address)


def test_every_other_speaker_of_a_small_cluster_is_a_peer(address: Address) -> None:
    node = Node("node1", address, {"node2": 1})
    assert node.machine.peers(ALL.tiers[0]) == {"node2", "node3", "node4"}


@pytest.mark.parametrize(
    ("lease", "stays"),
    [
        pytest.param(SpeakerState.SILENT, True, id="its Lease expired: it may come back"),
        pytest.param(SpeakerState.RELEASED, False, id="it stopped on purpose"),
        pytest.param(SpeakerState.ABSENT, False, id="it is gone for good"),
    ],
)
def test_how_long_a_peer_stays_one(address: Address, lease: SpeakerState, stays: bool) -> None:
    node = Node("node1", address, {"node2": 1})
    node.machine.peer_changed("node3", PeerState.SILENT, 0.0)
    node.leases["node3"] = lease
    peers = node.machine.peers(Candidates(["node1", "node2", "node4"]))
    assert ("node3" in peers) == stays


def test_a_node_that_was_alone_asks_for_all_that_it_holds(address: Address) -> None:
    node = Node("node2", address, {"node1": 1})
    for peer in ("node1", "node3", "node4"):
        node.machine.peer_changed(peer, PeerState.SILENT, 10.0)
    assert node.machine.look_again() is None
    node.machine.peer_changed("node3", PeerState.ALIVE, 20.0)
    assert node.machine.look_again() is Again.ASK
    assert node.machine.look_again() is None, "once"


def test_who_took_over_announces_again_when_the_holder_is_back(address: Address) -> None:
    node = Node(successors(address, "node1")[0], address, {"node1": 1})
    others = {"node2", "node3", "node4"} - {node.name}
    for other in others:
        node.machine.peer_changed(other, PeerState.ALIVE, 10.0)
    node.machine.peer_changed("node1", PeerState.SILENT, 10.0)
    node.begin()
    node.machine.peer_changed("node1", PeerState.ALIVE, 20.0)
    assert node.machine.look_again() is Again.ANNOUNCE


def test_who_took_nothing_over_does_nothing_when_a_node_is_back(address: Address) -> None:
    node = Node("node2", address, {"node2": 1})
    node.begin()
    for other, state in {"node1": PeerState.SILENT, "node3": PeerState.ALIVE, "node4": PeerState.ALIVE}.items():
        node.machine.peer_changed(other, state, 10.0)
    node.machine.peer_changed("node1", PeerState.ALIVE, 20.0)
    assert node.machine.look_again() is None
