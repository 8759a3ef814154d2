"""Three nodes over a network that loses, delays, reorders and doubles beats; somebody records and replays them.

Node `a` judges. It stalls as often as it likes; the others don't. In the end `b` dies.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from baremetal_lb.election.beats import (
    FIRST_BEAT_SECONDS,
    Beats,
    Effect,
    PeerChanged,
    Rhythm,
    SendBeat,
)
from baremetal_lb.election.messages import RefusedBeat
from baremetal_lb.election.peer import NONCE_SECONDS, WATCHER_SECONDS, PeerState

RHYTHM = Rhythm(interval_seconds=0.1, misses=3, speaker_seconds=0.3)
KEYS = {1: b"1" * 32}
MAX_LOST_IN_A_ROW = RHYTHM.misses - 1
MAX_DELAY_SECONDS = 0.02
MAX_LATENESS_SECONDS = 0.004
"""Of timers; with the delay less than the quarter of an interval that beats may be late."""

Stalls = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 4.0)), max_size=6)
"""How long it runs, and then stalls."""


@dataclass
class Conditions:
    loss: float
    doubling: float
    replaying: float
    mutual: bool
    """Whether the others watch `a`, too."""


@dataclass
class Node:
    name: str
    machine: Beats
    stalls: list[tuple[float, float]] = field(default_factory=list)
    queue: list[tuple[bytes, str]] = field(default_factory=list)
    wake_at: float = 0.0
    dead: bool = False

    def runs_from(self, now: float) -> float:
        """When it runs again; now, if it does not stall."""
        return next((end for start, end in self.stalls if start <= now < end), now)


class World:
    """A network, three drivers, a clock."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.random = Random(seed)
        self.conditions = conditions
        self.now = 0.0
        self.events: list[tuple[float, int, str, tuple[bytes, str] | None]] = []
        self.order = count()
        self.lost: dict[tuple[str, str], int] = {}
        self.recorded: list[tuple[str, bytes]] = []
        self.changes: list[PeerChanged] = []
        """What `a` has judged."""
        self.nodes = {name: Node(name, self.new_machine(name)) for name in "abc"}
        for node in self.nodes.values():
            others = {name: name for name in "abc" if name != node.name}
            watched = others if node.name == "a" or conditions.mutual else {}
            self.perform(node, node.machine.set_keys(KEYS, 0.0))
            self.perform(node, node.machine.set_peers(watched, 0.0))
            self.push(0.0, node.name)

    def new_machine(self, name: str) -> Beats:
        return Beats(name, self.random.getrandbits(64), RHYTHM, lambda: self.random.getrandbits(64) | 1, 0.0)

    def push(self, at: float, name: str, datagram: tuple[bytes, str] | None = None) -> None:
        heappush(self.events, (at, next(self.order), name, datagram))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self.now, _, name, datagram = heappop(self.events)
            node = self.nodes[name]
            if node.dead:
                continue
            if datagram is not None:
                node.queue.append(datagram)
            elif self.now < node.wake_at:
                continue
            runs_from = node.runs_from(self.now)
            if runs_from > self.now:
                node.wake_at = runs_from
                self.push(runs_from, name)
            else:
                self.turn(node)
        self.now = until

    def turn(self, node: Node) -> None:
        """What the driver does: read all that waits, then let the machine judge."""
        waiting, node.queue = node.queue, []
        self.perform(node, node.machine.speaker_is_well(self.now))
        for data, sender in waiting:
            try:
                effects = node.machine.beat_received(data, sender, self.now)
            except RefusedBeat:
                continue
            self.perform(node, effects)
        self.perform(node, node.machine.tick(self.now))
        node.machine.check_invariants()
        node.wake_at = max(node.machine.next_deadline(), self.now) + self.random.uniform(0, MAX_LATENESS_SECONDS)
        self.push(node.wake_at, node.name)

    def perform(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendBeat):
                self.send(node.name, effect.address, effect.data)
            elif node.name == "a":
                self.changes.append(effect)

    def send(self, sender: str, receiver: str, data: bytes) -> None:
        if receiver not in self.nodes:
            return
        self.recorded.append((receiver, data))
        if self.random.random() < self.conditions.replaying:
            self.replay()
        lost = self.lost.get((sender, receiver), 0)
        if lost < MAX_LOST_IN_A_ROW and self.random.random() < self.conditions.loss:
            self.lost[sender, receiver] = lost + 1
            return
        self.lost[sender, receiver] = 0
        self.push(self.now + self.random.uniform(0, MAX_DELAY_SECONDS), receiver, (data, sender))
        if self.random.random() < self.conditions.doubling:
            self.push(self.now + self.random.uniform(0, 2.0), receiver, (data, sender))

    def replay(self) -> None:
        """Send anything that was ever sent to whom it was for, or to somebody else, lately or not."""
        receiver, data = self.random.choice(self.recorded[-self.random.choice((5, 50, 5_000)) :])
        if self.random.random() < 0.1:
            receiver = self.random.choice("abc")
        self.push(self.now + self.random.uniform(0, 0.5), receiver, (data, "attacker"))

    def stall_judge(self, stalls: list[tuple[float, float]]) -> float:
        """Let `a` stall from now on as told; answer when that is over."""
        at = self.now
        for runs, stalls_for in stalls:
            self.nodes["a"].stalls.append((at + runs, at + runs + stalls_for))
            at += runs + stalls_for
        return at

    def awake_seconds(self, since: float) -> float:
        """How long `a` has run since then."""
        stalled = [min(self.now, end) - max(since, start) for start, end in self.nodes["a"].stalls]
        return self.now - since - sum(max(0.0, seconds) for seconds in stalled)


def in_touch(conditions: Conditions, seed: int) -> World:
    """Bring up the three, without loss until `a` has heard the others."""
    world = World(Conditions(0.0, 0.0, 0.0, conditions.mutual), seed)
    world.run(0.5)
    assert [(one.node, one.after) for one in sorted(world.changes)] == [("b", PeerState.ALIVE), ("c", PeerState.ALIVE)]
    world.changes.clear()
    world.conditions = conditions
    return world


EveryCondition = st.builds(
    Conditions,
    loss=st.sampled_from((0.0, 0.1, 0.5, 0.9)),
    doubling=st.sampled_from((0.0, 0.3)),
    replaying=st.sampled_from((0.0, 0.3, 1.0)),
    mutual=st.booleans(),
)


@settings(max_examples=60)
@given(EveryCondition, Stalls, st.integers(0, 2**32))
@example(Conditions(0.5, 0.0, 0.0, mutual=False), [(0.0, 2.0), (0.0, 4.0), (0.0, 4.0)], 0).via("others give us up")
def test_nobody_alive_is_judged_silent_while_one_beat_in_three_arrives(
    conditions: Conditions, stalls: list[tuple[float, float]], seed: int
) -> None:
    """However the judge stalls, and whatever is replayed to anybody."""
    world = in_touch(conditions, seed)
    world.run(world.stall_judge(stalls) + 2.0)
    assert world.changes == []


@settings(max_examples=60)
@given(EveryCondition, Stalls, st.integers(0, 2**32))
def test_a_dead_node_is_suspect_in_time(conditions: Conditions, stalls: list[tuple[float, float]], seed: int) -> None:
    """Of the time in which the judge runs.

    Who holds back beats to deliver them later gains a nonce's life at most. A judge that stalled for so long that it
    was given up waits as long as for somebody new.
    """
    world = in_touch(conditions, seed)
    world.run(world.now + world.random.uniform(0.5, 1.5))
    world.nodes["b"].dead = True
    died_at = world.now
    over_at = world.stall_judge(stalls)
    held_back = conditions.doubling or conditions.replaying
    bound = (NONCE_SECONDS if held_back else MAX_DELAY_SECONDS) + RHYTHM.silent_seconds + 2 * MAX_LATENESS_SECONDS
    if over_at + bound + NONCE_SECONDS > died_at + WATCHER_SECONDS:
        bound += FIRST_BEAT_SECONDS - RHYTHM.silent_seconds
    while not world.changes:
        world.run(world.now + 0.01)
        assert world.awake_seconds(died_at) <= bound + 0.01
    assert [(one.node, one.after) for one in world.changes] == [("b", PeerState.SILENT)]
    world.run(over_at + 3.0)
    assert world.nodes["a"].machine.states["b"][0] is PeerState.SILENT
    assert [one.node for one in world.changes] == ["b"]
