"""The addresses that this node deals with, each in one state, and every step from one state to another.

When a step is to be taken is decided in `takeover.py`; here is what it entails: which alarms are set, which probes
queue, what has to be done or said outside.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

from baremetal_lb.addresses import Address
from baremetal_lb.l2.alarms import Alarm, Alarms
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.pace import Pace
from baremetal_lb.l2.reactions import HELD, State
from baremetal_lb.l2.segment import (
    Announce,
    Ask,
    Began,
    Ended,
    ForeignHost,
    ForeignHostGone,
    HeldBy,
    TakeoverEffect,
    Wish,
)

ANSWER_SECONDS = 0.03
"""How long the answer to each probe is awaited."""

LOOK_AGAIN_SECONDS = 1.0
"""After another of ours turned out to have the address."""

LONGEST_DISPUTE_SECONDS = 30.0
"""After a foreign host turned out to have it, at last; at first a second."""

INSIST_SECONDS = 1.0
"""Between two times that an address is announced because somebody else did, or asked for it."""

QUIET_SECONDS = 60.0
"""A foreign host that said nothing for so long has given the address up."""


@dataclass(slots=True)
class ForeignClaim:
    """Who was heard to have the address although it is none of ours: the first, until all are quiet."""

    mac: bytes
    heard_at: float
    was_asked: bool = False
    """Whether we asked for the address because nothing was heard for so long."""


@dataclass(slots=True, eq=False)
class Matter:
    """An address and what this node has to do with it."""

    address: Address
    wish: Wish
    carriers: frozenset[int] = frozenset()
    """The indexes of the interfaces that the wish covers."""
    state: State = State.OVER
    probes: int = 0
    """How many were sent in this look."""
    is_queued: bool = False
    """Whether a probe waits for its turn."""
    rival: bytes | None = None
    """The lowest MAC of another of ours that asked in this look."""
    holder: str | None = None
    """The node of ours that was last said to have it."""
    foreign: ForeignClaim | None = None
    disputes: int = 0
    announced_at: float = -inf
    contested_at: float = -inf
    """When another of ours last announced it, too."""
    in_vain: int = 0
    """How often we have announced it since, so that ours is the last word."""
    defended_at: float = -inf


@dataclass(frozen=True, slots=True)
class Sighting:
    """Who was heard, and where; `node` is empty for a foreign host."""

    mac: bytes
    node: str
    interface: Interface
    now: float


@dataclass(slots=True)
class Asks:
    """The probes that wait for their turn: what has been begun is finished first."""

    first: deque[Matter] = field(default_factory=deque)
    further: deque[Matter] = field(default_factory=deque)

    def add(self, matter: Matter) -> None:
        """Let a matter wait."""
        matter.is_queued = True
        (self.further if matter.probes else self.first).append(matter)

    def next(self) -> Matter | None:
        """Tell whose turn it is; forget those that were given up meanwhile."""
        for queue in (self.further, self.first):
            while queue and not queue[0].is_queued:
                queue.popleft()
        return next((queue[0] for queue in (self.further, self.first) if queue), None)


class Matters:
    """All of them, by address."""

    def __init__(self) -> None:
        self.by_address: dict[Address, Matter] = {}
        self.alarms = Alarms()
        self._asks = Asks()
        self._pace = Pace()
        self._effects: list[TakeoverEffect] = []

    def take_effects(self) -> list[TakeoverEffect]:
        """Take what is to be done outside, and said."""
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float | None:
        """When an alarm goes off or a probe may be sent."""
        alarm = self.alarms.next_at()
        if self._asks.next() is None:
            return alarm
        probe = self._pace.next_at(-inf)
        return probe if alarm is None else min(alarm, probe)

    def do(self, effect: TakeoverEffect) -> None:
        """Have something done outside, or said."""
        self._effects.append(effect)

    def enter(self, matter: Matter, state: State) -> None:
        """Leave the old state with all that it waited for. Whether we answer changes only here."""
        was_held, matter.state = matter.state in HELD, state
        matter.is_queued = False
        self.alarms.cancel(matter.address, Alarm.LOOK)
        if state not in {State.HOLDING, State.CHECKING}:
            self.alarms.cancel(matter.address, Alarm.INSIST)
        if was_held and state not in HELD:
            self.do(Ended(matter.address))
        if state in HELD and not was_held:
            self.do(Began(matter.address))

    def forget(self, matter: Matter) -> None:
        """Have nothing to do with it any more."""
        self.enter(matter, State.OVER)
        self.alarms.cancel(matter.address, *Alarm)
        del self.by_address[matter.address]

    def wait(self, matter: Matter, now: float) -> None:
        """Begin all over, when its time has come."""
        self.enter(matter, State.WAITING)
        matter.holder = None
        if matter.carriers:
            self.alarms.set(matter.address, Alarm.LOOK, max(now, matter.wish.begin_at))

    def look(self, matter: Matter, state: State) -> None:
        """Ask for it, in one of the states in which one does."""
        self.enter(matter, state)
        matter.probes, matter.rival = 0, None
        self._asks.add(matter)

    def look_on(self, matter: Matter) -> None:
        """Ask for it once more in the same look."""
        self._asks.add(matter)

    def begin(self, matter: Matter, now: float) -> None:
        """Answer for it."""
        self.enter(matter, State.HOLDING)
        matter.holder, matter.announced_at = None, now

    def defer(self, matter: Matter, now: float, node: str = "") -> None:
        """Leave it to another of ours for a while."""
        self.enter(matter, State.DEFERRING)
        self.alarms.set(matter.address, Alarm.LOOK, max(now + LOOK_AGAIN_SECONDS, matter.wish.begin_at))
        if node:
            self.note_holder(matter, node)

    def dispute(self, matter: Matter, sighting: Sighting) -> None:
        """Keep off for a while, for longer each time."""
        self.enter(matter, State.DISPUTED)
        self.note_foreign(matter, sighting)
        pause = min(2.0 ** min(matter.disputes, 10), LONGEST_DISPUTE_SECONDS)
        matter.disputes += 1
        self.alarms.set(matter.address, Alarm.LOOK, sighting.now + pause)

    def insist(self, matter: Matter, now: float) -> None:
        """Announce it once more: now or, if that was done a moment ago, in a moment."""
        self.alarms.set(matter.address, Alarm.INSIST, max(now, matter.announced_at + INSIST_SECONDS))

    def announce(self, matter: Matter, now: float) -> None:
        """Announce it once more, now."""
        matter.announced_at = now
        self.do(Announce(matter.address))

    def note_holder(self, matter: Matter, node: str) -> None:
        """Remember which of ours has it, and say so if it is news."""
        if matter.holder != node:
            matter.holder = node
            self.do(HeldBy(matter.address, node))

    def note_foreign(self, matter: Matter, sighting: Sighting) -> None:
        """Remember that a foreign host has it, and say so if it is news."""
        if matter.foreign is not None:
            matter.foreign.heard_at, matter.foreign.was_asked = sighting.now, False
            return
        matter.foreign = ForeignClaim(sighting.mac, sighting.now)
        self.alarms.set(matter.address, Alarm.QUIET, sighting.now + QUIET_SECONDS)
        self.do(ForeignHost(matter.address, sighting.mac, sighting.interface.name))

    def forget_foreign(self, matter: Matter) -> None:
        """Take it that no foreign host has it any more."""
        matter.foreign, matter.disputes = None, 0
        self.alarms.cancel(matter.address, Alarm.QUIET)
        self.do(ForeignHostGone(matter.address))

    def send_probes(self, now: float) -> None:
        """Send as many as may leave now, on every interface of the address."""
        while (matter := self._asks.next()) is not None and self._pace.take(now, len(matter.carriers)):
            matter.is_queued = False
            matter.probes += 1
            self.alarms.set(matter.address, Alarm.LOOK, now + ANSWER_SECONDS)
            self._effects += [Ask(index, matter.address) for index in sorted(matter.carriers)]
