"""The kernel's filter, run by a small interpreter here and checked by the kernel itself."""

import ctypes
import random
import socket
import struct
from collections.abc import Callable

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.l2.filter import MAX_ASKER_RANGES, MAX_RANGES, ping_filter, segment_filter

HOST, BROADCAST, MULTICAST, OTHER_HOST, OUTGOING = range(5)
ATTACH_FILTER = 26
INDEX = 2
OLD_OPTION_MEMORY = 20_480
KERNEL_BYTES_PER_PROGRAM = 200
IPV4_TARGET = bytes([192, 0, 2, 10])
IPV6_TARGET = bytes.fromhex("20010db8000000000000000000000010")
IPV4_OTHER = bytes([10, 1, 2, 3])
IPV6_OTHER = bytes.fromhex("20010db800000000000000000a010203")


def passes(program: bytes, frame: bytes, packet_type: int = BROADCAST, *, interface_index: int = INDEX) -> bool:
    """Run the instructions that our programs use."""
    instructions: list[tuple[int, int, int, int]] = [*struct.iter_unpack("=HBBI", program)]
    position = loaded = 0
    while True:
        code, if_true, if_false, value = instructions[position]
        position += 1
        if code in {0x20, 0x28, 0x30}:
            size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
            if value == 0xFFFFF004:
                loaded = packet_type
            elif value == 0xFFFFF008:
                loaded = interface_index
            elif value + size > len(frame):
                return False
            else:
                loaded = int.from_bytes(frame[value : value + size])
        elif code == 0x05:
            position += value
        elif code == 0x06:
            return value > 0
        else:
            holds = {0x15: loaded == value, 0x25: loaded > value, 0x35: loaded >= value}[code]
            position += if_true if holds else if_false


def arp(target: bytes, operation: int = 1, *, sender: bytes = IPV4_OTHER) -> bytes:
    return bytes(20) + operation.to_bytes(2) + bytes(6) + sender + bytes(6) + target


def solicitation(target: bytes, *, next_header: int = 58, kind: int = 135, source: bytes = IPV6_OTHER) -> bytes:
    return bytes(20) + bytes([next_header, 255]) + source + bytes(16) + bytes([kind]) + bytes(7) + target


def advertisement(target: bytes) -> bytes:
    return solicitation(target, kind=136)


def reply(sender: bytes) -> bytes:
    return arp(IPV4_OTHER, 2, sender=sender)


def asked_from(address: bytes) -> bytes:
    return arp(IPV4_OTHER, sender=address) if len(address) == 4 else solicitation(IPV6_OTHER, source=address)


@pytest.mark.parametrize("count", [1, 8, 9, 33, MAX_ASKER_RANGES, MAX_RANGES, MAX_RANGES + 1, 4000])
@pytest.mark.parametrize(
    ("size", "frame_about"),
    [
        pytest.param(4, arp, id="ARP request for it"),
        pytest.param(4, reply, id="ARP reply from it"),
        pytest.param(4, asked_from, id="ARP request in its name"),
        pytest.param(16, solicitation, id="solicitation of it"),
        pytest.param(16, advertisement, id="advertisement of it"),
        pytest.param(16, asked_from, id="solicitation in its name"),
    ],
)
def test_what_concerns_our_addresses_passes(size: int, frame_about: Callable[[bytes], bytes], count: int) -> None:
    dice = random.Random(count)
    targets = {dice.randbytes(size) for _ in range(count)}
    program = segment_filter(family_of(size), targets, INDEX)
    assert all(passes(program, frame_about(target)) for target in targets)


@pytest.mark.parametrize("count", [1, 8, 9, MAX_ASKER_RANGES])
@pytest.mark.parametrize("size", [4, 16])
def test_nothing_else_passes(size: int, count: int) -> None:
    dice = random.Random(count)
    targets = {dice.randbytes(size) for _ in range(count)}
    program = segment_filter(family_of(size), targets, INDEX)
    others = {dice.randbytes(size) for _ in range(200)}
    neighbours = {(int.from_bytes(target) + step).to_bytes(size) for target in targets for step in (-1, 1)}
    kinds: list[Callable[[bytes], bytes]] = [arp, reply] if size == 4 else [solicitation, advertisement]
    assert not any(
        passes(program, kind(other)) for kind in [*kinds, asked_from] for other in (others | neighbours) - targets
    )


@pytest.mark.parametrize("size", [4, 16])
def test_thousands_of_addresses_of_a_few_pools_let_nothing_outside_pass(size: int) -> None:
    """Each node has its share of each pool, here and there in it."""
    dice = random.Random(0)
    pools = [range(start, start + 1000) for start in (0xC0A80000, 0xC0A81000, 0x0A000000)]
    words = [word for pool in pools for word in dice.sample(pool, 400)]
    program = segment_filter(family_of(size), [word.to_bytes(size) for word in words], INDEX)
    ask = arp if size == 4 else solicitation
    outside = [word for pool in pools for word in (pool.start - 1, pool.stop, pool.stop + 500)]
    assert all(passes(program, ask(word.to_bytes(size))) for word in words)
    assert not any(passes(program, ask(word.to_bytes(size))) for word in outside)


def test_addresses_that_follow_each_other_are_one_range() -> None:
    one = segment_filter(Family.IPV4, [bytes([192, 0, 2, last]) for last in (1, 2)], INDEX)
    many = segment_filter(Family.IPV4, [bytes([192, 0, 2, last]) for last in range(1, 200)], INDEX)
    assert len(many) == len(one)


@pytest.mark.parametrize(
    ("family", "frame", "packet_type", "expected"),
    [
        pytest.param(Family.IPV4, arp(IPV4_TARGET), BROADCAST, True, id="ARP request to everybody"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), HOST, True, id="ARP request to us"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), OTHER_HOST, False, id="ARP request on a VLAN we do not know"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), OUTGOING, False, id="our own gratuitous ARP request"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET, operation=2), HOST, False, id="ARP reply to our address"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET)[:-1], HOST, False, id="ARP request cut off"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), MULTICAST, True, id="solicitation to its group"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), HOST, True, id="solicitation to us"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), OTHER_HOST, False, id="solicitation to another MAC"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET, kind=134), HOST, False, id="router advertisement"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET)[:-1], HOST, False, id="solicitation cut off"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET, next_header=6), HOST, False, id="TCP"),
    ],
)
def test_what_passes(family: Family, frame: bytes, packet_type: int, expected: bool) -> None:
    target = IPV4_TARGET if family is Family.IPV4 else IPV6_TARGET
    assert passes(segment_filter(family, [target], INDEX), frame, packet_type) is expected


def ping(target: bytes, *, protocol: int | None = None, kind: int | None = None) -> bytes:
    if len(target) == 4:
        return bytes(23) + bytes([protocol or 1]) + bytes(6) + target + bytes([8 if kind is None else kind]) + bytes(7)
    return bytes(20) + bytes([protocol or 58]) + bytes(17) + target + bytes([128 if kind is None else kind]) + bytes(7)


@pytest.mark.parametrize(
    ("frame", "packet_type", "expected"),
    [
        pytest.param(ping(IPV4_TARGET), HOST, True, id="IPv4: a ping of our address"),
        pytest.param(ping(IPV4_TARGET), BROADCAST, False, id="IPv4: to everybody"),
        pytest.param(ping(IPV4_TARGET), OTHER_HOST, False, id="IPv4: to another MAC"),
        pytest.param(ping(IPV4_OTHER), HOST, False, id="IPv4: of another address"),
        pytest.param(ping(IPV4_TARGET, protocol=6), HOST, False, id="IPv4: TCP"),
        pytest.param(ping(IPV4_TARGET, kind=0), HOST, False, id="IPv4: a reply"),
        pytest.param(ping(IPV6_TARGET), HOST, True, id="IPv6: a ping of our address"),
        pytest.param(ping(IPV6_TARGET), MULTICAST, False, id="IPv6: to a group"),
        pytest.param(ping(IPV6_TARGET), OUTGOING, False, id="IPv6: our own"),
        pytest.param(ping(IPV6_OTHER), HOST, False, id="IPv6: of another address"),
        pytest.param(ping(IPV6_TARGET, protocol=6), HOST, False, id="IPv6: TCP"),
        pytest.param(ping(IPV6_TARGET, kind=129), HOST, False, id="IPv6: a reply"),
    ],
)
def test_which_pings_pass(frame: bytes, packet_type: int, expected: bool) -> None:
    target = IPV4_TARGET if len(frame) < 50 else IPV6_TARGET
    assert passes(ping_filter(family_of(len(target)), [target], INDEX), frame, packet_type) is expected


@pytest.mark.parametrize("count", [1, 8, 9, 2 * MAX_RANGES])
@pytest.mark.parametrize("size", [4, 16])
def test_the_kernel_takes_the_program_and_a_replacement(size: int, count: int) -> None:
    dice = random.Random(count)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        for _ in range(2):
            targets = {dice.randbytes(size) for _ in range(count)}
            attach(left, segment_filter(family_of(size), targets, INDEX))


@pytest.mark.parametrize("size", [4, 16])
def test_the_largest_program_and_its_replacement_fit_into_old_option_memory(size: int) -> None:
    """Ranges above 2^31: their numbers take the kernel an instruction more each."""
    pairs = [(1 << 31) + step * 1000 + last for step in range(MAX_RANGES + 5) for last in (0, 1)]
    program = segment_filter(family_of(size), [word.to_bytes(size) for word in pairs], INDEX)
    instructions = [*struct.iter_unpack("=HBBI", program)]
    in_the_kernel = sum(2 if code & 7 == 5 and value >= 1 << 31 else 1 for code, _, _, value in instructions)
    assert 2 * (8 * in_the_kernel + KERNEL_BYTES_PER_PROGRAM) < OLD_OPTION_MEMORY


def family_of(size: int) -> Family:
    return Family.IPV4 if size == 4 else Family.IPV6


def attach(target: socket.socket, program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    reference = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    target.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, reference)


@pytest.mark.parametrize("build", [segment_filter, ping_filter])
@pytest.mark.parametrize("target", [IPV4_TARGET, IPV6_TARGET])
def test_what_arrives_for_an_interface_on_top_of_this_one_does_not_pass(
    build: Callable[[Family, list[bytes], int], bytes], target: bytes
) -> None:
    """A VLAN's frames are shown to the sockets of its parent, too, without their tag."""
    frame = ping(target) if build is ping_filter else solicitation(target) if len(target) == 16 else arp(target)
    program = build(family_of(len(target)), [target], INDEX)
    assert passes(program, frame, HOST)
    assert not passes(program, frame, HOST, interface_index=INDEX + 1)
