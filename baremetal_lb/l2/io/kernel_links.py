"""Ask the kernel for its links, and hear when they change."""

import socket

from baremetal_lb.l2.io.reading import read
from baremetal_lb.l2.links import IncompleteList, Link, list_request, parse_links

_LARGEST_ANSWER = 1 << 16
_LINK_EVENTS = 1


def open_link_events() -> socket.socket:
    """Open a socket that becomes readable whenever a link has changed."""
    return _open_netlink(_LINK_EVENTS)


def list_links() -> list[Link]:
    """Ask the kernel, which answers within the calls; raise IncompleteList."""
    links: list[Link] = []
    with _open_netlink(0) as asking:
        asking.send(list_request())
        complete = False
        while not complete:
            answer = read(asking, _LARGEST_ANSWER)
            if not answer:
                raise IncompleteList
            some, complete = parse_links(answer)
            links += some
    return links


def _open_netlink(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened
