"""Histories of a few speakers and an API server that comes and goes, seen by one of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from baremetal_lb.cluster.lease import LeaseView
from baremetal_lb.election.liveness import Liveness, SpeakerState

LEASE_SECONDS, TRUST_SECONDS, RENEWAL_SECONDS = 3.0, 2.0, 1.0
OTHERS = ("b", "c")
TICKS_PER_SECOND = 10

Spans = st.lists(
    st.tuples(
        st.integers(1, 80),  # tenths of a second that it lasts
        st.sampled_from(("fine", "stream broken", "server silent", "we are stalled")),
        st.frozensets(st.sampled_from(OTHERS)),  # speakers that are dead meanwhile
    ),
    min_size=1,
    max_size=12,
)


class World:
    """An API server in which each living speaker renews every second, and our view of it."""

    def __init__(self) -> None:
        self.tick = 0
        self.machine = Liveness("a/1", lease_seconds=LEASE_SECONDS, trust_seconds=TRUST_SECONDS)
        self.renewed_at = dict.fromkeys(("a", *OTHERS), 0)
        self.missed_at = dict.fromkeys(("a", *OTHERS), float("-inf"))
        self.fine_since: int | None = None
        self.undelivered: list[LeaseView] = []

    def step(self, condition: str, dead: frozenset[str]) -> None:
        self.tick += 1
        for offset, node in enumerate(("a", *OTHERS)):
            due = (self.tick + 3 * offset) % TICKS_PER_SECOND == 0
            if not due or condition == "server silent":
                continue
            if node in dead or (node == "a" and condition == "we are stalled"):
                self.missed_at[node] = self.tick
                continue
            self.undelivered.append(LeaseView(node, f"{node}/1", str(self.tick)))
            self.renewed_at[node] = self.tick
        if condition == "stream broken":
            self.machine.stream_lost()
        if condition == "we are stalled":
            self.fine_since = None
            return
        now = self.tick / TICKS_PER_SECOND
        if condition == "fine":
            for lease in self.undelivered:
                self.machine.lease_seen(lease, now)
            self.undelivered.clear()
            self.fine_since = self.fine_since or self.tick
        else:
            self.fine_since = None
        self.machine.tick(now)
        self.machine.check_invariants()

    def silent_seconds(self, node: str) -> float:
        return (self.tick - self.renewed_at[node]) / TICKS_PER_SECOND

    def missed_seconds_ago(self, node: str) -> float:
        return (self.tick - self.missed_at[node]) / TICKS_PER_SECOND

    def fine_seconds(self) -> float:
        return (self.tick - self.fine_since) / TICKS_PER_SECOND if self.fine_since is not None else 0.0


@settings(max_examples=300, deadline=None)
@given(Spans)
def test_only_the_dead_are_declared_dead_and_all_of_them(spans: list[tuple[int, str, frozenset[str]]]) -> None:
    """Silence is held against a node only if it lately missed a renewal that it could have made."""
    world = World()
    met: set[str] = set()
    for length, condition, dead in spans:
        for _ in range(length):
            before = world.machine.alive
            world.step(condition, dead)
            met |= world.machine.alive
            for node in before - world.machine.alive:
                assert world.missed_seconds_ago(node) <= LEASE_SECONDS
            for node in met & set(OTHERS):
                if min(world.silent_seconds(node), world.fine_seconds()) > LEASE_SECONDS + 2 * RENEWAL_SECONDS:
                    assert world.machine.state_of(node) is SpeakerState.SILENT
