"""What announces on a node of the simulation: the real takeover machine, and the schedule of announcements.

It is driven as the driver of Layer 2 drives it, but that frames are values: probes, answers and announcements with an
address and a MAC. A probe for an IPv6 address is answered to all nodes (RFC 4861, 7.2.4), one for IPv4 to the asker.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, cast

from baremetal_lb.addresses import Address
from baremetal_lb.l2.gratuitous import GratuitousSchedule, Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import Frames
from baremetal_lb.l2.segment import (
    Announce,
    Ask,
    Began,
    Ended,
    SegmentEvent,
    StopAnnouncing,
    TakeoverEffect,
    Wish,
)
from baremetal_lb.l2.takeover import Takeover
from tests.simulation.timeline import SkewedClock
from tests.simulation.wire import SOCKET_HOLDS, Wire

ETH0 = 2
NO_FRAMES = cast("Frames", None)

Frame = Callable[["SegmentEnd"], None]
"""What a frame does to who receives it."""


class Watcher(Protocol):
    """Who sees, from outside, what each node answers for."""

    def began(self, node: str, address: Address) -> None: ...

    def ended(self, node: str, address: Address) -> None: ...

    def announced(self, node: str, address: Address) -> None: ...


class SegmentEnd:
    """A node's place on the segment."""

    def __init__(
        self, name: str, mac: bytes, clock: SkewedClock, wire: Wire, ends: dict[str, "SegmentEnd"], watcher: Watcher
    ) -> None:
        self.name = name
        self.mac = mac
        self.is_running = False
        self.listening: set[Address] = set()
        """The addresses that it wants, and so listens for."""
        self.on_segment: Callable[[list[SegmentEvent]], None] = lambda _events: None
        self.outranks: Callable[[Address, str], bool] = lambda _address, _node: False
        self._clock = clock
        self._wire = wire
        self._ends = ends
        self._watcher = watcher
        self._inbox: list[Frame] = []
        self._run = 0
        self._new_machines()

    def start(self) -> None:
        """Begin a new run, with the interface that there is."""
        self._new_machines()
        self._inbox.clear()
        self.is_running = True
        self.link_changed()

    def end(self) -> None:
        """Die: the kernel takes the sockets away."""
        for address in list(self._held):
            self._let_go(address)
        self.is_running = False
        self._run += 1

    def freeze(self) -> None:
        self.is_running = False

    def thaw(self) -> None:
        self.is_running = True
        waiting, self._inbox = self._inbox, []
        for frame in waiting:
            frame(self)
        self.tick()

    def holds(self, address: Address) -> bool:
        """Whether it answers for the address, if asked now."""
        return address in self._held

    def link_changed(self) -> None:
        """Have the kernel tell whether there is a link."""
        there = {} if self.name in self._wire.unplugged else {ETH0: Interface(ETH0, "eth0", self.mac)}
        self._perform(self._takeover.interfaces_changed(there, self._clock.now()))

    def set_wishes(self, wishes: Mapping[Address, Wish]) -> None:
        self.listening = set(wishes)
        self._perform(self._takeover.set_wishes(wishes, self._clock.now()))

    def set_speakers(self, speakers: Mapping[bytes, str]) -> None:
        self._perform(self._takeover.set_speakers(speakers, self._clock.now()))

    def ask_again(self, addresses: Collection[Address] | None = None) -> None:
        self._perform(self._takeover.ask_again(addresses, self._clock.now()))

    def announce_again(self) -> None:
        now = self._clock.now()
        for holding in self._held.values():
            self._schedule.add(holding, now)
        self._set_timer()

    def tick(self) -> None:
        now = self._clock.now()
        self._perform(self._takeover.tick(now))

    def receive(self, frame: Frame) -> None:
        """Take a frame from the wire; a frozen node finds it later, unless its sockets are full."""
        if self.is_running:
            frame(self)
        elif len(self._inbox) < SOCKET_HOLDS:
            self._inbox.append(frame)

    def probe_received(self, address: Address, asker: "SegmentEnd") -> None:
        if address not in self.listening:
            return
        if self.holds(address):
            self._answer(address, asker)
        self._perform(self._takeover.probe_heard(address, asker.mac, ETH0, self._clock.now()))

    def answer_received(self, address: Address, mac: bytes) -> None:
        if address in self.listening:
            self._perform(self._takeover.answer_heard(address, mac, ETH0, self._clock.now()))

    def announcement_received(self, address: Address, mac: bytes) -> None:
        if address in self.listening:
            self._perform(self._takeover.announcement_heard(address, mac, ETH0, self._clock.now()))

    def _new_machines(self) -> None:
        self._takeover = Takeover(self._outranks)
        self._schedule = GratuitousSchedule()
        self._held: dict[Address, Holding] = {}
        self.listening = set()
        self._timer_at: float | None = None
        self._run += 1

    def _outranks(self, address: Address, node: str) -> bool:
        return self.outranks(address, node)

    def _answer(self, address: Address, asker: "SegmentEnd") -> None:
        if address.version == 6:
            self._broadcast(address, lambda end: end.announcement_received(address, self.mac))
        else:
            self._unicast(asker, lambda end: end.answer_received(address, self.mac))

    def _broadcast(self, address: Address, frame: Frame) -> None:
        """Send to all; the kernel of who does not listen for the address drops it."""
        for end in self._ends.values():
            if end is not self and address in end.listening:
                self._unicast(end, frame)

    def _unicast(self, end: "SegmentEnd", frame: Frame) -> None:
        self._wire.send(self.name, end.name, lambda: end.receive(frame))

    def _announce(self, address: Address) -> None:
        self._watcher.announced(self.name, address)
        self._broadcast(address, lambda end: end.announcement_received(address, self.mac))

    def _perform(self, effects: Iterable[TakeoverEffect]) -> None:
        events: list[SegmentEvent] = []
        for effect in effects:
            match effect:
                case Ask(address=address):
                    self._broadcast(address, lambda end, address=address: end.probe_received(address, self))  # type: ignore[misc]
                case Announce(address=address):
                    self._announce(address)
                case StopAnnouncing(address=address):
                    self._held[address].announce_at = None
                case _:
                    events.append(effect)
                    self._follow(effect)
        self._announce_due()
        self._set_timer()
        if events:
            self.on_segment(events)

    def _follow(self, event: SegmentEvent) -> None:
        if isinstance(event, Began):
            holding = self._held[event.address] = Holding(ETH0, event.address, NO_FRAMES)
            self._watcher.began(self.name, event.address)
            self._schedule.add(holding, self._clock.now())
        elif isinstance(event, Ended):
            self._let_go(event.address)

    def _let_go(self, address: Address) -> None:
        self._held.pop(address).announce_at = None
        self._watcher.ended(self.name, address)

    def _announce_due(self) -> None:
        for holding in self._schedule.take_due(self._clock.now()):
            self._announce(holding.address)

    def _set_timer(self) -> None:
        deadlines = (self._takeover.next_deadline(), self._schedule.next_deadline())
        at = min((one for one in deadlines if one is not None), default=None)
        if at is None or at == self._timer_at:
            return
        self._timer_at, run = at, self._run
        self._clock.at(at, lambda: self._time_is_up(run, at))

    def _time_is_up(self, run: int, at: float) -> None:
        if (run, at) != (self._run, self._timer_at):
            return
        self._timer_at = None
        if self.is_running:
            self.tick()
