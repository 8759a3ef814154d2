"""Our bytes against scapy's, and our parser against bytes that nobody checked."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from baremetal_lb.l2.packets import (
    Claim,
    ClaimKind,
    MalformedPacket,
    Question,
    frames_for,
    parse_heard,
    solicited_node_group,
)
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


claims = st.one_of(
    [
        st.builds(
            lambda mac, asker, address, sender: frames_for(TEMPLATES, mac, address).answer(
                Question(address.packed, asker, sender.packed)
            ),
            macs,
            macs,
            address,
            address,
        )
        for address in (ipv4, ipv6)
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A question or a claim with some bytes changed, cut off or added."""
    frame = bytearray(draw(questions | claims))
    for position, byte in draw(st.lists(st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255)), max_size=4)):
        frame[position] = byte
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=40))


@st.composite
def neighbor_messages_with_any_options(draw: st.DrawFn) -> bytes:
    """The checksum is right whatever follows the target: the parser gets as far as the options."""
    message = draw(st.sampled_from([ICMPv6ND_NS, ICMPv6ND_NA]))
    ip = IPv6(src=str(draw(ipv6)), dst=ALL_NODES, hlim=255)
    return bytes(Ether() / ip / message(tgt=str(draw(ipv6))) / draw(st.binary(max_size=40)))


@given(st.binary(max_size=200) | damaged() | neighbor_messages_with_any_options())
def test_any_bytes_are_a_question_or_a_claim_or_nothing_or_malformed(frame: bytes) -> None:
    try:
        heard = parse_heard(frame)
    except MalformedPacket:
        return
    match heard:
        case Question(target, sender_mac, sender):
            assert len(sender_mac) == 6
            assert len(sender) == len(target) in {4, 16}
        case Claim(target, mac):
            assert len(mac) == 6
            assert len(target) in {4, 16}


@given(macs, ipv4, ipv4, st.binary(max_size=18))
def test_scapys_arp_request_is_read(mac: bytes, sender: IPv4Address, target: IPv4Address, padding: bytes) -> None:
    heard = parse_heard(arp_request(mac, sender, target) + padding)
    if sender == target:
        assert heard == Claim(target.packed, mac, ClaimKind.ANNOUNCEMENT)
    else:
        assert heard == Question(target.packed, mac, sender.packed)


@given(macs, ipv6, ipv6, st.booleans(), st.binary(max_size=18))
def test_scapys_solicitation_is_read(
    mac: bytes, sender: IPv6Address, target: IPv6Address, names_mac: bool, padding: bytes
) -> None:
    frame = solicitation(mac, sender, target, names_mac=names_mac) + padding
    assert parse_heard(frame) == Question(target.packed, mac, sender.packed)


@given(macs, ipv6, ipv6, st.integers(54 * 8, 86 * 8 - 1))
def test_one_flipped_bit_of_a_solicitation_never_goes_unnoticed(
    mac: bytes, sender: IPv6Address, target: IPv6Address, bit: int
) -> None:
    frame = bytearray(solicitation(mac, sender, target, names_mac=True))
    frame[bit // 8] ^= 1 << bit % 8
    if bit // 8 == 54:
        assert parse_heard(bytes(frame)) is None
        return
    with pytest.raises(MalformedPacket):
        parse_heard(bytes(frame))


@given(macs, macs, ipv4, ipv4, st.binary(max_size=18))
def test_scapys_arp_reply_is_a_claim(
    mac: bytes, asker: bytes, address: IPv4Address, sender: IPv4Address, padding: bytes
) -> None:
    reply = ARP(op="is-at", hwsrc=text(mac), psrc=str(address), hwdst=text(asker), pdst=str(sender))
    kind = ClaimKind.ANSWER if address != sender else ClaimKind.ANNOUNCEMENT
    frame = bytes(Ether(src=text(mac), dst=text(asker)) / reply) + padding
    assert parse_heard(frame) == Claim(address.packed, mac, kind)


@given(macs, ipv6, ipv6, st.booleans(), st.booleans(), st.binary(max_size=18))
def test_scapys_advertisement_is_a_claim(
    mac: bytes, address: IPv6Address, sender: IPv6Address, solicited: bool, names_mac: bool, padding: bytes
) -> None:
    option = ICMPv6NDOptDstLLAddr(lladdr=text(mac)) if names_mac else b""
    ip = IPv6(src=str(address), dst=str(sender) if solicited else ALL_NODES, hlim=255)
    message = ICMPv6ND_NA(R=1, S=int(solicited), O=0, tgt=str(address))
    frame = bytes(Ether(src=text(mac), dst=ALL_NODES_MAC) / ip / message / option) + padding
    kind = ClaimKind.ANSWER if solicited else ClaimKind.ANNOUNCEMENT
    assert parse_heard(frame) == Claim(address.packed, mac, kind)


@given(macs, macs, st.one_of(st.tuples(ipv4, ipv4), st.tuples(ipv6, ipv6)))
def test_what_we_send_is_what_we_understand(
    mac: bytes, asker: bytes, addresses: tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]
) -> None:
    address, sender = addresses
    frames = frames_for(TEMPLATES, mac, address)
    for frame in frames.gratuitous():
        assert parse_heard(frame) == Claim(address.packed, mac, ClaimKind.ANNOUNCEMENT)
    answer = Claim(address.packed, mac, ClaimKind.ANSWER)
    if address != sender:
        assert parse_heard(frames.answer(Question(address.packed, asker, sender.packed))) == answer
    probe = parse_heard(frames.probe())
    assert probe == Question(address.packed, mac, bytes(len(address.packed)))
    assert probe.is_probe()


@given(macs, ipv4)
def test_an_arp_probe_is_what_scapy_builds(mac: bytes, address: IPv4Address) -> None:
    probe = ARP(op="who-has", hwsrc=text(mac), psrc="0.0.0.0", hwdst="00:00:00:00:00:00", pdst=str(address))
    assert frames_for(TEMPLATES, mac, address).probe() == bytes(Ether(src=text(mac), dst=BROADCAST) / probe)


@given(macs, ipv6)
def test_duplicate_detection_is_what_scapy_builds(mac: bytes, address: IPv6Address) -> None:
    group = solicited_node_group(address)
    ethernet = Ether(src=text(mac), dst=text(b"\x33\x33" + group.packed[12:]))
    built = ethernet / IPv6(src="::", dst=str(group), hlim=255) / ICMPv6ND_NS(tgt=str(address))
    assert frames_for(TEMPLATES, mac, address).probe() == bytes(built)


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
    """D24: the override flag is set, also in answers, and the target's MAC is always named."""
    frames = frames_for(TEMPLATES, mac, address)

    def advertisement(to_mac: str, destination: str, solicited: int) -> bytes:
        ip = IPv6(src=str(address), dst=destination, hlim=255)
        body = ICMPv6ND_NA(R=0, S=solicited, O=1, tgt=str(address)) / ICMPv6NDOptDstLLAddr(lladdr=text(mac))
        return bytes(Ether(src=text(mac), dst=to_mac) / ip / body)

    to_everybody = advertisement(ALL_NODES_MAC, ALL_NODES, 0)
    assert frames.answer(Question(address.packed, asker, sender.packed)) == advertisement(text(asker), str(sender), 1)
    assert frames.answer(Question(address.packed, asker, bytes(16))) == to_everybody
    assert frames.news(Question(address.packed, asker, sender.packed)) == advertisement(text(asker), str(sender), 0)
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
