"""Read the kernel's lists of network links and of their addresses (rtnetlink, RTM_GETLINK and RTM_GETADDR).

The whole lists are asked for after every change, so nothing hangs on the order or the loss of events. Only the few
attributes that decide about announcements are read: a full netlink library takes 0.4 ms a link, which on a node
with hundreds of pods would stop the speaker for longer than a missed heartbeat.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import CONFORM, IntEnum, IntFlag
from ipaddress import ip_address
from typing import TypeVar

from baremetal_lb.addresses import AddressRange

_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")  # family, type, index, flags, which flags changed
_ADDRESS_HEADER = struct.Struct("=BBBBI")  # family, length of the prefix, flags, scope, index of the link
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")

_DONE, _ERROR, _NEW_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ADDRESS = 3, 2, 16, 18, 20, 22
_REQUEST_DUMP = 0x301
_CHANGED_MEANWHILE = 0x10
_TYPE_MASK = 0x3FFF
_MAC, _NAME, _MASTER, _STATE, _LINK_INFO, _FILTER, _CARRIER_CHANGES = 1, 3, 10, 16, 18, 29, 35
_PORT_KIND = 4
_SKIP_STATISTICS = 8
_IP_ADDRESS = 1
_VALID_ON_LINK_ONLY = 253

Entry = TypeVar("Entry")


class LinkFlag(IntFlag, boundary=CONFORM):
    """The flags of an interface that concern us (linux/if.h)."""

    UP = 0x1
    BROADCAST = 0x2
    LOOPBACK = 0x8
    NOARP = 0x80


class OperationalState(IntEnum):
    """What the driver knows of the line (RFC 2863). UNKNOWN is what simple drivers say when all is well."""

    UNKNOWN = 0
    NOT_PRESENT = 1
    DOWN = 2
    LOWER_LAYER_DOWN = 3
    TESTING = 4
    DORMANT = 5
    UP = 6


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface as the kernel describes it. `port_of` is the kind of its master (bridge, bond, vrf)."""

    index: int
    name: str
    flags: LinkFlag
    mac: bytes = b""
    state: OperationalState = OperationalState.UNKNOWN
    has_master: bool = False
    port_of: str = ""
    carrier_changes: int = 0
    networks: tuple[AddressRange, ...] = ()


class IncompleteList(Exception):  # noqa: N818 - says what was received
    """Something changed while the kernel listed it, or it refused: ask again."""


def links_request() -> bytes:
    """Ask for all links, without statistics."""
    no_statistics = _ATTRIBUTE.pack(8, _FILTER) + _NUMBER.pack(_SKIP_STATISTICS)
    return _request(_GET_LINK, _LINK_HEADER.pack(0, 0, 0, 0, 0) + no_statistics)


def networks_request() -> bytes:
    """Ask for the addresses of all links, which say which networks they are on."""
    return _request(_GET_ADDRESS, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0))


def parse_links(datagram: bytes) -> tuple[list[Link], bool]:
    """Read one datagram of the answer: its links, and whether it was the last; raise IncompleteList."""
    return _parse(datagram, _NEW_LINK, _parse_link)


def parse_networks(datagram: bytes) -> tuple[list[tuple[int, AddressRange | None]], bool]:
    """Read one datagram of the answer: for each address the index of its link and its network.

    There is none for an address that says nothing of the segment: one for this link only, or for a single host.
    """
    return _parse(datagram, _NEW_ADDRESS, _parse_address)


def _request(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body


def _parse(datagram: bytes, wanted: int, parse: Callable[[bytes], Entry]) -> tuple[list[Entry], bool]:
    entries: list[Entry] = []
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        size, kind, flags, _, _ = _HEADER.unpack_from(datagram, offset)
        if kind == _ERROR or flags & _CHANGED_MEANWHILE or size < _HEADER.size:
            raise IncompleteList
        if kind == _DONE:
            return entries, True
        if kind == wanted:
            entries.append(parse(datagram[offset + _HEADER.size : offset + size]))
        offset += _aligned(size)
    return entries, False


def _parse_link(message: bytes) -> Link:
    _, _, index, flags, _ = _LINK_HEADER.unpack_from(message)
    attributes = dict(_attributes(message[_LINK_HEADER.size :]))
    link_info = dict(_attributes(attributes.get(_LINK_INFO, b"")))
    return Link(
        index=index,
        name=_text(attributes.get(_NAME, b"")),
        flags=LinkFlag(flags),
        mac=attributes.get(_MAC, b""),
        state=OperationalState(attributes.get(_STATE, b"\0")[0]),
        has_master=_MASTER in attributes,
        port_of=_text(link_info.get(_PORT_KIND, b"")),
        carrier_changes=_NUMBER.unpack(attributes.get(_CARRIER_CHANGES, bytes(4)))[0],
    )


def _parse_address(message: bytes) -> tuple[int, AddressRange | None]:
    _, prefix_length, _, scope, index = _ADDRESS_HEADER.unpack_from(message)
    packed = dict(_attributes(message[_ADDRESS_HEADER.size :])).get(_IP_ADDRESS, b"")
    if scope >= _VALID_ON_LINK_ONLY or prefix_length >= 8 * len(packed):
        return index, None
    return index, AddressRange.of_network(f"{ip_address(packed)}/{prefix_length}")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += _aligned(max(size, _ATTRIBUTE.size))


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
