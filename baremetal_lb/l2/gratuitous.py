"""When to tell a segment, unasked, that an address is here.

A new holding is announced at once and four times more within two seconds, since a single frame may be lost. Three
more follow within 35 seconds: a switch that runs the spanning tree protocol lets nothing through for 30 seconds
after a line came up or another switch failed. Where a refresh is wanted, it goes on with that as long as it holds.

So that a node which takes over a thousand addresses neither storms the segment nor stalls itself, they leave at a
pace (`pace.py`). At that cap none is dropped: single announcements, which somebody's wrong claim called for, go before
first ones, these go before repetitions, and all wait.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

from baremetal_lb.addresses import Address
from baremetal_lb.l2.pace import Pace
from baremetal_lb.l2.packets import Frames

GAPS_SECONDS = (0.0, 0.1, 0.4, 0.6, 0.9, 3.0, 10.0, 20.0)
"""The time before each announcement, counted from the one before: at 0, 0.1, 0.5, 1.1, 2, 5, 15 and 35 seconds."""


@dataclass(slots=True, eq=False)
class Holding:
    """One address that we answer for on one interface, and what we have sent for it.

    `announce_at` is when it is announced next, and None when it is not: it was announced often enough, or given up.
    `is_due_once` is whether it is to be announced besides.
    """

    interface_index: int
    address: Address
    frames: Frames
    replies: int = 0
    announcements: int = 0
    announce_at: float | None = None
    is_due_once: bool = False

    def stop_announcing(self) -> None:
        """Announce it no more."""
        self.announce_at, self.is_due_once = None, False


@dataclass(slots=True)
class GratuitousSchedule:
    """What is to be announced when: a queue a round, each in order of time, and the last for what is refreshed."""

    refresh_seconds: float = 0.0
    """Between two announcements of what was announced often enough; 0: it is announced no more."""

    _rounds: tuple[deque[tuple[float, Holding]], ...] = field(
        default_factory=lambda: tuple(deque() for _ in range(len(GAPS_SECONDS) + 1))
    )
    _singles: deque[Holding] = field(default_factory=deque)
    _pace: Pace = field(default_factory=Pace)

    def add(self, holding: Holding, now: float) -> None:
        """Announce a holding from now on; if it is being announced already, start over."""
        self._enqueue(0, holding, now)

    def add_once(self, holding: Holding) -> None:
        """Announce a holding once, as soon as the pace allows, whatever else is to come of it."""
        if not holding.is_due_once:
            holding.is_due_once = True
            self._singles.append(holding)

    def take_due(self, now: float) -> list[Holding]:
        """Take the holdings to announce now, each to come again until its rounds are over."""
        due = []
        while self._singles and (not self._singles[0].is_due_once or self._pace.take(now)):
            holding = self._singles.popleft()
            if holding.is_due_once:
                holding.is_due_once = False
                due.append(holding)
        for number, queue in enumerate(self._rounds):
            while queue and queue[0][0] <= now and (queue[0][1].announce_at != queue[0][0] or self._pace.take(now)):
                announce_at, holding = queue.popleft()
                if holding.announce_at == announce_at:
                    due.append(holding)
                    self._enqueue(number + 1, holding, now)
        return due

    def next_deadline(self) -> float | None:
        """When `take_due` is to be called next; None if nothing is left to announce."""
        if self._singles:
            return self._pace.next_at(-inf)
        first = min((queue[0][0] for queue in self._rounds if queue), default=None)
        return None if first is None else self._pace.next_at(first)

    def _enqueue(self, number: int, holding: Holding, now: float) -> None:
        is_refresh = number >= len(GAPS_SECONDS)
        if is_refresh and not self.refresh_seconds:
            holding.announce_at = None
            return
        holding.announce_at = now + (self.refresh_seconds if is_refresh else GAPS_SECONDS[number])
        self._rounds[min(number, len(GAPS_SECONDS))].append((holding.announce_at, holding))
