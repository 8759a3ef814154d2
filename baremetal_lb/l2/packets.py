"""Read the questions of ARP (RFC 826) and NDP (RFC 4861), write the answers and the announcements.

Speed rules here: every question on the segment for one of our addresses passes through `parse_question` and one
`answer`. So MACs and addresses stay the bytes that they are on the wire, and a reply is slices of a template that
scapy built (`templates.py`) around what changes. The property tests hold both against scapy, byte for byte.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from baremetal_lb.addresses import Address
from baremetal_lb.l2.templates import Templates

BROADCAST = b"\xff" * 6
ALL_NODES_MAC = b"\x33\x33\x00\x00\x00\x01"
ALL_NODES = IPv6Address("ff02::1").packed

_ARP = b"\x08\x06"
_IPV6 = b"\x86\xdd"
_ARP_FOR_IPV4_OVER_ETHERNET = b"\x00\x01\x08\x00\x06\x04"
_ARP_REQUEST = b"\x00\x01"
_ARP_SIZE = 42
_SOLICITATION_SIZE = 78
_ICMPV6 = 58
_NEVER_FORWARDED = 255
_NEIGHBOR_SOLICITATION = 135
_SOURCE_LINK_LAYER_ADDRESS = 1
_UNSPECIFIED = bytes(16)
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_IPV6_MULTICAST_MAC = b"\x33\x33"


class Malformed(StrEnum):
    """What is wrong with a frame that looks like a question; the label of a metric."""

    TRUNCATED = "Truncated"
    BAD_ARP_HEADER = "BadARPHeader"
    BAD_SENDER_MAC = "BadSenderMAC"
    BAD_IP_VERSION = "BadIPVersion"
    FORWARDED = "Forwarded"
    BAD_CODE = "BadCode"
    BAD_CHECKSUM = "BadChecksum"
    BAD_OPTION = "BadOption"
    MULTICAST_TARGET = "MulticastTarget"
    MULTICAST_SOURCE = "MulticastSource"
    BAD_PROBE = "BadProbe"


class MalformedPacket(Exception):  # noqa: N818 - it is a packet's state, the name is the design's
    """A frame breaks the rules of its protocol; nothing else is ever raised for bytes from the wire."""

    def __init__(self, reason: Malformed) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`? The family is told by the length of its addresses, 4 bytes or 16.

    `sender` is all zeros where the asker has no address yet: a probe (RFC 5227) or duplicate address detection
    (RFC 4862).
    """

    target: bytes
    sender_mac: bytes
    sender: bytes


def parse_question(frame: bytes) -> Question | None:
    """Read a question out of an Ethernet frame; None if the frame asks nothing; raise MalformedPacket."""
    ethertype = frame[12:14]
    if ethertype == _ARP:
        return _parse_arp(frame)
    if ethertype == _IPV6:
        return _parse_ipv6(frame)
    return None


def is_heard_by(mac: bytes, frame: bytes) -> bool:
    """Whether a station with this MAC takes the frame in: its own, broadcast or IPv6 multicast."""
    return frame.startswith((mac, BROADCAST, _IPV6_MULTICAST_MAC))


def solicited_node_group(address: IPv6Address) -> IPv6Address:
    """The multicast group to which questions for this address go (RFC 4291, 2.7.1)."""
    return IPv6Address(_SOLICITED_NODE + address.packed[13:])


def _parse_arp(frame: bytes) -> Question | None:
    if len(frame) < _ARP_SIZE:
        raise MalformedPacket(Malformed.TRUNCATED)
    if frame[14:20] != _ARP_FOR_IPV4_OVER_ETHERNET:
        raise MalformedPacket(Malformed.BAD_ARP_HEADER)
    if frame[20:22] != _ARP_REQUEST:
        return None
    return Question(target=frame[38:42], sender_mac=_sender_mac(frame[22:28]), sender=frame[28:32])


def _sender_mac(mac: bytes) -> bytes:
    """Refuse to answer to a group: one frame from outside must not become a frame to everybody."""
    if mac[0] & 1 or not any(mac):
        raise MalformedPacket(Malformed.BAD_SENDER_MAC)
    return mac


def _parse_ipv6(frame: bytes) -> Question | None:
    if len(frame) < 55:
        raise MalformedPacket(Malformed.TRUNCATED)
    if frame[14] >> 4 != 6:
        raise MalformedPacket(Malformed.BAD_IP_VERSION)
    if frame[20] != _ICMPV6 or frame[54] != _NEIGHBOR_SOLICITATION:
        return None
    end = 54 + int.from_bytes(frame[18:20])
    if not _SOLICITATION_SIZE <= end <= len(frame):
        raise MalformedPacket(Malformed.TRUNCATED)
    return _parse_solicitation(frame, end)


def _parse_solicitation(frame: bytes, end: int) -> Question:
    """Check all that RFC 4861, 7.1.1 asks for; `end` is where the packet ends (padding may follow)."""
    if frame[21] != _NEVER_FORWARDED:
        raise MalformedPacket(Malformed.FORWARDED)
    if frame[55]:
        raise MalformedPacket(Malformed.BAD_CODE)
    if _ones_complement_sum(frame[22:end]) != -(end - 54 + _ICMPV6) % 0xFFFF:
        raise MalformedPacket(Malformed.BAD_CHECKSUM)
    target, sender = frame[62:78], frame[22:38]
    if target[0] == 0xFF:
        raise MalformedPacket(Malformed.MULTICAST_TARGET)
    if sender[0] == 0xFF:
        raise MalformedPacket(Malformed.MULTICAST_SOURCE)
    link_layer_address = _source_link_layer_address(frame[78:end])
    if sender == _UNSPECIFIED and (link_layer_address or not frame.startswith(_SOLICITED_NODE, 38)):
        raise MalformedPacket(Malformed.BAD_PROBE)
    return Question(target, _sender_mac(link_layer_address or frame[6:12]), sender)


def _source_link_layer_address(options: bytes) -> bytes:
    """Find the MAC that the question wants to be answered at; empty if it does not say."""
    mac = b""
    while options:
        size = 8 * options[1] if len(options) > 1 else 0
        if not 0 < size <= len(options):
            raise MalformedPacket(Malformed.BAD_OPTION)
        if options[0] == _SOURCE_LINK_LAYER_ADDRESS:
            if size != 8:
                raise MalformedPacket(Malformed.BAD_OPTION)
            mac = options[2:8]
        options = options[size:]
    return mac


def _ones_complement_sum(data: bytes) -> int:
    """The Internet checksum's sum: 16-bit words added with end-around carry is arithmetic modulo 0xFFFF."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\x00") % 0xFFFF


class ArpFrames:
    """Every frame that says: this IPv4 address is at this MAC."""

    __slots__ = ("_address", "_mac", "_reply_middle", "_request_middle")

    def __init__(self, templates: Templates, mac: bytes, address: IPv4Address) -> None:
        self._mac = mac
        self._address = address.packed
        self._reply_middle = mac + templates.arp_reply[12:22] + mac + self._address
        self._request_middle = mac + templates.arp_request[12:22] + mac + self._address

    def answer(self, question: Question) -> bytes:
        """Tell the asker, and only the asker."""
        return question.sender_mac + self._reply_middle + question.sender_mac + question.sender

    def gratuitous(self) -> tuple[bytes, ...]:
        """Tell everybody, as a request and as a reply: some hosts heed only one of them.

        The reply names our own MAC as target. With the broadcast MAC there, Linux takes it for a solicited reply
        and ignores it while its entry is younger than a second.
        """
        return (
            BROADCAST + self._request_middle + bytes(6) + self._address,
            BROADCAST + self._reply_middle + self._mac + self._address,
        )


class NdpFrames:
    """Every frame that says: this IPv6 address is at this MAC.

    Neighbor advertisements are sent from the announced address itself, as by a host that owns it. So an interface
    needs no link-local address, and the checksum's constant part is known beforehand.
    """

    __slots__ = ("_head", "_sum", "_tail", "_type_and_code", "_unsolicited")

    def __init__(self, templates: Templates, mac: bytes, address: IPv6Address) -> None:
        solicited, unsolicited = templates.solicited_advertisement, templates.unsolicited_advertisement
        self._head = mac + solicited[12:22] + address.packed
        self._type_and_code = solicited[54:56]
        self._tail = self._tail_of(solicited, mac, address)
        self._sum = self._sum_of(solicited, self._tail)
        tail = self._tail_of(unsolicited, mac, address)
        self._unsolicited = self._frame(ALL_NODES_MAC, ALL_NODES, tail, self._sum_of(unsolicited, tail))

    def answer(self, question: Question) -> bytes:
        """Tell the asker; one that has no address yet is told through all nodes (RFC 4861, 7.2.4)."""
        if question.sender == _UNSPECIFIED:
            return self._unsolicited
        return self._frame(question.sender_mac, question.sender, self._tail, self._sum)

    def gratuitous(self) -> tuple[bytes, ...]:
        """Tell everybody."""
        return (self._unsolicited,)

    def _frame(self, mac: bytes, destination: bytes, tail: bytes, partial_sum: int) -> bytes:
        checksum = -(partial_sum + int.from_bytes(destination)) % 0xFFFF
        return mac + self._head + destination + self._type_and_code + checksum.to_bytes(2) + tail

    @staticmethod
    def _tail_of(template: bytes, mac: bytes, address: IPv6Address) -> bytes:
        return template[58:62] + address.packed + template[78:80] + mac

    def _sum_of(self, template: bytes, tail: bytes) -> int:
        """Sum what the checksum covers but for the destination: pseudo-header and advertisement."""
        length_and_next_header = template[18:20] + b"\x00" + template[20:21]
        return _ones_complement_sum(self._head[16:] + length_and_next_header + self._type_and_code + tail)


Frames = ArpFrames | NdpFrames


def frames_for(templates: Templates, mac: bytes, address: Address) -> Frames:
    """Prepare every frame that says that this address is at this MAC."""
    if isinstance(address, IPv4Address):
        return ArpFrames(templates, mac, address)
    return NdpFrames(templates, mac, address)
