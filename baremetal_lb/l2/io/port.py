"""The sockets of one interface on which we hold something.

There is one for each protocol (ETH_P_ARP, ETH_P_IPV6) rather than one that taps everything, so that no other frame of
the node, and none that it sends, is ever copied for us. Pings have their own. And each interface has its own, so that
a flood on one segment fills only that segment's buffers, and no interface is heard that holds nothing. A filter in
the kernel passes only what concerns our addresses.
"""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address

import structlog

from baremetal_lb.addresses import Family
from baremetal_lb.l2.filter import ping_filter, segment_filter

GROUPS_PER_SOCKET = 200
"""The kernel counts memberships against a socket's option memory (20 KB by default on older kernels)."""

_RECEIVE_BUFFER = 1 << 20
_ATTACH_FILTER = 26
_ETHERTYPES = {Family.IPV4: 0x0806, Family.IPV6: 0x86DD}
_PING_ETHERTYPES = {Family.IPV4: 0x0800, Family.IPV6: 0x86DD}

OnReadable = Callable[[socket.socket], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Hearing:
    """One kind of frames that are heard: their protocols, their filter, and what is called when there are some."""

    ethertypes: Mapping[Family, int]
    program: Callable[[Family, Collection[bytes], int], bytes]
    on_readable: OnReadable
    sockets: dict[Family, socket.socket] = field(default_factory=dict)


class Port:
    """The sockets of one interface."""

    def __init__(
        self, index: int, loop: asyncio.AbstractEventLoop, *, on_frames: OnReadable, on_pings: OnReadable
    ) -> None:
        self._index = index
        self._loop = loop
        self._frames = _Hearing(_ETHERTYPES, segment_filter, on_frames)
        self._pings = _Hearing(_PING_ETHERTYPES, ping_filter, on_pings)
        self._memberships: list[tuple[socket.socket, set[IPv6Address]]] = []

    @property
    def is_listening(self) -> bool:
        """Whether anything is heard here."""
        return bool(self._frames.sockets)

    def listen(self, family: Family, targets: frozenset[bytes]) -> None:
        """Hear only what is asked and claimed of these targets; raise OSError if the interface is gone."""
        self._hear(self._frames, family, targets)

    def listen_for_pings(self, family: Family, targets: frozenset[bytes]) -> None:
        """Hear only pings of these targets; raise OSError if the interface is gone.

        Where there are targets, the kernel shows the filter every IP packet that arrives here.
        """
        self._hear(self._pings, family, targets)

    def send(self, frame: bytes) -> None:
        """Send on any of the sockets: they differ only in what they hear."""
        next(iter(self._frames.sockets.values())).send(frame)

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
        for hearing in (self._frames, self._pings):
            for family in Family:
                self._close(hearing, family)
        for members, _ in self._memberships:
            members.close()
        self._memberships.clear()

    def _hear(self, hearing: _Hearing, family: Family, targets: frozenset[bytes]) -> None:
        if not targets:
            self._close(hearing, family)
            return
        program = hearing.program(family, targets, self._index)
        if family in hearing.sockets:
            _attach_filter(hearing.sockets[family], program)
            return
        opened = _open_packet_socket(self._index, hearing.ethertypes[family], program)
        hearing.sockets[family] = opened
        self._loop.add_reader(opened, hearing.on_readable, opened)

    def _close(self, hearing: _Hearing, family: Family) -> None:
        closing = hearing.sockets.pop(family, None)
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
