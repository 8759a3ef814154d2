"""We are `a`; the other replica is `b`. A Lease lasts 4 s, is renewed each second; we trust it half a second less."""

from collections.abc import Callable, Iterator

import pytest

from baremetal_lb.cluster.leader_lease import LeaderLease
from baremetal_lb.election.leadership import (
    TRANSITIONS,
    ImpossibleTransitionError,
    Lead,
    LeaderInput,
    Leadership,
    LeaderState,
    Rhythm,
    StandDown,
    WriteLease,
)

RHYTHM = Rhythm(lease_seconds=4.0, renew_seconds=1.0, retry_seconds=0.5, margin_seconds=0.5)
STANDBY, LEADING, RETIRED = LeaderState
LAST_MOMENT, TOO_LATE = 3.4, 3.5


def lease(holder: str, version: int, *, seconds: float = 4.0) -> LeaderLease:
    return LeaderLease(holder, version, seconds)


def new_lease(version: int) -> LeaderLease:
    return LeaderLease("", version, 4.0, is_new=True)


FREE = lease("", 1)


@pytest.fixture
def replica() -> Iterator[Leadership]:
    machine = Leadership("a", RHYTHM)
    yield machine
    machine.check_invariants()


def leading() -> Leadership:
    """One that took a free Lease at 0 s, as version 2."""
    machine = Leadership("a", RHYTHM)
    machine.lease_seen(FREE, 0.0)
    machine.tick(0.0)
    machine.write_answered(lease("a", 2), 0.1)
    return machine


def prepared(state: LeaderState) -> Leadership:
    """Bring the replica into a state, at 1 s, with a write on its way."""
    machine = leading()
    if state is STANDBY:
        machine.lease_seen(lease("", 3), 0.5)
    machine.tick(1.0)
    if state is RETIRED:
        machine.retire()
    assert machine.state is state
    return machine


APPLY: dict[LeaderInput, Callable[[Leadership], object]] = {
    LeaderInput.WON: lambda machine: machine.write_answered(lease("a", 4), 1.1),
    LeaderInput.TAKEN: lambda machine: machine.lease_seen(lease("b", 4), 1.1),
    LeaderInput.EXPIRED: lambda machine: machine.tick(TOO_LATE),
    LeaderInput.RETIRED: lambda machine: machine.retire(),
}


@pytest.mark.parametrize("happened", list(LeaderInput))
@pytest.mark.parametrize("state", list(LeaderState))
def test_every_state_meets_every_input(state: LeaderState, happened: LeaderInput) -> None:
    """What is not in the table changes nothing: only one who leads can expire."""
    machine = prepared(state)
    APPLY[happened](machine)
    after = TRANSITIONS.get((state, happened), state)
    assert machine.state is after
    assert machine.may_write(1.1) is (after is LEADING)
    machine.check_invariants()


def test_a_transition_outside_the_table_is_our_own_fault(replica: Leadership) -> None:
    with pytest.raises(ImpossibleTransitionError, match="expired while standby"):
        replica._apply(LeaderInput.EXPIRED)
    assert replica.state is STANDBY


def test_nothing_is_written_before_the_lease_was_read(replica: Leadership) -> None:
    assert replica.tick(100.0) == []
    assert replica.next_deadline() is None


@pytest.mark.parametrize(
    ("seen", "free_at"),
    [
        pytest.param(lease("", 7), 10.0, id="one that was let go is free at once"),
        pytest.param(lease("b", 7), 14.0, id="one that is held when its holder was silent for its time"),
        pytest.param(lease("b", 7, seconds=9.0), 19.0, id="and that time is the holder's own word"),
        pytest.param(lease("b", 7, seconds=0.0), 14.0, id="ours where it says nothing"),
        pytest.param(lease("a", 7), 14.0, id="one of our own that we do not remember as well"),
        pytest.param(new_lease(7), 14.0, id="one that is new, since it may have been deleted under a leader"),
        pytest.param(None, 10.0, id="one that is missing is made at once, but held by nobody"),
    ],
)
def test_when_a_lease_is_free(replica: Leadership, seen: LeaderLease | None, free_at: float) -> None:
    replica.lease_seen(seen, 10.0)
    assert replica.next_deadline() == free_at
    assert replica.tick(free_at - 0.01) == []
    assert replica.tick(free_at) == [WriteLease(seen.version if seen else None, is_claim=True)]


def test_each_renewal_of_another_puts_it_off(replica: Leadership) -> None:
    replica.lease_seen(lease("b", 1), 0.0)
    replica.lease_seen(lease("b", 2), 3.0)
    assert replica.next_deadline() == 7.0


@pytest.mark.parametrize(
    "again", [pytest.param(lease("b", 2), id="the same"), pytest.param(lease("", 1), id="an older one")]
)
def test_what_is_no_news_changes_nothing(replica: Leadership, again: LeaderLease) -> None:
    replica.lease_seen(lease("b", 2), 0.0)
    replica.lease_seen(again, 3.0)
    assert (replica.holder, replica.next_deadline()) == ("b", 4.0)


def test_who_makes_the_lease_does_not_lead_by_that(replica: Leadership) -> None:
    """It was gone, perhaps twice: whether somebody leads that it does not know shows only with time."""
    replica.lease_seen(None, 0.0)
    assert replica.tick(0.0) == [WriteLease(None, is_claim=True)]
    assert replica.write_answered(new_lease(2), 0.1) == []
    assert (replica.state, replica.next_deadline()) == (STANDBY, 4.1)
    assert replica.tick(4.1) == [WriteLease(2, is_claim=True)]
    assert replica.write_answered(lease("a", 3), 4.2) == [Lead(fence=False)]


@pytest.mark.parametrize(
    ("seen", "fence"),
    [
        pytest.param([lease("", 1)], False, id="nothing can be on its way where the last holder let go"),
        pytest.param([lease("b", 1)], True, id="where it fell silent, something can"),
        pytest.param([lease("b", 1), None, new_lease(3)], True, id="also where its Lease was deleted"),
        pytest.param([lease("b", 1), lease("", 2), None, new_lease(3)], False, id="but not where it had let go before"),
        pytest.param([new_lease(1)], False, id="where the Lease is new, nobody was there"),
        pytest.param([lease("a", 1)], True, id="what we sent in a term before may be on its way too"),
    ],
)
def test_whether_to_fence(replica: Leadership, seen: list[LeaderLease | None], fence: bool) -> None:
    for one in seen:
        replica.lease_seen(one, 0.0)
    replica.tick(4.0)
    replica.lease_seen(lease("a", 5), 4.1)  # the watch may be faster than the answer
    assert replica.write_answered(lease("a", 5), 4.2) == [Lead(fence=fence)]


def test_it_counts_from_when_it_was_sent_and_less_a_margin(replica: Leadership) -> None:
    replica.lease_seen(FREE, 0.0)
    replica.tick(0.0)
    replica.write_answered(lease("a", 2), 2.0)
    assert replica.may_write(LAST_MOMENT)
    assert not replica.may_write(TOO_LATE)


def test_an_answer_that_came_too_late_is_none(replica: Leadership) -> None:
    replica.lease_seen(FREE, 0.0)
    replica.tick(0.0)
    assert replica.write_answered(lease("a", 2), TOO_LATE) == []
    assert replica.state is STANDBY


def test_an_answer_that_is_older_than_what_was_seen_is_none(replica: Leadership) -> None:
    """It was ours for a moment, and another has it since."""
    replica.lease_seen(FREE, 0.0)
    replica.tick(0.0)
    replica.lease_seen(lease("b", 3), 0.1)
    assert replica.write_answered(lease("a", 2), 0.2) == []
    assert not replica.may_write(0.2)


def test_a_leader_renews_each_second() -> None:
    machine = leading()
    assert machine.next_deadline() == 1.0
    assert machine.tick(1.0) == [WriteLease(2, is_claim=False)]
    assert machine.tick(1.1) == [], "one at a time"
    assert machine.write_answered(lease("a", 3), 1.2) == []
    assert machine.next_deadline() == 2.0
    assert machine.may_write(4.4)


def test_a_renewal_that_failed_is_tried_again_soon() -> None:
    machine = leading()
    machine.tick(1.0)
    assert machine.write_failed(1.2) == []
    assert machine.next_deadline() == 1.5
    assert machine.tick(1.5) == [WriteLease(2, is_claim=False)]


def test_a_claim_that_failed_is_tried_again_soon(replica: Leadership) -> None:
    replica.lease_seen(FREE, 0.0)
    replica.tick(0.0)
    replica.write_failed(0.1)
    assert replica.next_deadline() == 0.5


def test_a_leader_that_was_frozen_stands_down_before_anything_else() -> None:
    machine = leading()
    assert not machine.may_write(60.0)
    assert machine.tick(60.0)[0] == StandDown(LeaderInput.EXPIRED)


def test_a_renewal_answered_when_the_last_one_was_over_begins_a_new_term() -> None:
    """Writes were refused meanwhile, and nobody knows which: so it is no matter of going on."""
    machine = leading()
    machine.tick(3.0)
    assert machine.write_answered(lease("a", 3), 4.0) == [StandDown(LeaderInput.EXPIRED), Lead(fence=True)]
    assert machine.may_write(6.4)


def test_a_leader_whose_lease_is_deleted_makes_it_again_at_once() -> None:
    machine = leading()
    machine.lease_seen(None, 0.3)
    assert machine.tick(0.3) == [WriteLease(None, is_claim=True)]
    assert machine.write_answered(new_lease(3), 0.4) == []
    assert machine.tick(0.4) == [WriteLease(3, is_claim=True)]
    assert machine.write_answered(lease("a", 4), 0.5) == []
    assert machine.may_write(0.4 + LAST_MOMENT)


def test_a_leader_takes_a_new_lease_that_another_made() -> None:
    machine = leading()
    assert machine.lease_seen(new_lease(3), 0.3) == []
    assert machine.tick(0.3) == [WriteLease(3, is_claim=True)]


def test_a_leader_that_sees_another_stands_down() -> None:
    machine = leading()
    assert machine.lease_seen(lease("b", 3), 0.5) == [StandDown(LeaderInput.TAKEN)]


def test_who_retired_writes_no_more() -> None:
    machine = leading()
    machine.tick(1.0)
    assert machine.retire() == [StandDown(LeaderInput.RETIRED)]
    assert machine.write_answered(lease("a", 3), 1.1) == []
    assert not machine.may_write(1.1)
    assert (machine.tick(60.0), machine.next_deadline()) == ([], None)
