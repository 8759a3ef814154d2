"""One row for each rule by which a frame is a ping that we answer, or not; and when and where we hear pings at all."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.pace import MAX_BURST
from baremetal_lb.l2.packets import frames_for
from baremetal_lb.l2.ping import PingResponder, answer_to_ping
from baremetal_lb.l2.responder import ListenForPings
from baremetal_lb.l2.segment import Wish
from baremetal_lb.l2.templates import build_templates

TEMPLATES = build_templates()

OURS, CLIENT = bytes.fromhex("02005e005301"), bytes.fromhex("02005e005302")
V4, V4_CLIENT = ip_address("192.0.2.10"), ip_address("192.0.2.201")
V6, V6_CLIENT = ip_address("2001:db8::10"), ip_address("2001:db8::201")
TARGETS = {V4.packed, V6.packed}


def checksum(data: bytes) -> bytes:
    return (-int.from_bytes(data + bytes(len(data) % 2)) % 0xFFFF).to_bytes(2)


def ping(source: Address, target: Address, *, payload: bytes = b"payload", at: dict[int, int] | None = None) -> bytes:
    """Build a ping from the client to us; `at` sets bytes of the frame before the checksums are computed."""
    rest = b"\0\x07\0\x01" + payload
    if source.version == 4:
        ip = b"\x45\0" + (28 + len(payload)).to_bytes(2) + b"\x12\x34\x40\0\x40\x01\0\0" + source.packed + target.packed
        frame = bytearray(OURS + CLIENT + b"\x08\0" + ip + b"\x08\0\0\0" + rest)
    else:
        ip = b"\x60\0\0\0" + (8 + len(payload)).to_bytes(2) + b"\x3a\x40" + source.packed + target.packed
        frame = bytearray(OURS + CLIENT + b"\x86\xdd" + ip + b"\x80\0\0\0" + rest)
    for position, value in (at or {}).items():
        frame[position] = value
    if source.version == 4:
        frame[24:26] = checksum(bytes(frame[14:34]))
        frame[36:38] = checksum(bytes(frame[34:]))
    else:
        frame[56:58] = checksum(bytes(frame[22:54] + frame[18:20] + b"\0\x3a" + frame[54:]))
    return bytes(frame)


@pytest.mark.parametrize("payload", [b"", b"odd", b"even", bytes(1400)])
@pytest.mark.parametrize("padding", [b"", bytes(10)])
def test_a_ping_of_an_ipv4_address_is_answered(payload: bytes, padding: bytes) -> None:
    answer = answer_to_ping(ping(V4_CLIENT, V4, payload=payload) + padding, OURS, TARGETS)
    assert answer is not None
    assert answer[:14] == CLIENT + OURS + b"\x08\0"
    assert answer[26:34] == V4.packed + V4_CLIENT.packed
    assert (answer[22], answer[34:36], answer[38:]) == (64, b"\0\0", b"\0\x07\0\x01" + payload)
    assert checksum(answer[14:34]) == checksum(answer[34:]) == bytes(2)


@pytest.mark.parametrize("payload", [b"", b"odd", b"even", bytes(1400)])
@pytest.mark.parametrize("padding", [b"", bytes(10)])
def test_a_ping_of_an_ipv6_address_is_answered(payload: bytes, padding: bytes) -> None:
    answer = answer_to_ping(ping(V6_CLIENT, V6, payload=payload) + padding, OURS, TARGETS)
    assert answer is not None
    assert answer[:14] == CLIENT + OURS + b"\x86\xdd"
    assert answer[22:54] == V6.packed + V6_CLIENT.packed
    assert (answer[21], answer[54:56], answer[58:]) == (64, b"\x81\0", b"\0\x07\0\x01" + payload)
    assert checksum(answer[22:54] + answer[18:20] + b"\0\x3a" + answer[54:]) == bytes(2)


def flipped(frame: bytes, position: int) -> bytes:
    return frame[:position] + bytes([frame[position] ^ 1]) + frame[position + 1 :]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(OURS, id="only a MAC"),
        pytest.param(OURS + CLIENT + b"\x08\x06" + bytes(40), id="ARP"),
        pytest.param(ping(V4_CLIENT, ip_address("192.0.2.11")), id="IPv4: another address"),
        pytest.param(ping(V6_CLIENT, ip_address("2001:db8::11")), id="IPv6: another address"),
        pytest.param(b"\xff" * 6 + ping(V4_CLIENT, V4)[6:], id="IPv4: sent to everybody"),
        pytest.param(b"\x33\x33\0\0\0\x01" + ping(V6_CLIENT, V6)[6:], id="IPv6: sent to a group"),
        pytest.param(CLIENT + ping(V4_CLIENT, V4)[6:], id="IPv4: sent to another MAC"),
        pytest.param(ping(V4_CLIENT, V4, at={6: 0x03}), id="IPv4: from the MAC of a group"),
        pytest.param(ping(V4_CLIENT, V4, at={14: 0x46}), id="IPv4: with options"),
        pytest.param(ping(V4_CLIENT, V4, at={20: 0x20}), id="IPv4: the first fragment"),
        pytest.param(ping(V4_CLIENT, V4, at={20: 0, 21: 3}), id="IPv4: a later fragment"),
        pytest.param(ping(V4_CLIENT, V4, at={23: 17}), id="IPv4: UDP"),
        pytest.param(ping(V4_CLIENT, V4, at={34: 0}), id="IPv4: an echo reply"),
        pytest.param(ping(V4_CLIENT, V4, at={35: 1}), id="IPv4: with a code"),
        pytest.param(ping(V4_CLIENT, V4, at={17: 27}), id="IPv4: shorter than an echo"),
        pytest.param(ping(V4_CLIENT, V4, at={16: 1}), id="IPv4: says it is longer than it is"),
        pytest.param(flipped(ping(V4_CLIENT, V4), 22), id="IPv4: damaged header"),
        pytest.param(flipped(ping(V4_CLIENT, V4), 44), id="IPv4: damaged payload"),
        pytest.param(ping(V4, V4), id="IPv4: from the address itself"),
        pytest.param(ping(ip_address("0.0.0.0"), V4), id="IPv4: from nobody"),
        pytest.param(ping(ip_address("127.0.0.1"), V4), id="IPv4: from loopback"),
        pytest.param(ping(ip_address("224.0.0.1"), V4), id="IPv4: from a group"),
        pytest.param(ping(ip_address("255.255.255.255"), V4), id="IPv4: from everybody"),
        pytest.param(ping(V6_CLIENT, V6, at={14: 0x50}), id="IPv6: another version"),
        pytest.param(ping(V6_CLIENT, V6, at={20: 44}), id="IPv6: a fragment"),
        pytest.param(ping(V6_CLIENT, V6, at={54: 129}), id="IPv6: an echo reply"),
        pytest.param(ping(V6_CLIENT, V6, at={55: 1}), id="IPv6: with a code"),
        pytest.param(ping(V6_CLIENT, V6, at={19: 7}), id="IPv6: shorter than an echo"),
        pytest.param(ping(V6_CLIENT, V6, at={18: 1}), id="IPv6: says it is longer than it is"),
        pytest.param(flipped(ping(V6_CLIENT, V6), 62), id="IPv6: damaged"),
        pytest.param(ping(V6, V6), id="IPv6: from the address itself"),
        pytest.param(ping(ip_address("::"), V6), id="IPv6: from nobody"),
        pytest.param(ping(ip_address("::1"), V6), id="IPv6: from loopback"),
        pytest.param(ping(ip_address("ff02::1"), V6), id="IPv6: from a group"),
    ],
)
def test_anything_else_meets_silence(frame: bytes) -> None:
    assert answer_to_ping(frame, OURS, TARGETS) is None


@pytest.mark.parametrize("build", [lambda: ping(V4_CLIENT, V4), lambda: ping(V6_CLIENT, V6)])
def test_no_cut_makes_it_fail(build: Callable[[], bytes]) -> None:
    frame = build()
    assert all(answer_to_ping(frame[:size], OURS, TARGETS) is None for size in range(len(frame)))


def holding(address: Address, interface_index: int = 2) -> Holding:
    return Holding(interface_index, address, frames_for(TEMPLATES, OURS, address))


class TestWhoIsAnswered:
    ANSWERS, SILENT = Wish(answers_ping=True), Wish()

    @pytest.mark.parametrize(("address", "family"), [(V4, Family.IPV4), (V6, Family.IPV6)])
    def test_pings_are_heard_while_an_address_is_held_whose_wish_says_so(
        self, address: Address, family: Family
    ) -> None:
        pings = PingResponder()
        pings.set_wishes({address: self.ANSWERS})
        assert pings.held([]) == []
        targets = frozenset({address.packed})
        assert pings.held([holding(address)]) == [ListenForPings(2, family, targets)]
        assert pings.held([holding(address)]) == []
        assert pings.held([]) == [ListenForPings(2, family, frozenset())]

    def test_nothing_is_heard_of_an_address_whose_wish_says_nothing(self) -> None:
        pings = PingResponder()
        pings.set_wishes({V4: self.SILENT, V6: self.SILENT})
        assert pings.held([holding(V4), holding(V6)]) == []

    def test_a_wish_that_changes_counts_at_once(self) -> None:
        pings = PingResponder()
        pings.set_wishes({V4: self.ANSWERS, V6: self.ANSWERS})
        pings.held([holding(V4), holding(V6, 3)])
        pings.set_wishes({V4: self.ANSWERS, V6: self.SILENT})
        assert pings.held([holding(V4), holding(V6, 3)]) == [ListenForPings(3, Family.IPV6, frozenset())]

    @pytest.mark.parametrize(
        ("interface_index", "frame", "answered"),
        [
            pytest.param(2, ping(V4_CLIENT, V4), True, id="IPv4: where it is held"),
            pytest.param(3, ping(V4_CLIENT, V4), False, id="IPv4: elsewhere"),
            pytest.param(3, ping(V6_CLIENT, V6), True, id="IPv6: where it is held"),
            pytest.param(2, ping(V6_CLIENT, V6), False, id="IPv6: elsewhere"),
        ],
    )
    def test_answers_are_given_where_the_address_is_held(
        self, interface_index: int, frame: bytes, answered: bool
    ) -> None:
        pings = PingResponder()
        pings.set_wishes({V4: self.ANSWERS, V6: self.ANSWERS})
        pings.held([holding(V4), holding(V6, 3)])
        assert bool(pings.frame_received(interface_index, OURS, frame, 0.0)) is answered

    def test_a_flood_is_answered_at_a_pace(self) -> None:
        pings = PingResponder()
        pings.set_wishes({V4: self.ANSWERS})
        pings.held([holding(V4)])
        answers = [answer for _ in range(1000) for answer in pings.frame_received(2, OURS, ping(V4_CLIENT, V4), 5.0)]
        assert MAX_BURST <= len(answers) <= MAX_BURST + 1
        assert pings.frame_received(2, OURS, ping(V4_CLIENT, V4), 6.0)
