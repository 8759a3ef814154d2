"""The kernel's filter, run by a small interpreter here and checked by the kernel itself."""

import ctypes
import random
import socket
import struct

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.l2.filter import MAX_TARGETS, question_filter

HOST, BROADCAST, MULTICAST, OTHER_HOST, OUTGOING = range(5)
ATTACH_FILTER = 26
IPV4_TARGET = bytes([192, 0, 2, 10])
IPV6_TARGET = bytes.fromhex("20010db8000000000000000000000010")


def passes(program: bytes, frame: bytes, packet_type: int = BROADCAST) -> bool:
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


def arp(target: bytes, operation: int = 1) -> bytes:
    return bytes(20) + operation.to_bytes(2) + bytes(16) + target


def solicitation(target: bytes, *, next_header: int = 58, kind: int = 135) -> bytes:
    return bytes(20) + bytes([next_header]) + bytes(33) + bytes([kind]) + bytes(7) + target


@pytest.mark.parametrize("count", [1, 16, 17, 33, MAX_TARGETS, MAX_TARGETS + 1])
@pytest.mark.parametrize(("family", "size"), [(Family.IPV4, 4), (Family.IPV6, 16)])
def test_questions_for_our_addresses_pass_and_others_do_not(family: Family, size: int, count: int) -> None:
    dice = random.Random(count)
    targets = {dice.randbytes(size) for _ in range(count)}
    program = question_filter(family, targets)
    ask = arp if family is Family.IPV4 else solicitation
    assert all(passes(program, ask(target)) for target in targets)
    others = {dice.randbytes(size) for _ in range(200)} - targets
    neighbours = {(int.from_bytes(target) ^ 1).to_bytes(size) for target in targets} - targets
    assert {passes(program, ask(other)) for other in others | neighbours} == {count > MAX_TARGETS}


@pytest.mark.parametrize(
    ("family", "frame", "packet_type", "expected"),
    [
        pytest.param(Family.IPV4, arp(IPV4_TARGET), BROADCAST, True, id="ARP request to everybody"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), HOST, True, id="ARP request to us"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), OTHER_HOST, False, id="ARP request on a VLAN we do not know"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET), OUTGOING, False, id="our own gratuitous ARP request"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET, operation=2), HOST, False, id="ARP reply"),
        pytest.param(Family.IPV4, arp(IPV4_TARGET)[:-1], HOST, False, id="ARP request cut off"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), MULTICAST, True, id="solicitation to its group"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), HOST, True, id="solicitation to us"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET), OTHER_HOST, False, id="solicitation to another MAC"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET, kind=136), HOST, False, id="advertisement"),
        pytest.param(Family.IPV6, solicitation(IPV6_TARGET, next_header=6), HOST, False, id="TCP"),
    ],
)
def test_what_passes(family: Family, frame: bytes, packet_type: int, expected: bool) -> None:
    target = IPV4_TARGET if family is Family.IPV4 else IPV6_TARGET
    assert passes(question_filter(family, [target]), frame, packet_type) is expected


@pytest.mark.parametrize("count", [1, 16, 17, MAX_TARGETS])
@pytest.mark.parametrize(("family", "size"), [(Family.IPV4, 4), (Family.IPV6, 16)])
def test_the_kernel_takes_the_program_and_a_replacement(family: Family, size: int, count: int) -> None:
    dice = random.Random(count)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        for _ in range(2):
            program = question_filter(family, {dice.randbytes(size) for _ in range(count)})
            instructions = ctypes.create_string_buffer(program, len(program))
            reference = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
            left.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, reference)
