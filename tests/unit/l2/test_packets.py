"""One row for each rule by which a frame is a question or a claim, is neither, or is malformed."""

from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from baremetal_lb.l2.packets import (
    Claim,
    ClaimKind,
    Malformed,
    MalformedPacket,
    Question,
    is_heard_by,
    parse_heard,
    solicited_node_group,
)

ASKER = bytes.fromhex("02005e005302")
OURS = bytes.fromhex("02005e005301")
SENDER = IPv6Address("2001:db8::201").packed
TARGET = IPv6Address("2001:db8::10").packed
GROUP = solicited_node_group(IPv6Address(TARGET)).packed
NAMES_MAC = b"\x01\x01" + ASKER
NAMES_TARGET_MAC = b"\x02\x01" + ASKER
ALL_NODES = IPv6Address("ff02::1").packed
IPV4_SENDER = bytes([192, 0, 2, 201])
IPV4_TARGET = bytes([192, 0, 2, 10])
NONCE = b"\x0e\x01abcdef"


def arp(
    *,
    operation: int = 1,
    header: str = "0001080006 04",
    sender_mac: bytes = ASKER,
    sender: bytes = IPV4_SENDER,
    destination: bytes = b"\xff" * 6,
) -> bytes:
    head = destination + ASKER + b"\x08\x06" + bytes.fromhex(header) + operation.to_bytes(2)
    return head + sender_mac + sender + bytes(6) + IPV4_TARGET


def solicitation(
    *,
    sender: bytes = SENDER,
    destination: bytes = GROUP,
    target: bytes = TARGET,
    options: bytes = NAMES_MAC,
    change: Callable[[bytearray], None] = lambda _: None,
) -> bytes:
    """Build a solicitation with a right checksum; `change` works on the whole frame before that is computed."""
    return neighbor_message(bytes([135, 0]) + bytes(6) + target + options, sender, destination, change)


def advertisement(
    *,
    flags: int = 0x60,
    destination: bytes = SENDER,
    options: bytes = NAMES_TARGET_MAC,
    change: Callable[[bytearray], None] = lambda _: None,
) -> bytes:
    body = bytes([136, 0, 0, 0, flags, 0, 0, 0]) + TARGET + options
    return neighbor_message(body, TARGET, destination, change)


def neighbor_message(
    body: bytes, sender: bytes, destination: bytes, change: Callable[[bytearray], None] = lambda _: None
) -> bytes:
    ip = b"\x60\0\0\0" + len(body).to_bytes(2) + b"\x3a\xff" + sender + destination
    frame = bytearray(b"\x33\x33\xff\0\0\x10" + ASKER + b"\x86\xdd" + ip + body)
    change(frame)
    words = bytes(frame[22:]) + bytes(len(body) % 2) + len(body).to_bytes(2) + b"\0\x3a"
    frame[56:58] = (-int.from_bytes(words) % 0xFFFF).to_bytes(2)
    return bytes(frame)


def set_byte(position: int, value: int) -> Callable[[bytearray], None]:
    return lambda frame: frame.__setitem__(position, value)


@pytest.mark.parametrize(
    ("frame", "sender"),
    [
        pytest.param(arp(), b"\xc0\0\2\xc9", id="ARP: who has"),
        pytest.param(arp(sender=bytes(4)), bytes(4), id="ARP: a probe, from nobody yet"),
        pytest.param(arp() + bytes(18), b"\xc0\0\2\xc9", id="ARP: padded to Ethernet's least size"),
        pytest.param(solicitation(), SENDER, id="NDP: to the group"),
        pytest.param(solicitation(destination=TARGET), SENDER, id="NDP: to the address itself, as refreshes are"),
        pytest.param(solicitation(options=b""), SENDER, id="NDP: without a source link-layer address"),
        pytest.param(solicitation(options=NONCE + NAMES_MAC), SENDER, id="NDP: after an option we do not know"),
        pytest.param(solicitation(sender=bytes(16), options=b""), bytes(16), id="NDP: duplicate address detection"),
        pytest.param(solicitation(sender=bytes(16), options=NONCE), bytes(16), id="NDP: the same with a nonce"),
        pytest.param(solicitation() + bytes(6), SENDER, id="NDP: padded"),
    ],
)
def test_questions(frame: bytes, sender: bytes) -> None:
    """D24: there a solicitation that names no source MAC is dropped, so refreshes and detection go unanswered."""
    target = b"\xc0\0\2\x0a" if len(sender) == 4 else TARGET
    question = parse_heard(frame)
    assert question == Question(target, ASKER, sender)
    assert question.is_probe() == (not any(sender))
    assert question.claim() == (Claim(sender, ASKER, ClaimKind.ANSWER) if any(sender) else None)


@pytest.mark.parametrize(
    ("frame", "claim"),
    [
        pytest.param(
            arp(sender=IPV4_TARGET), Claim(IPV4_TARGET, ASKER, ClaimKind.ANNOUNCEMENT), id="ARP: asks for itself"
        ),
        pytest.param(
            arp(operation=2, sender=IPV4_TARGET, destination=OURS),
            Claim(IPV4_TARGET, ASKER, ClaimKind.ANNOUNCEMENT),
            id="ARP: replies to itself",
        ),
        pytest.param(
            arp(operation=2), Claim(IPV4_SENDER, ASKER, ClaimKind.ANNOUNCEMENT), id="ARP: replies to everybody"
        ),
        pytest.param(
            arp(operation=2, destination=OURS) + bytes(18),
            Claim(IPV4_SENDER, ASKER, ClaimKind.ANSWER),
            id="ARP: replies to one, padded",
        ),
        pytest.param(
            arp(operation=2, destination=OURS, sender_mac=OURS),
            Claim(IPV4_SENDER, OURS, ClaimKind.ANSWER),
            id="ARP: the MAC is what ARP says, not Ethernet",
        ),
        pytest.param(advertisement(), Claim(TARGET, ASKER, ClaimKind.ANSWER), id="NDP: solicited"),
        pytest.param(
            advertisement(flags=0x20, destination=ALL_NODES),
            Claim(TARGET, ASKER, ClaimKind.ANNOUNCEMENT),
            id="NDP: unsolicited, or answers a probe",
        ),
        pytest.param(
            advertisement(options=NONCE + b"\x02\x01" + OURS) + bytes(6),
            Claim(TARGET, OURS, ClaimKind.ANSWER),
            id="NDP: the MAC that the option says, padded",
        ),
        pytest.param(
            advertisement(options=b""), Claim(TARGET, ASKER, ClaimKind.ANSWER), id="NDP: no option, so Ethernet's MAC"
        ),
        pytest.param(
            advertisement(options=b"\x01\x01" + OURS),
            Claim(TARGET, ASKER, ClaimKind.ANSWER),
            id="NDP: a source link-layer address says nothing here",
        ),
    ],
)
def test_claims(frame: bytes, claim: Claim) -> None:
    assert parse_heard(frame) == claim


def test_the_answer_goes_where_the_option_says() -> None:
    frame = solicitation(options=b"\x01\x01" + OURS)
    assert parse_heard(frame) == Question(TARGET, OURS, SENDER)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(14), id="another protocol"),
        pytest.param(arp(operation=3), id="ARP: reverse"),
        pytest.param(solicitation(change=set_byte(54, 134)), id="NDP: of a router"),
        pytest.param(solicitation(change=set_byte(20, 17)), id="UDP"),
    ],
)
def test_frames_that_neither_ask_nor_claim(frame: bytes) -> None:
    assert parse_heard(frame) is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(arp()[:41], Malformed.TRUNCATED, id="ARP: cut off"),
        pytest.param(arp(header="0001 86dd 06 04"), Malformed.BAD_ARP_HEADER, id="ARP: not for IPv4"),
        pytest.param(arp(header="0006 0800 06 04"), Malformed.BAD_ARP_HEADER, id="ARP: not on Ethernet"),
        pytest.param(arp(header="0001 0800 08 04"), Malformed.BAD_ARP_HEADER, id="ARP: wrong length of MAC"),
        pytest.param(arp(sender_mac=b"\xff" * 6), Malformed.BAD_SENDER_MAC, id="ARP: answer to everybody"),
        pytest.param(arp(sender_mac=bytes(6)), Malformed.BAD_SENDER_MAC, id="ARP: answer to nobody"),
        pytest.param(solicitation()[:54], Malformed.TRUNCATED, id="NDP: cut off before ICMPv6"),
        pytest.param(solicitation()[:85], Malformed.TRUNCATED, id="NDP: cut off inside an option"),
        pytest.param(solicitation(change=set_byte(19, 16)), Malformed.TRUNCATED, id="NDP: says it has no target"),
        pytest.param(solicitation(change=set_byte(14, 0x40)), Malformed.BAD_IP_VERSION, id="NDP: IP version 4"),
        pytest.param(solicitation(change=set_byte(21, 254)), Malformed.FORWARDED, id="NDP: came through a router"),
        pytest.param(solicitation(change=set_byte(55, 1)), Malformed.BAD_CODE, id="NDP: code is not 0"),
        pytest.param(solicitation()[:-1] + b"\xee", Malformed.BAD_CHECKSUM, id="NDP: damaged on the way"),
        pytest.param(solicitation(target=GROUP), Malformed.MULTICAST_TARGET, id="NDP: target is a group"),
        pytest.param(solicitation(sender=GROUP), Malformed.MULTICAST_SOURCE, id="NDP: answer to a group"),
        pytest.param(solicitation(options=b"\x01\0" + ASKER), Malformed.BAD_OPTION, id="NDP: MAC of length 0"),
        pytest.param(solicitation(options=b"\x0e\0" + ASKER), Malformed.BAD_OPTION, id="NDP: option of length 0"),
        pytest.param(solicitation(options=b"\x01\x02" + ASKER), Malformed.BAD_OPTION, id="NDP: option too long"),
        pytest.param(
            solicitation(options=b"\x01\x02" + ASKER + bytes(8)), Malformed.BAD_OPTION, id="NDP: MAC of 14 bytes"
        ),
        pytest.param(solicitation(options=NAMES_MAC + b"\x01"), Malformed.BAD_OPTION, id="NDP: half an option"),
        pytest.param(
            solicitation(options=b"\x01\x01" + b"\xff" * 6), Malformed.BAD_SENDER_MAC, id="NDP: answer to everybody"
        ),
        pytest.param(solicitation(sender=bytes(16)), Malformed.BAD_PROBE, id="NDP: from nobody, with a MAC"),
        pytest.param(
            solicitation(sender=bytes(16), options=b"", destination=TARGET),
            Malformed.BAD_PROBE,
            id="NDP: from nobody, not to a solicited-node group",
        ),
        pytest.param(
            arp(operation=2, sender_mac=b"\xff" * 6), Malformed.BAD_SENDER_MAC, id="ARP: a claim for everybody's MAC"
        ),
        pytest.param(
            advertisement(destination=ALL_NODES), Malformed.ANSWER_TO_A_GROUP, id="NDP: solicited, but to everybody"
        ),
        pytest.param(
            advertisement(options=b"\x02\x01" + b"\xff" * 6),
            Malformed.BAD_SENDER_MAC,
            id="NDP: a claim for everybody's MAC",
        ),
        pytest.param(advertisement(options=b"\x02\0" + ASKER), Malformed.BAD_OPTION, id="NDP: claim, MAC of length 0"),
        pytest.param(
            advertisement(change=set_byte(21, 64)), Malformed.FORWARDED, id="NDP: claim that came through a router"
        ),
        pytest.param(advertisement()[:-1] + b"\xee", Malformed.BAD_CHECKSUM, id="NDP: claim damaged on the way"),
    ],
)
def test_malformed_frames(frame: bytes, reason: Malformed) -> None:
    with pytest.raises(MalformedPacket) as caught:
        parse_heard(frame)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("destination", "heard"),
    [
        pytest.param("02005e005301", True, id="to us"),
        pytest.param("ffffffffffff", True, id="to everybody"),
        pytest.param("3333ff000010", True, id="to an IPv6 group"),
        pytest.param("02005e005309", False, id="to somebody else"),
        pytest.param("01005e000001", False, id="to an IPv4 group"),
    ],
)
def test_which_frames_a_station_hears(destination: str, heard: bool) -> None:
    assert is_heard_by(OURS, bytes.fromhex(destination) + arp()[6:]) is heard


@pytest.mark.parametrize(
    ("address", "group"),
    [("2001:db8::10", "ff02::1:ff00:10"), ("2001:db8::1234:5678:9abc", "ff02::1:ff78:9abc")],
)
def test_solicited_node_group(address: str, group: str) -> None:
    assert solicited_node_group(IPv6Address(address)) == IPv6Address(group)
