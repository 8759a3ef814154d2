"""The driver of the station: it waits for frames, for changes of the links, and for timers.

Whatever breaks in a callback ends the `async with` block of the driver, as a failed task ends its TaskGroup.
"""

import asyncio
import errno
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from math import inf
from types import TracebackType
from typing import Self, TypeVarTuple

import structlog

from baremetal_lb.addresses import Address
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface, Unsuitable, inspect
from baremetal_lb.l2.io.kernel_links import list_links, open_link_events
from baremetal_lb.l2.io.port import Port
from baremetal_lb.l2.io.reading import read
from baremetal_lb.l2.links import IncompleteList
from baremetal_lb.l2.responder import (
    Effect,
    JoinGroup,
    LeaveGroup,
    Listen,
    ListenForPings,
    Responder,
    SendFrame,
)
from baremetal_lb.l2.segment import SegmentEvent, Wish
from baremetal_lb.l2.station import FrameCounts, Station
from baremetal_lb.l2.templates import Templates
from baremetal_lb.settings import EXCLUDED_INTERFACES, REFRESH_SECONDS

FRAMES_PER_WAKE_UP = 64
"""Under a flood the loop comes round to timers and other sockets after this many frames, which is about 1 ms."""

LIST_PAUSE_SECONDS = 0.05
"""Links are listed at once after a change, but not more often than this: pods come and go in hundreds."""

PULSE_SECONDS = 0.1
STALL_SECONDS = 0.3
"""After so long another node may have taken over what we hold. Until we know, nothing that waits to be read is answered
as if nothing had happened."""

_LARGEST_FRAME = 1514
_VANISHED = {errno.ENODEV, errno.ENXIO}

Arguments = TypeVarTuple("Arguments")

TakeIn = Callable[[int, bytes, float], list[Effect | SegmentEvent]]

log = structlog.get_logger()


class L2Driver:
    """Announces addresses on this node's segments for as long as its `async with` block runs.

    `on_segment` is told what was found out and done there, `outranks` whether another node's claim to an address goes
    before ours; both may be called before a method returns.
    """

    def __init__(
        self,
        *,
        on_interfaces: Callable[[], None] = lambda: None,
        on_segment: Callable[[list[SegmentEvent]], None] = lambda _: None,
        outranks: Callable[[Address, str], bool] = lambda _address, _node: False,
        excluded_interfaces: str = EXCLUDED_INTERFACES,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.counts = FrameCounts()
        self._on_interfaces = on_interfaces
        self._on_segment = on_segment
        self._outranks = outranks
        self._refresh_seconds = refresh_seconds
        self._excluded = re.compile(excluded_interfaces)
        self._judged: dict[str, Interface | Unsuitable] = {}
        self._ports: dict[int, Port] = {}
        self._listed_at = 0.0
        self._listing: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._pulsing: asyncio.TimerHandle | None = None
        self._pulse_at = inf
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        responder = Responder(await _build_templates(), refresh_seconds=self._refresh_seconds)
        self._station = Station(responder, self._outranks, self.counts)
        self._link_events = open_link_events()
        self._loop.add_reader(self._link_events, self._guard, self._links_changed)
        self._judge_links()
        self._pulse()
        await self._tasks.__aenter__()
        self._tasks.create_task(self._until_broken())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in (self._listing, self._ticking, self._pulsing):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._link_events)
        self._link_events.close()
        for port in self._ports.values():
            port.close()
        self._broken.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def set_wishes(self, wishes: Mapping[Address, Wish]) -> None:
        """Want these addresses, and no others."""
        self._guard(lambda: self._apply(self._station.set_wishes(wishes, self._loop.time())))

    def set_speakers(self, speakers: Mapping[bytes, str]) -> None:
        """Know the MACs of all other speakers, by node."""
        self._guard(lambda: self._apply(self._station.set_speakers(speakers, self._loop.time())))

    def ask_again(self, addresses: Collection[Address] | None = None) -> None:
        """Ask for these (or all) that are held, while answering for them: we were away for a moment."""
        self._guard(lambda: self._apply(self._station.ask_again(addresses, self._loop.time())))

    def announce_again(self) -> None:
        """Announce all that is held as if it were new."""
        self._guard(lambda: self._apply(self._station.announce_again(self._loop.time())))

    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces that can carry announcements now; `on_interfaces` is called after they changed."""
        return tuple(one for one in self._judged.values() if isinstance(one, Interface))

    def holdings(self) -> Iterator[Holding]:
        """What is announced where, with what was sent for it. Read only."""
        return self._station.holdings()

    async def _until_broken(self) -> None:
        await self._broken

    def _guard(self, callback: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        """Call; an exception ends the driver. The event loop would only log it and go on without us."""
        try:
            callback(*arguments)
        except Exception as error:
            if not self._broken.done():
                self._broken.set_exception(error)

    def _apply(self, effects: Iterable[Effect | SegmentEvent]) -> None:
        """Do what the station wants done, then tell what happened there."""
        events = []
        for effect in effects:
            if isinstance(effect, SegmentEvent):
                events.append(effect)
            else:
                self._perform(effect)
        self._set_timer()
        if events:
            self._on_segment(events)

    def _set_timer(self) -> None:
        deadline = self._station.next_deadline()
        if self._ticking is not None:
            if self._ticking.when() == deadline:
                return
            self._ticking.cancel()
        self._ticking = None if deadline is None else self._loop.call_at(deadline, self._guard, self._tick)

    def _pulse(self) -> None:
        self._notice_stall()
        self._pulse_at = self._loop.time() + PULSE_SECONDS
        self._pulsing = self._loop.call_at(self._pulse_at, self._guard, self._pulse)

    def _notice_stall(self) -> None:
        """Where the loop stood still, ask whether all is still ours, before anything else is done."""
        now = self._loop.time()
        if now > self._pulse_at + STALL_SECONDS:
            self._pulse_at = now
            self._apply(self._station.ask_again(None, now))

    def _tick(self) -> None:
        self._notice_stall()
        self._ticking = None
        self._apply(self._station.tick(self._loop.time()))

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Listen | ListenForPings):
            self._listen(effect)
            return
        port = self._ports.get(effect.interface_index)
        if port is None:  # its interface has just vanished
            return
        match effect:
            case SendFrame(frame=frame):
                self._send(port, frame)
            case JoinGroup(group=group):
                port.join(group)
            case LeaveGroup(group=group):
                port.leave(group)

    def _send(self, port: Port, frame: bytes) -> None:
        """Hand a frame to the kernel; what it does not take at once is lost, as on the wire."""
        try:
            port.send(frame)
        except OSError as error:
            self.counts.send_failures[errno.errorcode.get(error.errno or 0, "unknown")] += 1

    def _listen(self, effect: Listen | ListenForPings) -> None:
        index = effect.interface_index
        port = self._ports.get(index)
        if port is None:
            if isinstance(effect, ListenForPings):  # nothing is held where nothing is listened to
                return
            port = self._ports[index] = self._open_port(index)
        listen = port.listen if isinstance(effect, Listen) else port.listen_for_pings
        try:
            listen(effect.family, effect.targets)
        except OSError as error:
            if error.errno not in _VANISHED:
                raise
            port.close()
            self._loop.call_soon(self._guard, self._start_over_on, index)
        if not port.is_listening:
            port.close()
            del self._ports[index]

    def _open_port(self, index: int) -> Port:
        station = self._station
        return Port(
            index,
            self._loop,
            on_frames=lambda source: self._guard(self._receive, index, source, station.frame_received),
            on_pings=lambda source: self._guard(self._receive, index, source, station.ping_received),
        )

    def _receive(self, index: int, source: socket.socket, take_in: TakeIn) -> None:
        self._notice_stall()
        effects: list[Effect | SegmentEvent] = []
        for _ in range(FRAMES_PER_WAKE_UP):
            frame = read(source, _LARGEST_FRAME)
            if not frame:
                break
            self.counts.received += 1
            effects += take_in(index, frame, self._loop.time())
        self._apply(effects)

    def _start_over_on(self, index: int) -> None:
        """Forget an interface that vanished or was renamed under our hands; if it is there, the list brings it back."""
        others = {one.index: one for one in self.interfaces() if one.index != index}
        self._judged = {one.name: one for one in others.values()}
        self._apply(self._station.interfaces_changed(others, self._loop.time()))
        self._list_links_soon()

    def _links_changed(self) -> None:
        """List the links soon. What the events say is not looked at, so losing one loses nothing."""
        while read(self._link_events, _LARGEST_FRAME):
            pass
        self._list_links_soon()

    def _list_links_soon(self) -> None:
        if self._listing is None:
            earliest = self._listed_at + LIST_PAUSE_SECONDS
            self._listing = self._loop.call_at(earliest, self._guard, self._list_links_again)

    def _list_links_again(self) -> None:
        self._listing = None
        if self._judge_links():
            self._on_interfaces()

    def _judge_links(self) -> bool:
        """List the links and use those that are suitable; tell whether these have changed."""
        self._listed_at = now = self._loop.time()
        try:
            judged = {link.name: inspect(link, self._excluded) for link in list_links()}
        except IncompleteList:
            self._list_links_soon()
            return False
        _log_differences(self._judged, judged)
        before, self._judged = self.interfaces(), judged
        if self.interfaces() == before:
            return False
        usable = {interface.index: interface for interface in self.interfaces()}
        self._apply(self._station.interfaces_changed(usable, now))
        return True


async def _build_templates() -> Templates:
    """Let a child process pay for scapy."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", Templates.__module__, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    output, _ = await child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"building the frame templates failed with exit code {child.returncode}")
    return Templates.from_json(output.decode())


def _log_differences(before: Mapping[str, Interface | Unsuitable], after: Mapping[str, Interface | Unsuitable]) -> None:
    """Log each interface that has become usable or has ceased to be, containers' own excepted."""
    for name in sorted(before.keys() | after.keys()):
        match before.get(name), after.get(name):
            case ((None | Unsuitable()), Interface(only_by_name=False, mac=mac)):
                log.info("interface carries announcements", interface=name, mac=mac.hex(":"))
            case Interface(only_by_name=False), Unsuitable(reason=reason):
                log.info("interface carries no announcements", interface=name, reason=reason.value)
            case Interface(only_by_name=False), None:
                log.info("interface is gone", interface=name)
