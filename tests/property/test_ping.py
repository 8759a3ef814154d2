"""Our answers to pings against scapy's, and against bytes that nobody checked."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from baremetal_lb.l2.ping import answer_to_ping

OURS, CLIENT = "02:00:5e:00:53:01", "02:00:5e:00:53:02"
MAC = bytes.fromhex(OURS.replace(":", ""))
V4, V6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
TARGETS = {V4.packed, V6.packed}

words = st.integers(0, 0xFFFF)
payloads = st.binary(max_size=200)
ipv4 = st.integers(0x0B000000, 0x7E000000).map(IPv4Address)
ipv6 = st.integers(1 << 120, 0xFE << 120).map(IPv6Address)


def ping_ipv4(source: IPv4Address, number: int, payload: bytes) -> Ether:
    return Ether(src=CLIENT, dst=OURS) / IP(src=str(source), dst=str(V4)) / ICMP(id=number, seq=1) / Raw(payload)


def ping_ipv6(source: IPv6Address, number: int, payload: bytes) -> Ether:
    return Ether(src=CLIENT, dst=OURS) / IPv6(src=str(source), dst=str(V6)) / ICMPv6EchoRequest(id=number, data=payload)


@given(ipv4, words, payloads, st.binary(max_size=18))
def test_an_ipv4_answer_is_what_scapy_builds(source: IPv4Address, number: int, payload: bytes, padding: bytes) -> None:
    expected = (
        Ether(src=OURS, dst=CLIENT)
        / IP(src=str(V4), dst=str(source), ttl=64)
        / ICMP(type="echo-reply", id=number, seq=1)
        / Raw(payload)
    )
    assert answer_to_ping(bytes(ping_ipv4(source, number, payload)) + padding, MAC, TARGETS) == bytes(expected)


@given(ipv6, words, payloads, st.binary(max_size=18))
def test_an_ipv6_answer_is_what_scapy_builds(source: IPv6Address, number: int, payload: bytes, padding: bytes) -> None:
    expected = (
        Ether(src=OURS, dst=CLIENT)
        / IPv6(src=str(V6), dst=str(source), hlim=64)
        / ICMPv6EchoReply(id=number, data=payload)
    )
    assert answer_to_ping(bytes(ping_ipv6(source, number, payload)) + padding, MAC, TARGETS) == bytes(expected)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A ping with some bytes changed, cut off or added."""
    pings = st.builds(ping_ipv4, ipv4, words, payloads) | st.builds(ping_ipv6, ipv6, words, payloads)
    frame = bytearray(bytes(draw(pings)))
    for position, byte in draw(st.lists(st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255)), max_size=4)):
        frame[position] = byte
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=40))


@given(st.binary(max_size=200) | damaged())
def test_no_answer_is_longer_than_what_was_asked_or_goes_elsewhere(frame: bytes) -> None:
    answer = answer_to_ping(frame, MAC, TARGETS)
    if answer is not None:
        assert len(answer) <= len(frame)
        assert answer[:12] == frame[6:12] + MAC
