"""The alarm clock of a machine with thousands of subjects, each with a few alarms that are set anew all the time."""

import heapq
from enum import StrEnum, auto
from itertools import count
from math import inf

from baremetal_lb.addresses import Address


class Alarm(StrEnum):
    """What an address may wait for."""

    LOOK = auto()
    """The end of what its state waits for."""
    INSIST = auto()
    """The moment from which it may be announced once more."""
    QUIET = auto()
    """The moment from which a foreign host that said nothing more is taken for gone."""


class Alarms:
    """At most one alarm of each kind for each address."""

    def __init__(self) -> None:
        self._set: dict[tuple[Address, Alarm], float] = {}
        self._heap: list[tuple[float, int, tuple[Address, Alarm]]] = []
        self._numbers = count()

    def set(self, address: Address, alarm: Alarm, at: float) -> None:
        """Set or move an alarm; one at infinity is none."""
        key = (address, alarm)
        if at == inf:
            self._set.pop(key, None)
        elif self._set.get(key) != at:
            self._set[key] = at
            heapq.heappush(self._heap, (at, next(self._numbers), key))

    def at(self, address: Address, alarm: Alarm) -> float | None:
        """Tell when an alarm will go off, if it is set."""
        return self._set.get((address, alarm))

    def cancel(self, address: Address, *alarms: Alarm) -> None:
        """Unset alarms, whether they are set or not."""
        for alarm in alarms:
            self._set.pop((address, alarm), None)

    def take_due(self, now: float) -> tuple[Address, Alarm, float] | None:
        """Take the first alarm that is due, with the time that it was set for."""
        at = self.next_at()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._set[key]
        return *key, at

    def next_at(self) -> float | None:
        """Tell when the next alarm is due. Forgets those that were moved or cancelled."""
        while self._heap and self._set.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
