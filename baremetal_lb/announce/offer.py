"""What a speaker says of its node in the SpeakerStatus: where it can announce, and whether it can forward.

What it holds there is a matter of the election (`speaker/elections.py`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from baremetal_lb.addresses import AddressRange
from baremetal_lb.api.status import NETWORKS_MAX, OFFERED_MAX
from baremetal_lb.l2.interfaces import Interface


@dataclass(frozen=True, slots=True)
class OfferedInterface:
    """An interface that can carry announcements; one that is `only_by_name` just where an advertisement names it."""

    name: str
    mac: bytes = b""
    only_by_name: bool = False
    networks: tuple[AddressRange, ...] = ()
    """The networks that are on the segment, as the node's own addresses there tell."""


@dataclass(frozen=True, slots=True)
class Offer:
    """All that one node says. One whose speaker never asks kube-proxy says that it answers."""

    interfaces: tuple[OfferedInterface, ...] = ()
    proxy_answers: bool = True
    usual: frozenset[str] = field(init=False, compare=False)
    """The interfaces for every advertisement."""
    by_name: frozenset[str] = field(init=False, compare=False)
    """Those only for one that names them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "usual", frozenset(one.name for one in self.interfaces if not one.only_by_name))
        object.__setattr__(self, "by_name", frozenset(one.name for one in self.interfaces if one.only_by_name))

    def within(self, networks: Collection[AddressRange]) -> frozenset[str]:
        """Name the interfaces that have one of these networks on their segment."""
        return frozenset(one.name for one in self.interfaces if not set(one.networks).isdisjoint(networks))


def offer_of(interfaces: Iterable[Interface], named: Collection[str], *, proxy_answers: bool = True) -> Offer:
    """Say what a node offers; the unusual ones only where an advertisement names them, for Pods bring hundreds.

    There is a limit to how many it can be; what is named is not left out for it.
    """
    able = [one for one in interfaces if not one.only_by_name or one.name in named]
    chosen = sorted(able, key=lambda one: (one.name not in named, one.index))[:OFFERED_MAX]
    offered = (
        OfferedInterface(one.name, one.mac, one.only_by_name, one.networks[:NETWORKS_MAX])
        for one in sorted(chosen, key=lambda one: one.index)
    )
    return Offer(tuple(offered), proxy_answers)


def parse_offer(raw: Mapping[str, Any]) -> Offer:
    """Reduce an API server's SpeakerStatus."""
    status = raw.get("status") or {}
    interfaces = tuple(
        OfferedInterface(
            one["name"],
            bytes.fromhex(one["mac"].replace(":", "")),
            one.get("onlyByName", False),
            tuple(map(AddressRange.parse, one.get("networks") or ())),
        )
        for one in status.get("interfaces") or ()
    )
    return Offer(interfaces, status.get("proxyAnswers", True))


def offer_status(offer: Offer) -> dict[str, Any]:
    """Render its part of the SpeakerStatus's status."""
    return {
        "interfaces": [
            {
                "name": one.name,
                "mac": one.mac.hex(":"),
                "onlyByName": one.only_by_name,
                "networks": list(map(str, one.networks)),
            }
            for one in offer.interfaces
        ],
        "interfaceNames": ",".join(one.name for one in offer.interfaces),
        "proxyAnswers": offer.proxy_answers,
    }
