"""Who has this address? The frames of ARP and NDP in which a host asks that or claims it, and what answers say."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from baremetal_lb.addresses import Address

_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
_ARP_HEADER = b"\x00\x01\x08\x00\x06\x04"
_REQUEST = b"\x00\x01"
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ICMPV6, _HOP_LIMIT = 58, 255
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_ALL_NODES = IPv6Address("ff02::1").packed
_SOURCE_MAC, _TARGET_MAC = b"\x01\x01", b"\x02\x01"
_OVERRIDE = b"\x20\x00\x00\x00"


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


def claim_to_all(mac: bytes, address: Address) -> bytes:
    """Build the frame in which a host tells its whole segment, unasked, that it has an address."""
    if isinstance(address, IPv4Address):
        body = _ARP_HEADER + _REQUEST + mac + address.packed + bytes(6) + address.packed
        return b"\xff" * 6 + mac + _ARP + body
    message = bytes((_ADVERTISEMENT, 0, 0, 0)) + _OVERRIDE + address.packed + _TARGET_MAC + mac
    return _ipv6_frame(mac, address.packed, _ALL_NODES, message)


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
    message = bytes((_SOLICITATION, 0, 0, 0, 0, 0, 0, 0)) + target.packed + _SOURCE_MAC + asker.mac
    return _ipv6_frame(asker.mac, asker.address.packed, _SOLICITED_NODE + target.packed[13:], message)


def _ipv6_frame(mac: bytes, source: bytes, group: bytes, message: bytes) -> bytes:
    """Fill in the checksum of an ICMPv6 message and address it to a group (RFC 2464 7)."""
    pseudo_header = source + group + len(message).to_bytes(4) + _ICMPV6.to_bytes(4)
    message = message[:2] + _checksum(pseudo_header + message).to_bytes(2) + message[4:]
    header = b"\x60\x00\x00\x00" + len(message).to_bytes(2) + bytes((_ICMPV6, _HOP_LIMIT))
    return b"\x33\x33" + group[12:] + mac + _IPV6 + header + source + group + message


def _checksum(data: bytes) -> int:
    return 0xFFFF - int.from_bytes(data) % 0xFFFF


def _text(mac: bytes) -> str:
    return mac.hex(":")
