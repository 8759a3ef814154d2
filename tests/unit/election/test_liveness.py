"""Own node is `a`, with a lease of 3 s, renewed every second; the view is given up after 2 s without an echo."""

from collections.abc import Callable, Iterator

import pytest

from baremetal_lb.cluster.lease import LeaseView
from baremetal_lb.election.liveness import (
    TRANSITIONS,
    ImpossibleTransitionError,
    LeaseInput,
    Liveness,
    SpeakerChanged,
    SpeakerState,
    ViewLost,
    ViewTrusted,
)

AWAY, BRIEFLY = ViewTrusted(may_have_been_replaced=True), ViewTrusted(may_have_been_replaced=False)
ABSENT, ALIVE, SILENT, RELEASED = SpeakerState


def lease(node: str, renewed: object, *, run: str = "1") -> LeaseView:
    return LeaseView(node, f"{node}/{run}", str(renewed))


def let_go(node: str) -> LeaseView:
    return LeaseView(node, "", "whenever")


@pytest.fixture
def liveness() -> Iterator[Liveness]:
    machine = Liveness("a/1", lease_seconds=3.0, trust_seconds=2.0)
    yield machine
    machine.check_invariants()


def renew_own(machine: Liveness, *, until: float) -> None:
    """Let our own renewals come back each second up to a time."""
    for second in range(int(until) + 1):
        machine.lease_seen(lease("a", second), float(second))
        machine.tick(float(second))


def prepared(state: SpeakerState) -> Liveness:
    """Bring node `b` into a state, in a trusted view, at 4 s."""
    machine = Liveness("a/1", lease_seconds=3.0, trust_seconds=2.0)
    if state is not ABSENT:
        machine.lease_seen(lease("b", 0), 0.0)
    renew_own(machine, until=2.0 if state is ALIVE else 4.0)
    if state is RELEASED:
        machine.lease_seen(let_go("b"), 4.0)
    assert machine.state_of("b") is state
    return machine


APPLY: dict[LeaseInput, Callable[[Liveness], object]] = {
    LeaseInput.RENEWED: lambda machine: machine.lease_seen(lease("b", 99), 4.0),
    LeaseInput.RELEASED: lambda machine: machine.lease_seen(let_go("b"), 4.0),
    LeaseInput.DELETED: lambda machine: machine.lease_deleted("b"),
    LeaseInput.EXPIRED: lambda machine: (machine.lease_seen(lease("a", 3), 3.0), machine.tick(4.0)),
}


@pytest.mark.parametrize("happened", list(LeaseInput))
@pytest.mark.parametrize("state", list(SpeakerState))
def test_every_state_meets_every_input(state: SpeakerState, happened: LeaseInput) -> None:
    """What is not in the table changes nothing: only the living can expire."""
    machine = prepared(state)
    APPLY[happened](machine)
    after = TRANSITIONS.get((state, happened), state)
    assert machine.state_of("b") is after
    assert ("b" in machine.alive) is (after is ALIVE)
    machine.check_invariants()


def test_a_transition_outside_the_table_is_our_own_fault(liveness: Liveness) -> None:
    with pytest.raises(ImpossibleTransitionError, match="b: expired while absent"):
        liveness._apply("b", LeaseInput.EXPIRED)
    assert liveness.state_of("b") is ABSENT


def test_a_change_is_told_once_with_what_was_before(liveness: Liveness) -> None:
    assert liveness.lease_seen(lease("b", 0), 0.0) == [SpeakerChanged("b", ABSENT, ALIVE)]
    assert liveness.lease_seen(lease("b", 1), 1.0) == []
    assert liveness.lease_seen(let_go("b"), 1.5) == [SpeakerChanged("b", ALIVE, RELEASED)]
    assert liveness.lease_seen(let_go("b"), 1.6) == []
    assert liveness.lease_deleted("b") == [SpeakerChanged("b", RELEASED, ABSENT)]


def test_our_own_renewal_that_comes_back_makes_the_view_trusted(liveness: Liveness) -> None:
    assert not liveness.trusted
    assert liveness.lease_seen(lease("a", 0), 0.0) == [AWAY, SpeakerChanged("a", ABSENT, ALIVE)]
    assert liveness.trusted


def test_the_lease_of_an_earlier_run_of_ours_is_no_proof(liveness: Liveness) -> None:
    liveness.lease_seen(lease("a", 0, run="0"), 0.0)
    assert not liveness.trusted
    assert liveness.lease_seen(lease("a", 0, run="1"), 0.1) == [AWAY]


@pytest.mark.parametrize(
    ("silent_at", "state"),
    [pytest.param(2.9, ALIVE, id="alive within the lease"), pytest.param(3.0, SILENT, id="dead at its end")],
)
def test_silence_kills_in_a_trusted_view(liveness: Liveness, silent_at: float, state: SpeakerState) -> None:
    renew_own(liveness, until=0.0)
    liveness.lease_seen(lease("b", 0), 0.0)
    for second in (1, 2):
        liveness.lease_seen(lease("a", second), float(second))
    assert liveness.next_deadline() == 3.0
    events = liveness.tick(silent_at)
    assert events == ([SpeakerChanged("b", ALIVE, SILENT)] if state is SILENT else [])
    assert liveness.state_of("b") is state


def test_a_lease_that_is_shown_again_unchanged_is_no_renewal(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    renew_own(liveness, until=2.0)
    assert liveness.lease_seen(lease("b", 0), 2.5) == []
    liveness.lease_seen(lease("a", 3), 3.0)
    assert SpeakerChanged("b", ALIVE, SILENT) in liveness.tick(3.1)


def test_a_restart_within_the_lease_moves_nothing(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0, run="1"), 0.0)
    assert liveness.lease_seen(lease("b", 0, run="2"), 2.0) == []
    renew_own(liveness, until=4.0)
    assert liveness.state_of("b") is ALIVE


def test_without_our_own_echo_silence_means_nothing(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    renew_own(liveness, until=1.0)
    assert liveness.next_deadline() == 3.0
    assert liveness.tick(3.0) == [ViewLost()]
    assert liveness.next_deadline() is None
    assert liveness.tick(1000.0) == []
    assert liveness.alive == {"a", "b"}


def test_a_lost_stream_ends_trust_at_once(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    renew_own(liveness, until=2.0)
    assert liveness.stream_lost() == [ViewLost()]
    assert liveness.stream_lost() == []
    assert liveness.tick(3.5) == []


@pytest.mark.parametrize(
    ("back_at", "event"),
    [pytest.param(2.9, BRIEFLY, id="nobody missed us"), pytest.param(3.0, AWAY, id="the others may have moved on")],
)
def test_the_length_of_our_absence_is_told(liveness: Liveness, back_at: float, event: ViewTrusted) -> None:
    renew_own(liveness, until=1.0)
    liveness.stream_lost()
    assert liveness.lease_seen(lease("a", 2), back_at) == [event]


def test_after_an_outage_everybody_gets_the_full_lease_anew(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    renew_own(liveness, until=1.0)
    liveness.stream_lost()
    assert liveness.lease_seen(lease("a", 20), 20.0) == [AWAY]
    for second in (21, 22):
        assert liveness.tick(float(second)) == []
        liveness.lease_seen(lease("a", second), float(second))
    assert liveness.tick(22.9) == []
    assert liveness.tick(23.0) == [SpeakerChanged("b", ALIVE, SILENT)]


def test_a_stall_of_our_own_counts_as_an_outage(liveness: Liveness) -> None:
    """The first thing we hear after a stall may be our own echo: the gap before it must still be noticed."""
    liveness.lease_seen(lease("b", 0), 0.0)
    renew_own(liveness, until=1.0)
    assert liveness.lease_seen(lease("a", 9), 9.0) == [ViewLost(), AWAY]
    assert liveness.tick(9.0) == []
    assert liveness.state_of("b") is ALIVE


def test_a_word_of_its_own_counts_in_any_view(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    liveness.lease_seen(lease("c", 0), 0.0)
    assert not liveness.trusted
    liveness.lease_seen(let_go("b"), 0.1)
    liveness.lease_deleted("c")
    assert liveness.alive == frozenset()


def test_the_times_that_others_write_are_not_compared_with_ours(liveness: Liveness) -> None:
    """A node whose clock runs ten years behind is as alive as any."""
    renew_own(liveness, until=2.0)
    liveness.lease_seen(lease("b", "2016-01-01T00:00:00.000000Z"), 2.0)
    liveness.lease_seen(lease("a", 3), 3.0)
    liveness.lease_seen(lease("b", "2016-01-01T00:00:01.000000Z"), 3.0)
    liveness.lease_seen(lease("a", 4), 4.0)
    assert liveness.tick(5.0) == []
    assert liveness.alive == {"a", "b"}


def test_several_deaths_come_in_one_tick(liveness: Liveness) -> None:
    liveness.lease_seen(lease("b", 0), 0.0)
    liveness.lease_seen(lease("c", 0), 0.1)
    for second in range(4):
        liveness.lease_seen(lease("a", second), float(second))
    assert [event.node for event in liveness.tick(3.2) if isinstance(event, SpeakerChanged)] == ["b", "c"]
    assert liveness.alive == {"a"}
