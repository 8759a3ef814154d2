"""Histories of a few replicas and one Lease: delays, pauses, lost answers, cuts, and clocks of different speed."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from baremetal_lb.cluster.leader_lease import LeaderLease
from baremetal_lb.election.leadership import Lead, Leadership, LeaderState, Rhythm, WriteLease

RHYTHM = Rhythm(lease_seconds=4.0, renew_seconds=1.0, retry_seconds=0.5, margin_seconds=0.5)
TIMEOUT_SECONDS = 1.2
TICKS_PER_SECOND = 10
NAMES = ("a", "b", "c")
CONDITIONS = ("fine", "frozen", "cut", "answers lost", "watch stalled", "slow", "dead")

Span = tuple[int, dict[str, str], str]
Spans = st.lists(
    st.tuples(
        st.integers(1, 80),  # tenths of a second that it lasts
        st.fixed_dictionaries({name: st.sampled_from(CONDITIONS) for name in NAMES}),
        st.sampled_from(("", "", "", "deleted", "let go")),  # what happens to the Lease at its end
    ),
    min_size=1,
    max_size=10,
)
Speeds = st.fixed_dictionaries({name: st.sampled_from((0.96, 1.0, 1.04)) for name in NAMES})


@dataclass
class Request:
    effect: WriteLease
    arrives_at: int
    answer_at: int
    answer: LeaderLease | None = None
    arrived: bool = False


@dataclass
class Replica:
    name: str
    speed: float
    machine: Leadership = field(init=False)
    condition: str = "fine"
    pending: Request | None = None
    timeout_at: float = 0.0
    in_network: list[Request] = field(default_factory=list)
    terms: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = Leadership(self.name, RHYTHM)


class World:
    def __init__(self, speeds: dict[str, float]) -> None:
        self.tick = 0
        self.version = 1
        self.lease: LeaderLease | None = LeaderLease("", 1, 4.0)
        self.replicas = [Replica(name, speeds[name]) for name in NAMES]

    def now(self, replica: Replica) -> float:
        return self.tick / TICKS_PER_SECOND * replica.speed

    def leaders(self) -> list[str]:
        return [one.name for one in self.replicas if one.machine.may_write(self.now(one))]

    def step(self) -> None:
        self.tick += 1
        for replica in self.replicas:
            for request in replica.in_network:
                self._travel(replica, request)
            if replica.condition not in {"frozen", "dead"}:
                self._run(replica)
                replica.machine.check_invariants()

    def happen(self, what: str) -> None:
        """To the Lease, as an administrator may do. "let go" robs nobody who leads or may still hear that it does."""
        self.version += 1
        if what == "deleted":
            self.lease = None
        elif what == "let go" and self.lease and not self.leaders() and not any(one.pending for one in self.replicas):
            self.lease = LeaderLease("", self.version, 4.0)

    def _travel(self, replica: Replica, request: Request) -> None:
        """A request arrives even if nobody waits for its answer any more, and as late as it likes."""
        if request.arrived or self.tick < request.arrives_at or replica.condition == "cut":
            return
        request.arrived = True
        if request.effect.version == (self.lease.version if self.lease else None):
            self.version += 1
            is_new = request.effect.version is None
            holder = "" if is_new else replica.name
            self.lease = request.answer = LeaderLease(holder, self.version, RHYTHM.lease_seconds, is_new)

    def _run(self, replica: Replica) -> None:
        now, machine = self.now(replica), replica.machine
        effects = []
        if replica.condition in {"fine", "slow", "answers lost"}:
            effects += machine.lease_seen(self.lease, now)
        request = replica.pending
        if request and now >= replica.timeout_at:
            effects += machine.write_failed(now)
            replica.pending = None
        elif request and request.arrived and self.tick >= request.answer_at and self._answers_reach(replica):
            replica.pending = None
            if request.answer:
                effects += machine.write_answered(request.answer, now)
            else:
                effects += machine.lease_seen(self.lease, now) + machine.write_failed(now)
        for effect in effects + machine.tick(now):
            if isinstance(effect, WriteLease):
                self._send(replica, effect, now)
            elif isinstance(effect, Lead):
                replica.terms.append(effect.fence)

    def _answers_reach(self, replica: Replica) -> bool:
        return replica.condition in {"fine", "slow", "watch stalled"}

    def _send(self, replica: Replica, effect: WriteLease, now: float) -> None:
        slow = 5 if replica.condition == "slow" else 0
        replica.pending = Request(effect, self.tick + slow, self.tick + 2 * slow)
        replica.timeout_at = now + TIMEOUT_SECONDS
        replica.in_network = [one for one in replica.in_network if not one.arrived] + [replica.pending]


def every(condition: str, **others: str) -> dict[str, str]:
    return {name: others.get(name, condition) for name in NAMES}


@settings(max_examples=400, deadline=None)
@given(Spans, Speeds)
@example(
    # One sees that the Lease is missing, sleeps while another makes it and leads, and wakes when it is missing again.
    [
        (1, every("fine"), ""),
        (1, every("fine"), "deleted"),
        (1, every("fine"), ""),
        (77, every("fine", c="frozen"), "deleted"),
        (2, every("fine"), ""),
    ],
    dict.fromkeys(NAMES, 1.0),
)
def test_no_two_may_write_at_a_time(spans: list[Span], speeds: dict[str, float]) -> None:
    world = World(speeds)
    for length, conditions, event in spans:
        for replica in world.replicas:
            replica.condition = conditions[replica.name]
        for _ in range(length):
            world.step()
            assert len(world.leaders()) <= 1
        world.happen(event)
        assert len(world.leaders()) <= 1


@settings(max_examples=200, deadline=None)
@given(Spans, Speeds, st.sampled_from(NAMES))
def test_whoever_is_well_takes_over_within_five_seconds(
    spans: list[Span], speeds: dict[str, float], survivor: str
) -> None:
    """Whatever was before: all others are dead now, and what was on its way has arrived."""
    world = World(speeds)
    for length, conditions, event in spans:
        for replica in world.replicas:
            replica.condition = conditions[replica.name]
        for _ in range(length):
            world.step()
        world.happen(event)
    for replica in world.replicas:
        replica.condition = "fine" if replica.name == survivor else "dead"
    for _ in range(TICKS_PER_SECOND):
        world.step()
    for _ in range(5 * TICKS_PER_SECOND):
        world.step()
    assert world.leaders() == [survivor]


@settings(max_examples=100, deadline=None)
@given(Spans, Speeds)
def test_a_steady_state_has_one_term(spans: list[Span], speeds: dict[str, float]) -> None:
    world = World(speeds)
    for length, conditions, event in spans:
        for replica in world.replicas:
            replica.condition = conditions[replica.name]
        for _ in range(length):
            world.step()
        world.happen(event)
    for replica in world.replicas:
        replica.condition = "fine"
    for _ in range(10 * TICKS_PER_SECOND):
        world.step()
    terms = [len(one.terms) for one in world.replicas]
    for _ in range(20 * TICKS_PER_SECOND):
        world.step()
        assert len(world.leaders()) == 1
    assert [len(one.terms) for one in world.replicas] == terms
    assert [one.machine.state for one in world.replicas].count(LeaderState.LEADING) == 1
