"""Our bytes against scapy's, and our parser against bytes that nobody checked."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from baremetal_lb.l2.packets import MalformedPacket, Question, frames_for, parse_question, solicited_node_group
from baremetal_lb.l2.templates import build_templates

TEMPLATES = build_templates()
ALL_NODES = "ff02::1"
ALL_NODES_MAC = "33:33:00:00:00:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"

macs = st.binary(min_size=6, max_size=6).filter(lambda mac: not mac[0] & 1 and any(mac))
ipv4 = st.integers(1, 2**32 - 2).map(IPv4Address)
ipv6 = st.integers(1, 0xFF << 120).filter(lambda number: number < 0xFF << 120).map(IPv6Address)


def text(mac: bytes) -> str:
    return mac.hex(":")


def arp_request(mac: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    arp = ARP(op="who-has", hwsrc=text(mac), psrc=str(sender), pdst=str(target))
    return bytes(Ether(src=text(mac), dst=BROADCAST) / arp)


def solicitation(mac: bytes, sender: IPv6Address, target: IPv6Address, *, names_mac: bool) -> bytes:
    ip = IPv6(src=str(sender), dst=str(solicited_node_group(target)), hlim=255)
    option = ICMPv6NDOptSrcLLAddr(lladdr=text(mac)) if names_mac else b""
    return bytes(Ether(src=text(mac), dst="33:33:ff:00:00:01") / ip / ICMPv6ND_NS(tgt=str(target)) / option)


questions = st.one_of(
    st.builds(arp_request, macs, ipv4, ipv4),
    st.builds(solicitation, macs, ipv6, ipv6, names_mac=st.booleans()),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A question with some bytes changed, cut off or added."""
    frame = bytearray(draw(questions))
    for position, byte in draw(st.lists(st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255)), max_size=4)):
        frame[position] = byte
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=40))


@st.composite
def solicitations_with_any_options(draw: st.DrawFn) -> bytes:
    """A solicitation whose checksum is right whatever follows the target: the parser gets as far as the options."""
    ip = IPv6(src=str(draw(ipv6)), dst=ALL_NODES, hlim=255)
    return bytes(Ether() / ip / ICMPv6ND_NS(tgt=str(draw(ipv6))) / draw(st.binary(max_size=40)))


@given(st.binary(max_size=200) | damaged() | solicitations_with_any_options())
def test_any_bytes_are_a_question_or_nothing_or_malformed(frame: bytes) -> None:
    try:
        question = parse_question(frame)
    except MalformedPacket:
        return
    if question is not None:
        assert len(question.sender_mac) == 6
        assert len(question.sender) == len(question.target) in {4, 16}


@given(macs, ipv4, ipv4, st.binary(max_size=18))
def test_scapys_arp_request_is_read(mac: bytes, sender: IPv4Address, target: IPv4Address, padding: bytes) -> None:
    frame = arp_request(mac, sender, target) + padding
    assert parse_question(frame) == Question(target.packed, mac, sender.packed)


@given(macs, ipv6, ipv6, st.booleans(), st.binary(max_size=18))
def test_scapys_solicitation_is_read(
    mac: bytes, sender: IPv6Address, target: IPv6Address, names_mac: bool, padding: bytes
) -> None:
    frame = solicitation(mac, sender, target, names_mac=names_mac) + padding
    assert parse_question(frame) == Question(target.packed, mac, sender.packed)


@given(macs, ipv6, ipv6, st.integers(54 * 8, 86 * 8 - 1))
def test_one_flipped_bit_of_a_solicitation_never_goes_unnoticed(
    mac: bytes, sender: IPv6Address, target: IPv6Address, bit: int
) -> None:
    frame = bytearray(solicitation(mac, sender, target, names_mac=True))
    frame[bit // 8] ^= 1 << bit % 8
    if bit // 8 == 54:
        assert parse_question(bytes(frame)) is None
        return
    with pytest.raises(MalformedPacket):
        parse_question(bytes(frame))


@given(macs, macs, ipv4, ipv4)
def test_arp_frames_are_what_scapy_builds(mac: bytes, asker: bytes, address: IPv4Address, sender: IPv4Address) -> None:
    frames = frames_for(TEMPLATES, mac, address)
    ours = {"hwsrc": text(mac), "psrc": str(address)}
    reply = ARP(op="is-at", hwdst=text(asker), pdst=str(sender), **ours)
    assert frames.answer(Question(address.packed, asker, sender.packed)) == bytes(
        Ether(src=text(mac), dst=text(asker)) / reply
    )
    everybody = Ether(src=text(mac), dst=BROADCAST)
    assert frames.gratuitous() == (
        bytes(everybody / ARP(op="who-has", hwdst="00:00:00:00:00:00", pdst=str(address), **ours)),
        bytes(everybody / ARP(op="is-at", hwdst=text(mac), pdst=str(address), **ours)),
    )


@given(macs, macs, ipv6, ipv6)
def test_advertisements_are_what_scapy_builds(
    mac: bytes, asker: bytes, address: IPv6Address, sender: IPv6Address
) -> None:
    frames = frames_for(TEMPLATES, mac, address)

    def advertisement(to_mac: str, destination: str, solicited: int) -> bytes:
        ip = IPv6(src=str(address), dst=destination, hlim=255)
        body = ICMPv6ND_NA(R=0, S=solicited, O=1, tgt=str(address)) / ICMPv6NDOptDstLLAddr(lladdr=text(mac))
        return bytes(Ether(src=text(mac), dst=to_mac) / ip / body)

    to_everybody = advertisement(ALL_NODES_MAC, ALL_NODES, 0)
    assert frames.answer(Question(address.packed, asker, sender.packed)) == advertisement(text(asker), str(sender), 1)
    assert frames.answer(Question(address.packed, asker, bytes(16))) == to_everybody
    assert frames.gratuitous() == (to_everybody,)


@given(macs, ipv6)
def test_a_checksum_of_zero_is_written_as_scapy_writes_it(mac: bytes, address: IPv6Address) -> None:
    """The one sum where folding words and a remainder could differ: aim the sender's last word at it."""
    frames = frames_for(TEMPLATES, mac, address)
    network = IPv6Address("2001:db8::")
    checksum = int.from_bytes(frames.answer(Question(address.packed, mac, network.packed))[56:58])
    frame = frames.answer(Question(address.packed, mac, (network + checksum).packed))
    rebuilt = IPv6(frame[14:])
    del rebuilt[ICMPv6ND_NA].cksum
    assert frame[56:58] == bytes(2)
    assert bytes(rebuilt) == frame[14:]
