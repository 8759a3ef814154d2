"""Read what others ask and claim in ARP (RFC 826) and NDP (RFC 4861), write answers, announcements and probes.

Speed rules here: every question on the segment for one of our addresses passes through `parse_heard` and one
`answer`. So MACs and addresses stay the bytes that they are on the wire, and a reply is slices of a template that
scapy built (`templates.py`) around what changes. The property tests hold both against scapy, byte for byte.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
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
_ARP_REPLY = b"\x00\x02"
_ARP_SIZE = 42
_FIRST_OPTION = 78
_ICMPV6 = 58
_NEVER_FORWARDED = 255
_NEIGHBOR_SOLICITATION = 135
_NEIGHBOR_ADVERTISEMENT = 136
_NEIGHBOR_MESSAGES = frozenset({_NEIGHBOR_SOLICITATION, _NEIGHBOR_ADVERTISEMENT})
_SOLICITED = 0x40
_SOURCE_LINK_LAYER_ADDRESS = 1
_TARGET_LINK_LAYER_ADDRESS = 2
_UNSPECIFIED = bytes(16)
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_IPV6_MULTICAST_MAC = b"\x33\x33"


class Malformed(StrEnum):
    """What is wrong with a frame that looks like a question or a claim; the label of a metric."""

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
    ANSWER_TO_A_GROUP = "AnswerToAGroup"


class MalformedPacket(Exception):  # noqa: N818 - it is a packet's state, the name is the design's
    """A frame breaks the rules of its protocol; nothing else is ever raised for bytes from the wire."""

    def __init__(self, reason: Malformed) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ClaimKind(Enum):
    """Whether a station said that it has an address because it was asked, or unasked, to all."""

    ANSWER = auto()
    ANNOUNCEMENT = auto()


@dataclass(frozen=True, slots=True)
class Claim:
    """I have `target`, at `mac`. The family is told by the length of the address, 4 bytes or 16.

    What answers an IPv6 probe is an ANNOUNCEMENT: it goes to all nodes, as if nobody had asked (RFC 4861, 7.2.4).
    """

    target: bytes
    mac: bytes
    kind: ClaimKind


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`? The family is told by the length of its addresses, 4 bytes or 16.

    `sender` is all zeros where the asker has no address yet: a probe (RFC 5227) or duplicate address detection
    (RFC 4862).
    """

    target: bytes
    sender_mac: bytes
    sender: bytes

    def is_probe(self) -> bool:
        """Whether the asker wants the address for itself."""
        return not any(self.sender)

    def claim(self) -> Claim | None:
        """What the asker says of itself by asking: that it has the address it asks from (RFC 5227, 2.4)."""
        return None if self.is_probe() else Claim(self.sender, self.sender_mac, ClaimKind.ANSWER)


def parse_heard(frame: bytes) -> Question | Claim | None:
    """Read an Ethernet frame; None if it neither asks nor claims anything; raise MalformedPacket.

    An ARP request of a station for its own address is its announcement, and asks nothing.
    """
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


def _parse_arp(frame: bytes) -> Question | Claim | None:
    if len(frame) < _ARP_SIZE:
        raise MalformedPacket(Malformed.TRUNCATED)
    if frame[14:20] != _ARP_FOR_IPV4_OVER_ETHERNET:
        raise MalformedPacket(Malformed.BAD_ARP_HEADER)
    operation = frame[20:22]
    sender, target = frame[28:32], frame[38:42]
    if operation == _ARP_REQUEST and sender != target:
        return Question(target, _station_mac(frame[22:28]), sender)
    if operation not in {_ARP_REQUEST, _ARP_REPLY}:
        return None
    is_to_all = sender == target or frame[0] & 1
    kind = ClaimKind.ANNOUNCEMENT if is_to_all else ClaimKind.ANSWER
    return Claim(sender, _station_mac(frame[22:28]), kind)


def _station_mac(mac: bytes) -> bytes:
    """Refuse to answer or believe a group: one frame from outside must not become a frame to everybody."""
    if mac[0] & 1 or not any(mac):
        raise MalformedPacket(Malformed.BAD_SENDER_MAC)
    return mac


def _parse_ipv6(frame: bytes) -> Question | Claim | None:
    """Check all that RFC 4861, 7.1.1 and 7.1.2, ask of both messages."""
    if len(frame) < 55:
        raise MalformedPacket(Malformed.TRUNCATED)
    if frame[14] >> 4 != 6:
        raise MalformedPacket(Malformed.BAD_IP_VERSION)
    if frame[20] != _ICMPV6 or frame[54] not in _NEIGHBOR_MESSAGES:
        return None
    end = 54 + int.from_bytes(frame[18:20])  # where the packet ends: padding may follow
    if not _FIRST_OPTION <= end <= len(frame):
        raise MalformedPacket(Malformed.TRUNCATED)
    if frame[21] != _NEVER_FORWARDED:
        raise MalformedPacket(Malformed.FORWARDED)
    if frame[55]:
        raise MalformedPacket(Malformed.BAD_CODE)
    if _ones_complement_sum(frame[22:end]) != -(end - 54 + _ICMPV6) % 0xFFFF:
        raise MalformedPacket(Malformed.BAD_CHECKSUM)
    if frame[62] == 0xFF:
        raise MalformedPacket(Malformed.MULTICAST_TARGET)
    return _solicitation(frame, end) if frame[54] == _NEIGHBOR_SOLICITATION else _advertisement(frame, end)


def _solicitation(frame: bytes, end: int) -> Question:
    sender = frame[22:38]
    if sender[0] == 0xFF:
        raise MalformedPacket(Malformed.MULTICAST_SOURCE)
    link_layer_address = _link_layer_address(frame[_FIRST_OPTION:end], _SOURCE_LINK_LAYER_ADDRESS)
    if sender == _UNSPECIFIED and (link_layer_address or not frame.startswith(_SOLICITED_NODE, 38)):
        raise MalformedPacket(Malformed.BAD_PROBE)
    return Question(frame[62:78], _station_mac(link_layer_address or frame[6:12]), sender)


def _advertisement(frame: bytes, end: int) -> Claim:
    is_answer = frame[58] & _SOLICITED
    if is_answer and frame[38] == 0xFF:
        raise MalformedPacket(Malformed.ANSWER_TO_A_GROUP)
    mac = _link_layer_address(frame[_FIRST_OPTION:end], _TARGET_LINK_LAYER_ADDRESS) or frame[6:12]
    return Claim(frame[62:78], _station_mac(mac), ClaimKind.ANSWER if is_answer else ClaimKind.ANNOUNCEMENT)


def _link_layer_address(options: bytes, kind: int) -> bytes:
    """Find the MAC that the message names; empty if it names none."""
    mac = b""
    while options:
        size = 8 * options[1] if len(options) > 1 else 0
        if not 0 < size <= len(options):
            raise MalformedPacket(Malformed.BAD_OPTION)
        if options[0] == kind:
            if size != 8:
                raise MalformedPacket(Malformed.BAD_OPTION)
            mac = options[2:8]
        options = options[size:]
    return mac


def _ones_complement_sum(data: bytes) -> int:
    """The Internet checksum's sum: 16-bit words added with end-around carry is arithmetic modulo 0xFFFF."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\x00") % 0xFFFF


class ArpFrames:
    """Every frame that says that an IPv4 address is at this MAC, or asks before that is said."""

    __slots__ = ("_address", "_mac", "_reply_middle", "_request_middle")

    def __init__(self, templates: Templates, mac: bytes, address: IPv4Address) -> None:
        self._mac = mac
        self._address = address.packed
        self._reply_middle = mac + templates.arp_reply[12:22] + mac + self._address
        self._request_middle = mac + templates.arp_request[12:22] + mac + self._address

    def answer(self, question: Question) -> bytes:
        """Tell the asker, and only the asker."""
        return question.sender_mac + self._reply_middle + question.sender_mac + question.sender

    def news(self, question: Question) -> bytes:
        """Tell one who asked before. ARP knows no difference."""
        return self.answer(question)

    def gratuitous(self) -> tuple[bytes, ...]:
        """Tell everybody, as a request and as a reply: some hosts heed only one of them.

        The reply names our own MAC as target. With the broadcast MAC there, Linux takes it for a solicited reply
        and ignores it while its entry is younger than a second.
        """
        return (
            BROADCAST + self._request_middle + bytes(6) + self._address,
            BROADCAST + self._reply_middle + self._mac + self._address,
        )

    def probe(self) -> bytes:
        """Ask everybody whether the address is in use, without claiming it (RFC 5227, 2.1.1)."""
        header_and_mac = self._request_middle[:-4]
        return BROADCAST + header_and_mac + bytes(4) + bytes(6) + self._address


class NdpFrames:
    """Every frame that says that an IPv6 address is at this MAC, or asks before that is said.

    Neighbor advertisements are sent from the announced address itself, as by a host that owns it. So an interface
    needs no link-local address, and the checksum's constant part is known beforehand.
    """

    __slots__ = ("_head", "_probe_template", "_sum", "_tail", "_type_and_code", "_unsolicited")

    def __init__(self, templates: Templates, mac: bytes, address: IPv6Address) -> None:
        solicited, unsolicited = templates.solicited_advertisement, templates.unsolicited_advertisement
        self._probe_template = templates.duplicate_detection
        self._head = mac + solicited[12:22] + address.packed
        self._type_and_code = solicited[54:56]
        self._tail = self._tail_of(solicited, mac, address)
        self._sum = self._sum_of(self._tail)
        tail = self._tail_of(unsolicited, mac, address)
        self._unsolicited = self._frame(ALL_NODES_MAC, ALL_NODES, tail, self._sum_of(tail))

    def answer(self, question: Question) -> bytes:
        """Tell the asker; one that has no address yet is told through all nodes (RFC 4861, 7.2.4)."""
        if question.sender == _UNSPECIFIED:
            return self._unsolicited
        return self._frame(question.sender_mac, question.sender, self._tail, self._sum)

    def news(self, question: Question) -> bytes:
        """Tell one who asked before, without the flag that says that it asked just now."""
        tail = self._unsolicited[58:]
        return self._frame(question.sender_mac, question.sender, tail, self._sum_of(tail))

    def gratuitous(self) -> tuple[bytes, ...]:
        """Tell everybody."""
        return (self._unsolicited,)

    def probe(self) -> bytes:
        """Ask whether the address is in use, without claiming it (duplicate address detection, RFC 4862, 5.4.2)."""
        template, mac, address = self._probe_template, self._head[:6], self._head[16:]
        group = _SOLICITED_NODE + address[13:]
        ip = template[12:38] + group
        body = template[58:62] + address
        covered = group + template[18:20] + b"\x00" + template[20:21] + template[54:56] + body
        checksum = -_ones_complement_sum(covered) % 0xFFFF
        return _IPV6_MULTICAST_MAC + group[12:] + mac + ip + template[54:56] + checksum.to_bytes(2) + body

    def _frame(self, mac: bytes, destination: bytes, tail: bytes, partial_sum: int) -> bytes:
        checksum = -(partial_sum + int.from_bytes(destination)) % 0xFFFF
        return mac + self._head + destination + self._type_and_code + checksum.to_bytes(2) + tail

    @staticmethod
    def _tail_of(template: bytes, mac: bytes, address: IPv6Address) -> bytes:
        return template[58:62] + address.packed + template[78:80] + mac

    def _sum_of(self, tail: bytes) -> int:
        """Sum what the checksum covers but for the destination: pseudo-header and advertisement."""
        length_and_next_header = self._head[12:14] + b"\x00" + self._head[14:15]
        return _ones_complement_sum(self._head[16:] + length_and_next_header + self._type_and_code + tail)


Frames = ArpFrames | NdpFrames


def frames_for(templates: Templates, mac: bytes, address: Address) -> Frames:
    """Prepare every frame that we may send for this address from this MAC."""
    if isinstance(address, IPv4Address):
        return ArpFrames(templates, mac, address)
    return NdpFrames(templates, mac, address)
