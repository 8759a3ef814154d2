"""The segment of the simulation: who hears whom, how late, and what is lost on the way.

Frames and datagrams are values here; the bytes are tested elsewhere. A node that is frozen hears nothing until it is
thawed; what came meanwhile waits for it in its sockets, up to what these hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from tests.simulation.timeline import Timeline

SOCKET_HOLDS = 300
"""Frames that wait for a frozen node; further ones are dropped."""


@dataclass
class Wire:
    timeline: Timeline
    random: Random
    delay_seconds: tuple[float, float] = (0.0002, 0.002)
    loss: float = 0.0
    lost_in_a_row: int = 2
    """At most, of the beats from one node to another: what the rhythm is made for."""
    unplugged: set[str] = field(default_factory=set)
    deaf: set[tuple[str, str]] = field(default_factory=set)
    """(from, to): what does not arrive."""
    beats_blocked: set[tuple[str, str]] = field(default_factory=set)
    """(from, to): where a firewall drops the beats and nothing else."""
    _lost: dict[tuple[str, str], int] = field(default_factory=dict)

    def carries(self, sender: str, receiver: str) -> bool:
        """Whether what one says reaches the other."""
        return not {sender, receiver} & self.unplugged and (sender, receiver) not in self.deaf

    def carries_beats(self, sender: str, receiver: str) -> bool:
        return self.carries(sender, receiver) and (sender, receiver) not in self.beats_blocked

    def hear_each_other(self, one: str, other: str) -> bool:
        return self.carries(one, other) and self.carries(other, one)

    def part(self, one_side: Iterable[str], other_side: Iterable[str]) -> None:
        """Let nothing pass between two groups of nodes."""
        others = list(other_side)
        for one in one_side:
            for other in others:
                self.deaf |= {(one, other), (other, one)}

    def mend(self) -> None:
        self.unplugged.clear()
        self.deaf.clear()
        self.beats_blocked.clear()

    def send(self, sender: str, receiver: str, deliver: Callable[[], None]) -> None:
        """Carry a frame, unless it is lost."""
        if self.carries(sender, receiver) and self.random.random() >= self.loss:
            self.timeline.after(self.random.uniform(*self.delay_seconds), deliver)

    def send_beat(self, sender: str, receiver: str, deliver: Callable[[], None]) -> None:
        """Carry a beat, unless it is lost; not too many in a row are."""
        if not self.carries_beats(sender, receiver):
            return
        lost = self._lost.get((sender, receiver), 0)
        if lost < self.lost_in_a_row and self.random.random() < self.loss:
            self._lost[sender, receiver] = lost + 1
            return
        self._lost[sender, receiver] = 0
        self.timeline.after(self.random.uniform(*self.delay_seconds), deliver)
