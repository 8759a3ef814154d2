"""Which replica of the controller leads: a machine fed with one Lease, the fate of its own writes to it, and time.

Theory of operation. Whoever leads renews the Lease. A replica may write as long as `may_write` says so: for
`lease_seconds` less `margin_seconds` from the moment it *sent* a renewal that was answered. The others take the Lease
when it was let go, or when they have seen no change of it for as long as its holder asked for. What they see was sent
earlier, so the holder has stopped by then. No clock is compared with another's: each replica measures spans on its own.

Every write of the Lease names the version that was seen last, and the API server refuses it where that is not the
newest. So a replica that is behind can't take what another has renewed; a write whose answer was lost counts for
nothing, whether it arrived or not.

A Lease that is not there may have been deleted under a leader. So it is made, but held by nobody, and such a new one is
taken after the same silence; a leader that has lost it that way takes the new one at once. That a Lease is missing is
no version, so nobody could tell whether there was another one in between.

A new leader is told to `fence` unless the last holder let go: a write that one had sent may still be on its way. That
is also so where the last holder was this replica, in a term before.
"""

from dataclasses import dataclass
from enum import StrEnum

from baremetal_lb.cluster.leader_lease import LeaderLease


class LeaderState(StrEnum):
    """What this replica is."""

    STANDBY = "standby"
    LEADING = "leading"
    RETIRED = "retired"


class LeaderInput(StrEnum):
    """What can happen to it."""

    WON = "won"
    TAKEN = "taken"
    EXPIRED = "expired"
    RETIRED = "retired"


TRANSITIONS: dict[tuple[LeaderState, LeaderInput], LeaderState] = {
    (LeaderState.STANDBY, LeaderInput.WON): LeaderState.LEADING,
    (LeaderState.STANDBY, LeaderInput.TAKEN): LeaderState.STANDBY,
    (LeaderState.STANDBY, LeaderInput.RETIRED): LeaderState.RETIRED,
    (LeaderState.LEADING, LeaderInput.WON): LeaderState.LEADING,
    (LeaderState.LEADING, LeaderInput.TAKEN): LeaderState.STANDBY,
    (LeaderState.LEADING, LeaderInput.EXPIRED): LeaderState.STANDBY,
    (LeaderState.LEADING, LeaderInput.RETIRED): LeaderState.RETIRED,
    (LeaderState.RETIRED, LeaderInput.WON): LeaderState.RETIRED,
    (LeaderState.RETIRED, LeaderInput.TAKEN): LeaderState.RETIRED,
    (LeaderState.RETIRED, LeaderInput.RETIRED): LeaderState.RETIRED,
}
"""Only one who leads can expire; that pair with any other state is a fault of ours."""


class ImpossibleTransitionError(AssertionError):
    """Our own bug: a state met an input that cannot reach it."""


@dataclass(frozen=True, slots=True)
class WriteLease:
    """Write our name into the Lease of this version, and report the answer, or that none came.

    Without a version: make it, held by nobody.
    """

    version: int | None
    is_claim: bool


@dataclass(frozen=True, slots=True)
class Lead:
    """We lead from now on; `fence` where the last holder may still have a write on its way."""

    fence: bool


@dataclass(frozen=True, slots=True)
class StandDown:
    """We lead no more."""

    why: LeaderInput


LeadershipEffect = WriteLease | Lead | StandDown


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The times of the election, in seconds, the same for every replica of a version.

    `margin_seconds` is for a write that is sent at the last moment, and for clocks that run at different speeds.
    """

    lease_seconds: float
    renew_seconds: float
    retry_seconds: float
    margin_seconds: float


class Leadership:
    """The machine. `identity` names this run of the process in the Lease; nothing is written before the first tick."""

    def __init__(self, identity: str, rhythm: Rhythm) -> None:
        self.state = LeaderState.STANDBY
        self._identity = identity
        self._rhythm = rhythm
        self._lease: LeaderLease | None = None
        self._changed_at: float | None = None
        """When the Lease was seen to change, or to be missing; None before it was read."""
        self._was_held = False
        """Whether the last holder we know of has not let go."""
        self._sent_at: float | None = None
        """When the write was sent that is on its way."""
        self._fence = False
        self._write_not_before = float("-inf")
        self._valid_until = float("-inf")

    @property
    def holder(self) -> str:
        """Who has the Lease, as far as we know; empty where nobody does."""
        return self._lease.holder if self._lease else ""

    def may_write(self, now: float) -> bool:
        """Whether no other replica can lead now."""
        return self.state is LeaderState.LEADING and now < self._valid_until

    def lease_seen(self, lease: LeaderLease | None, now: float) -> list[LeadershipEffect]:
        """Take in the Lease as the API server showed it (None: there is none); what is older than known is ignored."""
        effects = self._expire(now)
        if lease is None:
            self._lease, self._changed_at, self._write_not_before = None, now, min(now, self._write_not_before)
            return effects
        if self._lease is not None and lease.version <= self._lease.version:
            return effects
        self._lease, self._changed_at = lease, now
        if lease.is_new:
            self._write_not_before = min(now, self._write_not_before)
            return effects
        self._was_held = bool(lease.holder)
        return effects if lease.holder == self._identity else effects + self._apply(LeaderInput.TAKEN)

    def write_answered(self, lease: LeaderLease, now: float) -> list[LeadershipEffect]:
        """Take in the Lease as the API server has it after our write."""
        assert self._sent_at is not None
        sent_at, self._sent_at = self._sent_at, None
        effects = self.lease_seen(lease, now)
        valid_until = sent_at + self._rhythm.lease_seconds - self._rhythm.margin_seconds
        if self._lease != lease or lease.holder != self._identity or now >= valid_until:
            return effects
        self._valid_until = valid_until
        self._write_not_before = sent_at + self._rhythm.renew_seconds
        return effects + self._apply(LeaderInput.WON)

    def write_failed(self, now: float) -> list[LeadershipEffect]:
        """Take in that our write was refused, or that no answer came."""
        assert self._sent_at is not None
        self._write_not_before = self._sent_at + self._rhythm.retry_seconds
        self._sent_at = None
        return self._expire(now)

    def retire(self) -> list[LeadershipEffect]:
        """Lead no more, and never again."""
        return self._apply(LeaderInput.RETIRED)

    def tick(self, now: float) -> list[LeadershipEffect]:
        """Let time pass: stop in time, write the Lease when that is due."""
        effects = self._expire(now)
        due_at = self._write_due_at()
        if due_at is not None and now >= due_at:
            self._sent_at, self._fence = now, self._was_held
            version = self._lease.version if self._lease else None
            is_renewal = self.state is LeaderState.LEADING and self.holder == self._identity
            effects.append(WriteLease(version, is_claim=not is_renewal))
        return effects

    def next_deadline(self) -> float | None:
        """Tell when `tick` may have something to do, if nothing else happens before."""
        due_at = self._write_due_at()
        if self.state is not LeaderState.LEADING:
            return due_at
        return self._valid_until if due_at is None else min(due_at, self._valid_until)

    def check_invariants(self) -> None:
        """Hold after every call."""
        if self.state is LeaderState.LEADING:
            assert self._valid_until > float("-inf")
            assert self.holder in {self._identity, ""}
        assert self._lease is None or self._changed_at is not None

    def _write_due_at(self) -> float | None:
        """One write at a time: a renewal as long as we lead, else a claim once nobody else can."""
        if self._changed_at is None or self._sent_at is not None or self.state is LeaderState.RETIRED:
            return None
        if self.state is LeaderState.LEADING:
            return self._write_not_before
        return max(self._write_not_before, self._free_at(self._changed_at))

    def _free_at(self, changed_at: float) -> float:
        if self._lease is None or not (self._lease.holder or self._lease.is_new):
            return changed_at
        return changed_at + (self._lease.seconds or self._rhythm.lease_seconds)

    def _expire(self, now: float) -> list[LeadershipEffect]:
        is_over = self.state is LeaderState.LEADING and now >= self._valid_until
        return self._apply(LeaderInput.EXPIRED) if is_over else []

    def _apply(self, happened: LeaderInput) -> list[LeadershipEffect]:
        before, after = self.state, TRANSITIONS.get((self.state, happened))
        if after is None:
            raise ImpossibleTransitionError(f"{happened} while {before}")
        self.state = after
        if before is after:
            return []
        if after is LeaderState.LEADING:
            return [Lead(self._fence)]
        return [StandDown(happened)] if before is LeaderState.LEADING else []
