"""The beats between the nodes of a simulation: each node's real machine, driven as the beat process drives it."""

from collections.abc import Callable, Collection
from random import Random

from baremetal_lb.election.beats import Beats, Effect, PeerChanged, Rhythm
from baremetal_lb.election.messages import NO_FLAG, Flag, RefusedBeat
from baremetal_lb.election.peer import PeerState
from tests.simulation.timeline import SkewedClock
from tests.simulation.wire import Wire

RHYTHM = Rhythm(interval_seconds=0.1, misses=3, speaker_seconds=0.3)
KEYS = {1: b"1" * 32}
LATE_SECONDS = 0.004
"""Of timers, at most."""

Changed = Callable[[str, PeerState], None]
"""Told of a peer and what it is now."""


class BeatProcess:
    """One node's; it is frozen with its node, and goes on for a while without its speaker."""

    def __init__(
        self, name: str, clock: SkewedClock, wire: Wire, random: Random, others: dict[str, "BeatProcess"]
    ) -> None:
        self.name = name
        self.is_running = True
        self.on_change: Changed = lambda _node, _state: None
        self._clock = clock
        self._wire = wire
        self._random = random
        self._others = others
        self._machine = self._new_machine()
        self._inbox: list[tuple[bytes, str]] = []
        self._wake_at = 0.0
        self._run = 0

    def start(self) -> None:
        """Begin a new run, which knows nothing of the last."""
        self._machine = self._new_machine()
        self._inbox.clear()
        self._run += 1
        self.is_running = True
        self._perform(self._machine.set_keys(KEYS, self._clock.now()))
        self._turn()

    def tell(self, peers: Collection[str], flags: Flag = NO_FLAG) -> None:
        if self.is_running:
            now = self._clock.now()
            self._perform(self._machine.set_flags(flags, now))
            self._perform(self._machine.set_peers({node: node for node in peers}, now))

    def speaker_is_well(self) -> None:
        if self.is_running:
            self._perform(self._machine.speaker_is_well(self._clock.now()))

    def speaker_is_gone(self) -> None:
        """Say so to the others, and end."""
        if self.is_running:
            self._perform(self._machine.speaker_is_gone(self._clock.now()))
        self.end()

    def end(self) -> None:
        self.is_running = False
        self._run += 1

    def freeze(self) -> None:
        self.is_running = False

    def thaw(self) -> None:
        self.is_running = True
        self._turn()

    def states(self) -> dict[str, PeerState]:
        return {node: state for node, (state, _) in self._machine.states.items()}

    def receive(self, data: bytes, sender: str) -> None:
        """Take a datagram from the wire; a frozen process finds it later."""
        self._inbox.append((data, sender))
        if self.is_running:
            self._turn()

    def _new_machine(self) -> Beats:
        random = self._random
        return Beats(self.name, random.getrandbits(64), RHYTHM, lambda: random.getrandbits(64) | 1, self._clock.now())

    def _turn(self) -> None:
        waiting, self._inbox = self._inbox, []
        now = self._clock.now()
        for data, sender in waiting:
            try:
                effects = self._machine.beat_received(data, sender, now)
            except RefusedBeat:
                continue
            self._perform(effects)
        self._perform(self._machine.tick(now))
        wake_at = max(self._machine.next_deadline(), now)
        if wake_at != self._wake_at:
            self._wake_at, run = wake_at, self._run
            self._clock.at(wake_at + self._random.uniform(0.0, LATE_SECONDS), lambda: self._wake(run, wake_at))

    def _wake(self, run: int, wake_at: float) -> None:
        if self.is_running and (run, wake_at) == (self._run, self._wake_at):
            self._wake_at = 0.0
            self._turn()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, PeerChanged):
                self.on_change(effect.node, effect.after)
            else:
                self._send(effect.address, effect.data)

    def _send(self, receiver: str, data: bytes) -> None:
        other = self._others.get(receiver)
        if other is not None:
            self._wire.send_beat(self.name, receiver, lambda: other.receive(data, self.name))
