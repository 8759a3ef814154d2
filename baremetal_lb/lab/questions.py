"""Who has this address? ARP requests and neighbor solicitations as a host asks them, and what answers say."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from baremetal_lb.addresses import Address

_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
_ARP_HEADER = b"\x00\x01\x08\x00\x06\x04"
_REQUEST = b"\x00\x01"
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ICMPV6, _HOP_LIMIT = 58, 255
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]


@dataclass(frozen=True, slots=True)
class Asker:
    """The interface that a question comes from; `address` is of the question's family."""

    mac: bytes
    address: Address


def question_for(asker: Asker, target: Address) -> bytes:
    """Build the frame in which a host asks who has an address."""
    if isinstance(target, IPv4Address):
        body = _ARP_HEADER + _REQUEST + asker.mac + asker.address.packed + bytes(6) + target.packed
        return b"\xff" * 6 + asker.mac + _ARP + body
    return _solicitation(asker, target)


def claiming_mac(frame: bytes, target: Address) -> str | None:
    """Tell which MAC a frame says the address is at, asked or unasked; None for a frame that says nothing about it."""
    if isinstance(target, IPv4Address):
        is_claim = frame[12:14] == _ARP and frame[14:20] == _ARP_HEADER and frame[28:32] == target.packed
        return _text(frame[22:28]) if is_claim else None
    is_advertisement = (
        frame[12:14] == _IPV6
        and len(frame) >= 86
        and frame[20] == _ICMPV6
        and frame[54] == _ADVERTISEMENT
        and frame[62:78] == target.packed
    )
    return _text(frame[80:86]) if is_advertisement else None


def _solicitation(asker: Asker, target: IPv6Address) -> bytes:
    group = _SOLICITED_NODE + target.packed[13:]
    message = bytes((_SOLICITATION, 0, 0, 0, 0, 0, 0, 0)) + target.packed + b"\x01\x01" + asker.mac
    pseudo_header = asker.address.packed + group + len(message).to_bytes(4) + _ICMPV6.to_bytes(4)
    message = message[:2] + _checksum(pseudo_header + message).to_bytes(2) + message[4:]
    header = b"\x60\x00\x00\x00" + len(message).to_bytes(2) + bytes((_ICMPV6, _HOP_LIMIT))
    return b"\x33\x33" + group[12:] + asker.mac + _IPV6 + header + asker.address.packed + group + message


def _checksum(data: bytes) -> int:
    return 0xFFFF - int.from_bytes(data) % 0xFFFF


def _text(mac: bytes) -> str:
    return mac.hex(":")
