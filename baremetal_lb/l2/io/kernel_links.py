"""Ask the kernel for its links, and hear when they or their addresses change."""

import socket
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from baremetal_lb.addresses import AddressRange
from baremetal_lb.l2.io.reading import read
from baremetal_lb.l2.links import (
    IncompleteList,
    Link,
    links_request,
    networks_request,
    parse_links,
    parse_networks,
)

_LARGEST_ANSWER = 1 << 16
_LINK_EVENTS, _IPV4_ADDRESS_EVENTS, _IPV6_ADDRESS_EVENTS = 0x1, 0x10, 0x100

Entry = TypeVar("Entry")


def open_link_events() -> socket.socket:
    """Open a socket that becomes readable whenever a link or an address has changed."""
    return _open_netlink(_LINK_EVENTS | _IPV4_ADDRESS_EVENTS | _IPV6_ADDRESS_EVENTS)


def list_links() -> list[Link]:
    """Ask the kernel, which answers within the calls; raise IncompleteList."""
    networks: dict[int, set[AddressRange]] = defaultdict(set)
    for index, network in _ask(networks_request(), parse_networks):
        if network is not None:
            networks[index].add(network)
    return [
        replace(link, networks=tuple(sorted(networks[link.index], key=str))) if link.index in networks else link
        for link in _ask(links_request(), parse_links)
    ]


def _ask(request: bytes, parse: Callable[[bytes], tuple[list[Entry], bool]]) -> list[Entry]:
    entries: list[Entry] = []
    with _open_netlink(0) as asking:
        asking.send(request)
        complete = False
        while not complete:
            answer = read(asking, _LARGEST_ANSWER)
            if not answer:
                raise IncompleteList
            some, complete = parse(answer)
            entries += some
    return entries


def _open_netlink(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened
