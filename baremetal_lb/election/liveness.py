"""Which speakers are alive: a machine fed with their Leases as the API server shows them, and with time.

Theory of operation. Each speaker renews a Lease of its own; each follows the Leases of all. A node whose Lease was not
seen to change for `lease_seconds` is dead, but only to an observer who would have seen it. The proof that we would is
our own Lease: while our own renewals come back to us over the watch, requests reach the API server, its watch reaches
us, and this process runs. The view is *trusted* from the first renewal of ours that comes back until none came for
`trust_seconds`, or until the stream is lost. While it is not trusted nobody dies of silence, so a holder that is cut
off goes on, and so does everybody while the API server is away. When the view is trusted again every node gets the
full `lease_seconds` anew.

A released or deleted Lease is a speaker's own word, and counts at once. Only changes of a Lease and our own monotonic
clock are used; the time that another node wrote is never compared with ours.

`lease_seconds` must exceed `trust_seconds` by at least the interval of renewal: when the API server falls silent, the
view is then given up before anybody's silence could be mistaken for death.
"""

from dataclasses import dataclass
from enum import StrEnum

from baremetal_lb.cluster.lease import LeaseView


class SpeakerState(StrEnum):
    """What we know of a node's speaker."""

    ABSENT = "absent"
    ALIVE = "alive"
    SILENT = "silent"
    RELEASED = "released"


class LeaseInput(StrEnum):
    """What can happen to a node's Lease."""

    RENEWED = "renewed"
    RELEASED = "released"
    DELETED = "deleted"
    EXPIRED = "expired"


TRANSITIONS: dict[tuple[SpeakerState, LeaseInput], SpeakerState] = {
    (SpeakerState.ABSENT, LeaseInput.RENEWED): SpeakerState.ALIVE,
    (SpeakerState.ABSENT, LeaseInput.RELEASED): SpeakerState.RELEASED,
    (SpeakerState.ABSENT, LeaseInput.DELETED): SpeakerState.ABSENT,
    (SpeakerState.ALIVE, LeaseInput.RENEWED): SpeakerState.ALIVE,
    (SpeakerState.ALIVE, LeaseInput.RELEASED): SpeakerState.RELEASED,
    (SpeakerState.ALIVE, LeaseInput.DELETED): SpeakerState.ABSENT,
    (SpeakerState.ALIVE, LeaseInput.EXPIRED): SpeakerState.SILENT,
    (SpeakerState.SILENT, LeaseInput.RENEWED): SpeakerState.ALIVE,
    (SpeakerState.SILENT, LeaseInput.RELEASED): SpeakerState.RELEASED,
    (SpeakerState.SILENT, LeaseInput.DELETED): SpeakerState.ABSENT,
    (SpeakerState.RELEASED, LeaseInput.RENEWED): SpeakerState.ALIVE,
    (SpeakerState.RELEASED, LeaseInput.RELEASED): SpeakerState.RELEASED,
    (SpeakerState.RELEASED, LeaseInput.DELETED): SpeakerState.ABSENT,
}
"""Only a speaker that is alive can expire; any other pair that is not here is a fault of ours."""


class ImpossibleTransitionError(AssertionError):
    """Our own bug: a state met an input that cannot reach it."""


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """A node's speaker is in another state than before."""

    node: str
    before: SpeakerState
    after: SpeakerState


@dataclass(frozen=True, slots=True)
class ViewTrusted:
    """We see the cluster as it is (again). The others may have given us up meanwhile."""

    may_have_been_replaced: bool


@dataclass(frozen=True, slots=True)
class ViewLost:
    """We may be cut off: what we know of the others stays as it is."""


LivenessEvent = SpeakerChanged | ViewTrusted | ViewLost


class Liveness:
    """The machine. `identity` is the holder that our own process writes into its Lease."""

    def __init__(self, identity: str, *, lease_seconds: float, trust_seconds: float) -> None:
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._trust_seconds = trust_seconds
        self._states: dict[str, SpeakerState] = {}
        self._renewed: dict[str, str] = {}
        self._seen_at: dict[str, float] = {}
        """Of those alive only, the longest silent first."""
        self._own_seen_at = float("-inf")
        self._trusted_since: float | None = None

    @property
    def trusted(self) -> bool:
        """Whether silence means something to us."""
        return self._trusted_since is not None

    @property
    def alive(self) -> frozenset[str]:
        """The nodes whose speakers are alive, as far as we know."""
        return frozenset(self._seen_at)

    def state_of(self, node: str) -> SpeakerState:
        """Tell what we know of a node's speaker."""
        return self._states.get(node, SpeakerState.ABSENT)

    def lease_seen(self, lease: LeaseView, now: float) -> list[LivenessEvent]:
        """Take in a Lease as the API server showed it; one that was not renewed since changes nothing."""
        if lease.released:
            return self._apply(lease.node, LeaseInput.RELEASED)
        stamp = f"{lease.identity} {lease.renewed}"
        if self._renewed.get(lease.node) == stamp:
            return []
        events = self._give_up_stale_view(now)
        if lease.identity == self._identity:
            events += self._own_renewal_seen(now)
        events += self._apply(lease.node, LeaseInput.RENEWED)
        self._renewed[lease.node] = stamp
        self._seen_at[lease.node] = now
        return events

    def lease_deleted(self, node: str) -> list[LivenessEvent]:
        """Take in that a node's Lease is gone."""
        return self._apply(node, LeaseInput.DELETED)

    def stream_lost(self) -> list[LivenessEvent]:
        """Take in that the watch of the Leases broke off."""
        return self._lose_view()

    def tick(self, now: float) -> list[LivenessEvent]:
        """Let time pass: give up a stale view, then declare dead whoever was silent for too long in a trusted one."""
        events = self._give_up_stale_view(now)
        if self._trusted_since is None:
            return events
        while self._seen_at:
            node, seen_at = next(iter(self._seen_at.items()))
            if max(seen_at, self._trusted_since) + self._lease_seconds > now:
                break
            events += self._apply(node, LeaseInput.EXPIRED)
        return events

    def next_deadline(self) -> float | None:
        """Tell when `tick` may have something to do, if nothing else happens before."""
        if self._trusted_since is None:
            return None
        deadlines = [self._own_seen_at + self._trust_seconds]
        if self._seen_at:
            longest_silent = next(iter(self._seen_at.values()))
            deadlines.append(max(longest_silent, self._trusted_since) + self._lease_seconds)
        return min(deadlines)

    def check_invariants(self) -> None:
        """Hold after every call."""
        alive = {node for node, state in self._states.items() if state is SpeakerState.ALIVE}
        assert alive == set(self._seen_at)
        assert alive <= set(self._renewed)
        seen_at = list(self._seen_at.values())
        assert seen_at == sorted(seen_at)

    def _own_renewal_seen(self, now: float) -> list[LivenessEvent]:
        was_away = now >= self._own_seen_at + self._trust_seconds
        self._own_seen_at = now
        if self._trusted_since is not None:
            return []
        self._trusted_since = now
        return [ViewTrusted(may_have_been_replaced=was_away)]

    def _give_up_stale_view(self, now: float) -> list[LivenessEvent]:
        return self._lose_view() if now >= self._own_seen_at + self._trust_seconds else []

    def _lose_view(self) -> list[LivenessEvent]:
        if self._trusted_since is None:
            return []
        self._trusted_since = None
        return [ViewLost()]

    def _apply(self, node: str, happened: LeaseInput) -> list[LivenessEvent]:
        before = self.state_of(node)
        after = TRANSITIONS.get((before, happened))
        if after is None:
            raise ImpossibleTransitionError(f"{node}: {happened} while {before}")
        self._seen_at.pop(node, None)
        if after is SpeakerState.ABSENT:
            self._states.pop(node, None)
            self._renewed.pop(node, None)
        else:
            self._states[node] = after
        return [] if after is before else [SpeakerChanged(node, before, after)]
