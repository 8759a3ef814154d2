"""The driver of the responder: packet sockets, multicast memberships, the kernel's links, one timer.

A port is an interface on which we hold something. It has a socket for each protocol (ETH_P_ARP, ETH_P_IPV6) rather
than one that taps everything, so that no other frame of the node, and none that it sends, is ever copied for us; and
sockets of its own rather than shared ones, so that a flood on one segment fills only that segment's buffers and no
interface is heard that holds nothing. A filter in the kernel passes only questions for our addresses.

Whatever breaks in a callback ends the `async with` block of the driver, as a failed task ends its TaskGroup.
"""

import asyncio
import ctypes
import errno
import re
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from types import TracebackType
from typing import Self, TypeVarTuple

import structlog

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.filter import question_filter
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface, Unsuitable, inspect
from baremetal_lb.l2.links import IncompleteList, Link, list_request, parse_links
from baremetal_lb.l2.packets import Malformed, MalformedPacket
from baremetal_lb.l2.responder import (
    Announcement,
    Effect,
    JoinGroup,
    LeaveGroup,
    Listen,
    Responder,
    SendFrame,
)
from baremetal_lb.l2.templates import Templates
from baremetal_lb.settings import EXCLUDED_INTERFACES

FRAMES_PER_WAKE_UP = 64
"""Under a flood the loop comes round to timers and other sockets after this many frames, which is about 1 ms."""

GROUPS_PER_SOCKET = 200
"""The kernel counts memberships against a socket's option memory (20 KB by default on older kernels)."""

LIST_PAUSE_SECONDS = 0.05
"""Links are listed at once after a change, but not more often than this: pods come and go in hundreds."""

_LARGEST_FRAME = 1514
_LARGEST_ANSWER = 1 << 16
_RECEIVE_BUFFER = 1 << 20
_ATTACH_FILTER = 26
_LINK_EVENTS = 1
_ETHERTYPES = {Family.IPV4: 0x0806, Family.IPV6: 0x86DD}
_VANISHED = {errno.ENODEV, errno.ENXIO}
_NOTHING_TO_READ = {errno.ENETDOWN, errno.ENOBUFS}  # the interface went down; link events were lost

Arguments = TypeVarTuple("Arguments")

log = structlog.get_logger()


@dataclass(slots=True)
class FrameCounts:
    """What metrics say about frames as a whole; each holding counts its own."""

    received: int = 0
    malformed: Counter[Malformed] = field(default_factory=Counter)
    send_failures: Counter[str] = field(default_factory=Counter)


class L2Driver:
    """Announces addresses on this node's segments for as long as its `async with` block runs."""

    def __init__(
        self,
        *,
        on_interfaces: Callable[[], None] = lambda: None,
        excluded_interfaces: str = EXCLUDED_INTERFACES,
    ) -> None:
        self.counts = FrameCounts()
        self._on_interfaces = on_interfaces
        self._excluded = re.compile(excluded_interfaces)
        self._judged: dict[str, Interface | Unsuitable] = {}
        self._ports: dict[int, _Port] = {}
        self._listed_at = 0.0
        self._listing: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._responder = Responder(await _build_templates())
        self._link_events = _open_netlink(_LINK_EVENTS)
        self._loop.add_reader(self._link_events, self._guard, self._links_changed)
        self._judge_links()
        await self._tasks.__aenter__()
        self._tasks.create_task(self._until_broken())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in (self._listing, self._ticking):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._link_events)
        self._link_events.close()
        for port in self._ports.values():
            port.close()
        self._broken.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def set_desired(self, desired: Mapping[Address, Announcement]) -> None:
        """Announce these addresses, and no others."""
        self._guard(lambda: self._apply(self._responder.set_desired(desired, self._loop.time())))

    def announce_again(self) -> None:
        """Announce them all as if they were new."""
        self._guard(lambda: self._apply(self._responder.announce_again(self._loop.time())))

    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces that can carry announcements now; `on_interfaces` is called after they changed."""
        return tuple(one for one in self._judged.values() if isinstance(one, Interface))

    def holdings(self) -> Iterator[Holding]:
        """What is announced where, with what was sent for it. Read only."""
        return self._responder.holdings()

    async def _until_broken(self) -> None:
        await self._broken

    def _guard(self, callback: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        """Call; an exception ends the driver. The event loop would only log it and go on without us."""
        try:
            callback(*arguments)
        except Exception as error:
            if not self._broken.done():
                self._broken.set_exception(error)

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._perform(effect)
        if self._ticking is not None:
            self._ticking.cancel()
        deadline = self._responder.next_deadline()
        self._ticking = None if deadline is None else self._loop.call_at(deadline, self._guard, self._tick)

    def _tick(self) -> None:
        self._apply(self._responder.tick(self._loop.time()))

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Listen):
            self._listen(effect)
            return
        port = self._ports.get(effect.interface_index)
        if port is None:  # its interface vanished, and the list that says so is on its way
            return
        match effect:
            case SendFrame(frame=frame):
                self._send(port, frame)
            case JoinGroup(group=group):
                port.join(group)
            case LeaveGroup(group=group):
                port.leave(group)

    def _send(self, port: "_Port", frame: bytes) -> None:
        """Hand a frame to the kernel; what it does not take at once is lost, as on the wire."""
        try:
            port.send(frame)
        except OSError as error:
            self.counts.send_failures[errno.errorcode.get(error.errno or 0, "unknown")] += 1

    def _listen(self, effect: Listen) -> None:
        index = effect.interface_index
        if index not in self._ports:
            self._ports[index] = _Port(index, self._loop, lambda source: self._guard(self._receive, index, source))
        port = self._ports[index]
        try:
            port.listen(effect.family, effect.targets)
        except OSError as error:
            if error.errno not in _VANISHED:
                raise
            port.close()
        if not port.is_listening:
            port.close()
            del self._ports[index]

    def _receive(self, index: int, source: socket.socket) -> None:
        for _ in range(FRAMES_PER_WAKE_UP):
            frame = _read(source)
            if not frame:
                return
            self.counts.received += 1
            try:
                effects = self._responder.frame_received(index, frame)
            except MalformedPacket as malformed:
                self.counts.malformed[malformed.reason] += 1
                continue
            for effect in effects:
                self._perform(effect)

    def _links_changed(self) -> None:
        """List the links soon. What the events say is not looked at, so losing one loses nothing."""
        while _read(self._link_events):
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
            judged = {link.name: inspect(link, self._excluded) for link in _list_links()}
        except IncompleteList:
            self._list_links_soon()
            return False
        _log_differences(self._judged, judged)
        before, self._judged = self.interfaces(), judged
        if self.interfaces() == before:
            return False
        usable = {interface.index: interface for interface in self.interfaces()}
        self._apply(self._responder.interfaces_changed(usable, now))
        return True


class _Port:
    """The sockets of one interface."""

    def __init__(
        self, index: int, loop: asyncio.AbstractEventLoop, on_readable: Callable[[socket.socket], None]
    ) -> None:
        self._index = index
        self._loop = loop
        self._on_readable = on_readable
        self._sockets: dict[Family, socket.socket] = {}
        self._memberships: list[tuple[socket.socket, set[IPv6Address]]] = []

    @property
    def is_listening(self) -> bool:
        return bool(self._sockets)

    def listen(self, family: Family, targets: frozenset[bytes]) -> None:
        """Hear questions for these targets only; raise OSError if the interface is gone."""
        if not targets:
            self._close(family)
            return
        program = question_filter(family, targets)
        if family in self._sockets:
            _attach_filter(self._sockets[family], program)
            return
        opened = _open_packet_socket(self._index, _ETHERTYPES[family], program)
        self._sockets[family] = opened
        self._loop.add_reader(opened, self._on_readable, opened)

    def send(self, frame: bytes) -> None:
        """Send on any of the sockets: they differ only in what they hear."""
        next(iter(self._sockets.values())).send(frame)

    def join(self, group: IPv6Address) -> None:
        """Let the kernel join, so that switches that snoop MLD learn of it too."""
        members, groups = self._membership_with_room()
        try:
            members.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
        except OSError as error:
            # Happens with IPv6 switched off here. Cards that filter no multicast still hear questions.
            log.warning("cannot join group", interface_index=self._index, group=str(group), error=str(error))
            return
        groups.add(group)

    def leave(self, group: IPv6Address) -> None:
        """Leave a group if it was joined; the kernel itself leaves those of an interface that goes."""
        for members, groups in self._memberships:
            if group in groups:
                groups.remove(group)
                with suppress(OSError):
                    members.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, self._request(group))

    def close(self) -> None:
        """Stop listening and leave all groups."""
        for family in list(self._sockets):
            self._close(family)
        for members, _ in self._memberships:
            members.close()
        self._memberships.clear()

    def _close(self, family: Family) -> None:
        closing = self._sockets.pop(family, None)
        if closing is not None:
            self._loop.remove_reader(closing)
            closing.close()

    def _membership_with_room(self) -> tuple[socket.socket, set[IPv6Address]]:
        for membership in self._memberships:
            if len(membership[1]) < GROUPS_PER_SOCKET:
                return membership
        self._memberships.append((socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), set()))
        return self._memberships[-1]

    def _request(self, group: IPv6Address) -> bytes:
        return group.packed + struct.pack("=I", self._index)


async def _build_templates() -> Templates:
    """Let a child process pay for scapy."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", Templates.__module__, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    output, _ = await child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"building the frame templates failed with exit code {child.returncode}")
    return Templates.from_json(output.decode())


def _open_packet_socket(index: int, ethertype: int, program: bytes) -> socket.socket:
    """Open, filter, then bind: the other way round, frames would come in before the filter is there."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        _attach_filter(opened, program)
        opened.bind((socket.if_indextoname(index), ethertype))
    except OSError:
        opened.close()
        raise
    return opened


def _attach_filter(target: socket.socket, program: bytes) -> None:
    """Set or replace the filter; the kernel swaps the two at once."""
    instructions = ctypes.create_string_buffer(program, len(program))
    reference = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    target.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, reference)


def _read(source: socket.socket) -> bytes:
    """Read one frame or message; empty if there is none."""
    try:
        return source.recv(_LARGEST_FRAME)
    except BlockingIOError:
        return b""
    except OSError as error:
        if error.errno not in _NOTHING_TO_READ:
            raise
        return b""


def _open_netlink(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


def _list_links() -> list[Link]:
    """Ask the kernel, which answers within the calls; raise IncompleteList."""
    links: list[Link] = []
    with _open_netlink(0) as asking:
        asking.send(list_request())
        complete = False
        while not complete:
            some, complete = parse_links(asking.recv(_LARGEST_ANSWER))
            links += some
    return links


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
