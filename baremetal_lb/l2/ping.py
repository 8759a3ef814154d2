"""Answer pings of announced addresses whose wish says so: ICMP (RFC 792) and ICMPv6 (RFC 4443) echo, without any I/O.

A reply goes back the way the request came and is of the same size, so nobody can make us send to a third party more
than was sent to us. What is not plainly an echo request to one host gets no answer: groups, fragments, options. Under
a flood we answer at a pace.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.pace import Pace
from baremetal_lb.l2.responder import ListenForPings, SendFrame
from baremetal_lb.l2.segment import Wish

_IPV4 = b"\x08\x00"
_IPV6 = b"\x86\xdd"
_NO_OPTIONS = 0x45
_ICMP, _ICMPV6 = 1, 58
_ECHO, _ECHO_REPLY = b"\x08\x00", b"\x00\x00"
_ECHO_V6, _ECHO_REPLY_V6 = b"\x80\x00", b"\x81\x00"
_HOPS = b"\x40"
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF
_SMALLEST_ECHO = 8
_SMALLEST_FRAME = 42


@dataclass(slots=True)
class PingResponder:
    """Which pings are heard and answered on which interface: those of what is held and is to answer."""

    _willing: frozenset[Address] = frozenset()
    _heard: dict[int, frozenset[bytes]] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)

    def set_wishes(self, wishes: Mapping[Address, Wish]) -> None:
        """Answer for those of these addresses whose wish says so, once they are held."""
        self._willing = frozenset(address for address, wish in wishes.items() if wish.answers_ping)

    def held(self, holdings: Iterable[Holding]) -> list[ListenForPings]:
        """Follow what is held."""
        if not self._willing and not self._heard:
            return []
        before, self._heard = self._heard, self._targets(holdings)
        return [
            ListenForPings(index, family, targets)
            for index in sorted(before.keys() | self._heard.keys())
            for family in Family
            if (targets := _of_family(self._heard, index, family)) != _of_family(before, index, family)
        ]

    def frame_received(self, interface_index: int, mac: bytes, frame: bytes, now: float) -> list[SendFrame]:
        """Answer as the station `mac`, if it is a ping to be answered."""
        targets = self._heard.get(interface_index, frozenset())
        answer = answer_to_ping(frame, mac, targets)
        return [SendFrame(interface_index, answer)] if answer is not None and self._pace.take(now) else []

    def _targets(self, holdings: Iterable[Holding]) -> dict[int, frozenset[bytes]]:
        targets: defaultdict[int, set[bytes]] = defaultdict(set)
        for holding in holdings:
            if holding.address in self._willing:
                targets[holding.interface_index].add(holding.address.packed)
        return {index: frozenset(packed) for index, packed in targets.items()}


def _of_family(heard: Mapping[int, frozenset[bytes]], index: int, family: Family) -> frozenset[bytes]:
    size = 4 if family is Family.IPV4 else 16
    return frozenset(packed for packed in heard.get(index, ()) if len(packed) == size)


def answer_to_ping(frame: bytes, mac: bytes, targets: Collection[bytes]) -> bytes | None:
    """Build the answer of the station `mac` that has the packed addresses `targets`; None if there is none to give."""
    if len(frame) < _SMALLEST_FRAME or not frame.startswith(mac) or frame[6] & 1:
        return None
    if frame[12:14] == _IPV4:
        return _answer_ipv4(frame, targets)
    if frame[12:14] == _IPV6:
        return _answer_ipv6(frame, targets)
    return None


def _answer_ipv4(frame: bytes, targets: Collection[bytes]) -> bytes | None:
    source, target, end = frame[26:30], frame[30:34], 14 + int.from_bytes(frame[16:18])
    if target not in targets or not 34 + _SMALLEST_ECHO <= end <= len(frame):
        return None
    if frame[14] != _NO_OPTIONS or frame[23] != _ICMP or frame[34:36] != _ECHO:
        return None
    if int.from_bytes(frame[20:22]) & _MORE_FRAGMENTS_OR_OFFSET:
        return None
    if not _is_host(source) or source == target:
        return None
    if _checksum(frame[14:34]) or _checksum(frame[34:end]):
        return None
    before, after = frame[14:22] + _HOPS + frame[23:24], target + source
    ip = before + _checksum(before + after).to_bytes(2) + after
    rest = frame[38:end]
    return _back(frame) + ip + _ECHO_REPLY + _checksum(_ECHO_REPLY + rest).to_bytes(2) + rest


def _is_host(source: bytes) -> bool:
    """Whether an IPv4 address is one of a host elsewhere: neither this network, nor loopback, group or broadcast."""
    return source[0] not in {0, 127} and source[0] < 224


def _answer_ipv6(frame: bytes, targets: Collection[bytes]) -> bytes | None:
    source, target, end = frame[22:38], frame[38:54], 54 + int.from_bytes(frame[18:20])
    if target not in targets or not 54 + _SMALLEST_ECHO <= end <= len(frame):
        return None
    if frame[14] >> 4 != 6 or frame[20] != _ICMPV6 or frame[54:56] != _ECHO_V6:
        return None
    if source[0] == 0xFF or not any(source[:15]) or source == target:
        return None
    addresses = target + source
    pseudo_header = addresses + frame[18:20] + b"\x00" + frame[20:21]
    if _checksum(pseudo_header + frame[54:end]):
        return None
    rest = frame[58:end]
    checksum = _checksum(pseudo_header + _ECHO_REPLY_V6 + rest).to_bytes(2)
    return _back(frame) + frame[14:21] + _HOPS + addresses + _ECHO_REPLY_V6 + checksum + rest


def _back(frame: bytes) -> bytes:
    return frame[6:12] + frame[:6] + frame[12:14]


def _checksum(data: bytes) -> int:
    """Complement the Internet checksum's sum; 0 if the data has a right one in it."""
    return -int.from_bytes(data if len(data) % 2 == 0 else data + b"\x00") % 0xFFFF
