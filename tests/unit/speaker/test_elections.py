"""What a node says that it holds, and when it begins and ceases to say so."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Nomination
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.speaker import elections
from baremetal_lb.speaker.elections import Claim, Elections, parse_claims

NOW = "2026-11-23T12:00:00Z"
ALL = Nomination((Candidates(["node1", "node2", "node3"]),))
BETTER_2 = Nomination((Candidates(["node2"]), Candidates(["node1", "node3"])), preempt_after=30.0)
NOBODY = Nomination()


@pytest.fixture(params=["192.0.2.100", "2001:db8:0:2::100"])
def address(request: pytest.FixtureRequest) -> Address:
    chosen: Address = ip_address(request.param)
    return chosen


def seen_by(node: str, address: Address, nomination: Nomination = ALL, **terms: int) -> Elections:
    """What a node knows that heard these claims."""
    made = Elections(node)
    for other, term in terms.items():
        made.heard(other, {address: Claim(term, NOW)})
    made.nominate(address, nomination, 0.0)
    made.deal(0.0)
    return made


def test_a_status_is_reduced_to_its_claims(address: Address) -> None:
    held = {"address": str(address), "term": 7, "since": NOW, "interfaces": ["eth0"]}
    assert parse_claims({"status": {"addresses": [held], "addressCount": 1}}) == {address: Claim(7, NOW)}


@pytest.mark.parametrize("raw", [{}, {"status": {}}, {"status": {"addresses": []}}])
def test_a_status_without_addresses_claims_nothing(raw: dict[str, object]) -> None:
    assert parse_claims(raw) == {}


def test_news_are_told_once(address: Address) -> None:
    made = Elections("node1")
    assert made.heard("node2", {address: Claim(1, NOW)}) == {address}
    assert made.heard("node2", {address: Claim(1, NOW)}) == set()
    assert made.heard("node2", {}) == {address}
    assert made.heard("node2", {}) == set()


def test_who_begins_does_so_in_the_next_term_also_after_the_dead(address: Address) -> None:
    first = ALL.tiers[0].first(address)
    made = seen_by(first, address, gone=4)
    assert made.holder(address) == first
    made.began(address, NOW)
    assert made.own_claims == {address: Claim(5, NOW)}


def test_to_be_named_is_not_to_hold(address: Address) -> None:
    """Only what is done on the segment is said."""
    made = seen_by(ALL.tiers[0].first(address), address)
    assert made.own_claims == {}


@pytest.mark.parametrize(
    ("rival", "term"),
    [
        pytest.param(0, 3, id="nobody followed: the same term goes on"),
        pytest.param(2, 3, id="somebody did before: the same term goes on"),
        pytest.param(3, 4, id="somebody says the same: ours is the next"),
        pytest.param(6, 7, id="somebody followed but is silent on the segment: ours is the next"),
    ],
)
def test_what_was_held_before_a_restart_is_held_again(address: Address, rival: int, term: int) -> None:
    made = seen_by("node1", address, node1=3)
    if rival:
        made.heard("node2", {address: Claim(rival, NOW)})
    made.began(address, NOW)
    assert made.own_claims == {address: Claim(term, NOW)}


def test_who_ends_says_so_once(address: Address) -> None:
    made = seen_by("node1", address, node1=3)
    assert made.ended(address)
    assert made.own_claims == {}
    assert not made.ended(address)


def test_who_answers_on_the_segment_goes_before_all_that_is_said(address: Address) -> None:
    made = seen_by("node1", address, node1=3, node3=5)
    assert made.answered(address, "node2", 10.0)
    made.nominate(address, ALL, 10.0)
    made.deal(10.0)
    assert made.holder(address) == "node2"
    assert made.own_claims == {}
    assert not made.answered(address, "node2", 10.5), "that is known"


def test_an_answer_counts_until_the_word_of_its_node_arrives(address: Address) -> None:
    made = seen_by("node1", address, node3=5)
    made.answered(address, "node2", 10.0)
    assert made.heard("node2", {}) == set()
    assert made.contest(address).claims == {"node3": 5, "node2": 6}
    assert made.heard("node2", {address: Claim(4, NOW)}) == {address}
    assert made.contest(address).claims == {"node3": 5, "node2": 4}
    assert made.tick(100.0) == set()


def test_an_answer_counts_for_a_while_only(address: Address) -> None:
    made = seen_by("node1", address)
    made.answered(address, "node2", 10.0)
    made.answered(address + 1, "node2", 10.2)
    made.answered(address, "node2", 10.5)
    assert made.next_deadline() == pytest.approx(12.2)
    assert made.tick(12.2) == {address + 1}
    assert made.tick(12.5) == {address}
    assert made.next_deadline() is None
    assert made.contest(address).claims == {}


def test_who_begins_forgets_who_answered_before(address: Address) -> None:
    made = seen_by("node1", address)
    made.answered(address, "node2", 10.0)
    made.began(address, NOW)
    assert made.contest(address).claims == {"node1": 1}


def test_a_holder_goes_on_until_its_better_has_begun(address: Address) -> None:
    holder, better, third = (seen_by(node, address, BETTER_2, node1=1) for node in ("node1", "node2", "node3"))
    for made in (holder, better, third):
        made.deal(30.0)
    assert (holder.holder(address), better.holder(address), third.holder(address)) == ("node1", "node2", "node1")
    better.began(address, NOW)
    holder.heard("node2", better.own_claims)
    holder.nominate(address, BETTER_2, 30.1)
    assert holder.holder(address) == "node2"


def test_that_a_rival_gave_way_is_told_once(address: Address) -> None:
    """It may have been the last to tell the segment that the address is its own."""
    made = seen_by("node1", address, node1=2, node2=1)
    assert not made.rivals_gave_way()
    made.heard("node2", {})
    made.nominate(address, ALL, 1.0)
    assert made.rivals_gave_way()
    assert not made.rivals_gave_way()


def test_one_that_is_thought_dead_may_give_way(address: Address) -> None:
    """It was cut off, answered all the time, and yielded before anybody knew that it is alive."""
    made = seen_by("node1", address, node1=2, gone=1)
    made.heard("gone", {})
    made.nominate(address, ALL, 1.0)
    assert made.rivals_gave_way()


def test_a_node_says_no_more_than_fits(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elections, "HELD_MAX", 1)
    made = seen_by("node1", address)
    made.began(address, NOW)
    made.began(address + 1, NOW)
    assert set(made.own_claims) == {address}
    made.ended(address)
    made.began(address + 1, NOW)
    assert set(made.own_claims) == {address + 1}
