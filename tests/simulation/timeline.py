"""Virtual time: what is to happen, in order, and the clock of each node, which is none of the others'."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

Do = Callable[[], None]


class Timeline:
    """Whatever happens, when it happens. Two things of one moment happen in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Do]] = []
        self._order = count()

    def at(self, when: float, do: Do) -> None:
        heappush(self._events, (max(when, self.now), next(self._order), do))

    def after(self, seconds: float, do: Do) -> None:
        self.at(self.now + seconds, do)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heappop(self._events)
            do()
        self.now = until


@dataclass(frozen=True)
class SkewedClock:
    """A node's own clock: it began elsewhere, and goes a little fast or slow."""

    timeline: Timeline
    offset: float = 0.0
    pace: float = 1.0

    def now(self) -> float:
        return self.offset + self.pace * self.timeline.now

    def at(self, local: float, do: Do) -> None:
        self.timeline.at((local - self.offset) / self.pace, do)
