"""The classic BPF program that lets only questions for our addresses through to a packet socket.

It looks at the last 32 bits of the target only, which is all of an IPv4 address and tells our IPv6 addresses from
nearly all others; the responder looks at the rest. The targets stand in a binary tree of tests whose leaves are
short lists, so a flood of questions for others costs the kernel some 20 instructions each.
"""

import struct
from collections.abc import Collection, Sequence

from baremetal_lb.addresses import Family

MAX_TARGETS = 500
"""With more targets every question is let through, and the responder sorts out.

The kernel counts a program against the socket's option memory, old and new one together while one replaces the
other; where that memory has its old default of 20 KB, this many targets fit for sure.
"""

_LEAF_SIZE = 16
_WHOLE_PACKET = 0x40000

_LOAD_WORD = 0x20
_LOAD_HALF = 0x28
_LOAD_BYTE = 0x30
_JUMP = 0x05
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_GREATER = 0x25
_JUMP_IF_AT_LEAST = 0x35
_RETURN = 0x06

# The kernel's view of the frame: PACKET_HOST, _BROADCAST and _MULTICAST are below 3. What is for another host, for
# a VLAN that this interface does not know, or went out from here, is not.
_LOAD_PACKET_TYPE = (_LOAD_BYTE, 0, 0, 0xFFFFF000 + 4)
_PACKET_OTHER_HOST = 3

_Instruction = tuple[int, int, int, int]
_ACCEPT: _Instruction = (_RETURN, 0, 0, _WHOLE_PACKET)
_DROP: _Instruction = (_RETURN, 0, 0, 0)


def question_filter(family: Family, targets: Collection[bytes]) -> bytes:
    """Assemble the program, in the layout of `struct sock_filter[]`, for packed addresses of one family."""
    prologue = _ARP_REQUEST if family is Family.IPV4 else _NEIGHBOR_SOLICITATION
    program = [*prologue, *(_search_for(targets) if len(targets) <= MAX_TARGETS else [_ACCEPT])]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _require(load: _Instruction, jump: int, value: int) -> list[_Instruction]:
    return [load, (jump, 1, 0, value), _DROP]


_FOR_US = [_LOAD_PACKET_TYPE, (_JUMP_IF_AT_LEAST, 0, 1, _PACKET_OTHER_HOST), _DROP]
_ARP_REQUEST = [
    *_FOR_US,
    *_require((_LOAD_HALF, 0, 0, 20), _JUMP_IF_EQUAL, 1),
    (_LOAD_WORD, 0, 0, 38),
]
_NEIGHBOR_SOLICITATION = [
    *_FOR_US,
    *_require((_LOAD_BYTE, 0, 0, 20), _JUMP_IF_EQUAL, 58),
    *_require((_LOAD_BYTE, 0, 0, 54), _JUMP_IF_EQUAL, 135),
    (_LOAD_WORD, 0, 0, 74),
]


def _search_for(targets: Collection[bytes]) -> list[_Instruction]:
    return _search(sorted({int.from_bytes(target[-4:]) for target in targets}))


def _search(words: Sequence[int]) -> list[_Instruction]:
    """Accept if the loaded word is among the sorted ones, else drop."""
    if len(words) <= _LEAF_SIZE:
        tests = [(_JUMP_IF_EQUAL, len(words) - position, 0, word) for position, word in enumerate(words)]
        return [*tests, _DROP, _ACCEPT]
    middle = len(words) // 2
    lower = _search(words[:middle])
    # A conditional jump reaches 255 instructions, an unconditional one any distance.
    branch = [(_JUMP_IF_GREATER, 0, 1, words[middle - 1]), (_JUMP, 0, 0, len(lower))]
    return [*branch, *lower, *_search(words[middle:])]
