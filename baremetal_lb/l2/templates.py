"""The frames we send, once each, as scapy builds them; `packets.py` fills in MACs and addresses.

This is the only module that imports scapy. It does so inside `build_templates`, because scapy costs some 40 MB:
a speaker runs this module as a short-lived child (`python -m baremetal_lb.l2.templates`) and keeps five small
byte strings of its output.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Self

_MAC = "02:00:5e:00:53:01"
_IPV4 = "192.0.2.1"
_IPV6 = "2001:db8::1"
_ALL_NODES = "ff02::1"
_GROUP = "ff02::1:ff00:1"


@dataclass(frozen=True, slots=True)
class Templates:
    """One frame of each kind, with example MACs and addresses in it."""

    arp_request: bytes
    arp_reply: bytes
    solicited_advertisement: bytes
    unsolicited_advertisement: bytes
    duplicate_detection: bytes

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ValueError or TypeError for anything else."""
        return cls(**{kind: bytes.fromhex(frame) for kind, frame in json.loads(text).items()})

    def to_json(self) -> str:
        """Write the frames as text, for the parent of the child process that built them."""
        return json.dumps({kind: frame.hex() for kind, frame in asdict(self).items()})


def build_templates() -> Templates:
    """Let scapy build every frame."""
    from scapy.config import conf

    # Nothing is sent from here: no need to read the routes of this machine.
    conf.route_autoload = conf.route6_autoload = False
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
    from scapy.layers.l2 import ARP, Ether

    ethernet = Ether(src=_MAC, dst=_MAC)
    ip = IPv6(src=_IPV6, dst=_ALL_NODES, hlim=255)
    link_layer_address = ICMPv6NDOptDstLLAddr(lladdr=_MAC)

    def arp(operation: str) -> bytes:
        return bytes(ethernet / ARP(op=operation, hwsrc=_MAC, psrc=_IPV4, hwdst=_MAC, pdst=_IPV4))

    def advertisement(*, solicited: int) -> bytes:
        return bytes(ethernet / ip / ICMPv6ND_NA(R=0, S=solicited, O=1, tgt=_IPV6) / link_layer_address)

    return Templates(
        arp_request=arp("who-has"),
        arp_reply=arp("is-at"),
        solicited_advertisement=advertisement(solicited=1),
        unsolicited_advertisement=advertisement(solicited=0),
        duplicate_detection=bytes(ethernet / IPv6(src="::", dst=_GROUP, hlim=255) / ICMPv6ND_NS(tgt=_IPV6)),
    )


if __name__ == "__main__":
    sys.stdout.write(build_templates().to_json())
