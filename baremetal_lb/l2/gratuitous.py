"""When to tell a segment, unasked, that an address is here.

A new holding is announced at once and four times more within two seconds, since a single frame may be lost. So
that a node which takes over a thousand addresses neither storms the segment nor stalls itself, at most
`MAX_PER_SECOND` announcements leave (`MAX_BURST` of them at once). At that cap none is dropped: first announcements
go before repetitions, and both wait.
"""

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from math import inf

from baremetal_lb.addresses import Address
from baremetal_lb.l2.packets import Frames

GAPS_SECONDS = (0.0, 0.1, 0.4, 0.6, 0.9)
"""The time before each announcement, counted from the one before: at 0, 0.1, 0.5, 1.1 and 2 seconds."""

MAX_PER_SECOND = 2_500
MAX_BURST = 50


@dataclass(slots=True, eq=False)
class Holding:
    """One address that we answer for on one interface, and what we have sent for it.

    `group` is the multicast group in which its questions arrive; IPv4 needs none. `announce_at` is when it is
    announced next, and None when it is not: it was announced often enough, or given up.
    """

    interface_index: int
    address: Address
    frames: Frames
    group: IPv6Address | None = None
    replies: int = 0
    announcements: int = 0
    announce_at: float | None = None


@dataclass(slots=True)
class GratuitousSchedule:
    """What is to be announced when: a queue a round, each in order of time."""

    _rounds: tuple[deque[tuple[float, Holding]], ...] = field(
        default_factory=lambda: tuple(deque() for _ in GAPS_SECONDS)
    )
    _allowed_at: float = -inf

    def add(self, holding: Holding, now: float) -> None:
        """Announce a holding from now on; if it is being announced already, start over."""
        self._enqueue(0, holding, now)

    def take_due(self, now: float) -> list[Holding]:
        """Take the holdings to announce now, each to come again until its rounds are over."""
        due = []
        self._allowed_at = max(self._allowed_at, now - MAX_BURST / MAX_PER_SECOND)
        for number, queue in enumerate(self._rounds):
            while queue and queue[0][0] <= now and self._allowed_at <= now:
                announce_at, holding = queue.popleft()
                if holding.announce_at != announce_at:
                    continue
                due.append(holding)
                self._allowed_at += 1 / MAX_PER_SECOND
                self._enqueue(number + 1, holding, now)
        return due

    def next_deadline(self) -> float | None:
        """When `take_due` is to be called next; None if nothing is left to announce."""
        first = min((queue[0][0] for queue in self._rounds if queue), default=None)
        return None if first is None else max(first, self._allowed_at)

    def _enqueue(self, number: int, holding: Holding, now: float) -> None:
        if number == len(GAPS_SECONDS):
            holding.announce_at = None
            return
        holding.announce_at = now + GAPS_SECONDS[number]
        self._rounds[number].append((holding.announce_at, holding))
