"""Which network interfaces can carry announcements, and why the others cannot."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from baremetal_lb.addresses import AddressRange
from baremetal_lb.l2.links import Link, LinkFlag, OperationalState
from baremetal_lb.reasons import Reason

_LINE_WORKS = frozenset({OperationalState.UP, OperationalState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that can carry announcements.

    One that is `only_by_name` does so only for announcements that name it. `carrier_changes` is the kernel's count
    of the link's ups and downs: a new number means that the segment may have forgotten us. `networks` are those that
    the node's own addresses say are on the segment.
    """

    index: int
    name: str
    mac: bytes
    only_by_name: bool = False
    carrier_changes: int = 0
    networks: tuple[AddressRange, ...] = ()

    def is_meant_by(self, names: frozenset[str]) -> bool:
        """Whether to announce here what names these interfaces; what names none means every suitable one."""
        return self.name in names if names else not self.only_by_name

    def looks_the_same_as(self, other: "Interface") -> bool:
        """Whether neighbours can tell no difference, so that nothing has to be announced anew."""
        return replace(self, networks=other.networks) == other


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """An interface that cannot carry announcements."""

    name: str
    reason: Reason


def inspect(link: Link, excluded: re.Pattern[str]) -> Interface | Unsuitable:
    """Judge one link; where `excluded` matches the name's beginning, it carries only what names it."""
    for reason, applies in _OBJECTIONS:
        if applies(link):
            return Unsuitable(link.name, reason)
    return Interface(
        index=link.index,
        name=link.name,
        mac=link.mac,
        only_by_name=excluded.match(link.name) is not None,
        carrier_changes=link.carrier_changes,
        networks=link.networks,
    )


_OBJECTIONS: tuple[tuple[Reason, Callable[[Link], bool]], ...] = (
    (Reason.INTERFACE_IS_LOOPBACK, lambda link: LinkFlag.LOOPBACK in link.flags),
    (Reason.INTERFACE_WITHOUT_ARP, lambda link: LinkFlag.NOARP in link.flags),
    (Reason.INTERFACE_WITHOUT_ARP, lambda link: LinkFlag.BROADCAST not in link.flags),
    (Reason.INTERFACE_WITHOUT_MAC, lambda link: len(link.mac) != 6 or not any(link.mac)),
    # A bridge, bond or team answers itself, with its own MAC; a VRF only has a routing table.
    (Reason.INTERFACE_IS_PORT, lambda link: link.has_master and link.port_of != "vrf"),
    (Reason.INTERFACE_DOWN, lambda link: LinkFlag.UP not in link.flags),
    (Reason.INTERFACE_DOWN, lambda link: link.state not in _LINE_WORKS),
)
"""Checked in this order: what an interface is comes before what state it is in."""
