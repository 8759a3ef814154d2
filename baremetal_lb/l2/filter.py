"""The classic BPF program that lets only what concerns our addresses through to a packet socket.

That is who asks for them, for us to answer, and who claims to have them, for us to notice: as a reply, as an
announcement, or by asking in their name. The program looks at the last 32 bits of an address only, which is all of
an IPv4 address and tells our IPv6 addresses from nearly all others; the responder looks at the rest. The addresses
stand in a binary tree of tests whose leaves are short lists, so a flood of questions for others costs the kernel
some 30 instructions each.
"""

import struct
from collections.abc import Collection, Sequence
from heapq import nlargest
from itertools import pairwise

from baremetal_lb.addresses import Family

MAX_RANGES = 200
"""Addresses that follow each other are one range. With more ranges than this the nearest are joined, and what lies
between them is let through too; the responder sorts out. So thousands of addresses of a few pools stay a filter.

The kernel counts a program against the socket's option memory, old and new one together while one replaces the
other; where that memory has its old default of 20 KB, this many ranges fit for sure.
"""

MAX_ASKER_RANGES = 30
"""The same for who asks: that it asks in the name of one of our addresses is rare, a coarse look will do."""

_LEAF_SIZE = 8
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
# a VLAN that nobody knows here, or went out from here, is not.
_LOAD_PACKET_TYPE = (_LOAD_BYTE, 0, 0, 0xFFFFF000 + 4)
_PACKET_HOST = 0
_PACKET_OTHER_HOST = 3

# The kernel shows what arrives for a VLAN or a macvlan to the sockets of the interface below, too, without its tag.
_LOAD_INTERFACE_INDEX = (_LOAD_WORD, 0, 0, 0xFFFFF000 + 8)

_Instruction = tuple[int, int, int, int]
_Range = tuple[int, int]
_ACCEPT: _Instruction = (_RETURN, 0, 0, _WHOLE_PACKET)
_DROP: _Instruction = (_RETURN, 0, 0, 0)


def segment_filter(family: Family, targets: Collection[bytes], interface_index: int) -> bytes:
    """Assemble the program, in the layout of `struct sock_filter[]`, for some packed addresses of one family."""
    words = sorted({int.from_bytes(target[-4:]) for target in targets})
    load_target, load_asker = (_ARP, _ARP_SENDER) if family is Family.IPV4 else (_NDP, _NDP_SOURCE)
    about_targets = _search(_ranges(words, MAX_RANGES))
    from_targets = _search(_ranges(words, MAX_ASKER_RANGES))
    here = _only_if(_LOAD_INTERFACE_INDEX, interface_index)
    return _assembled([*here, *load_target, *about_targets, load_asker, *from_targets, _DROP])


def ping_filter(family: Family, targets: Collection[bytes], interface_index: int) -> bytes:
    """Assemble the program that lets only pings of (or near) these addresses through, sent to this interface's MAC."""
    words = sorted({int.from_bytes(target[-4:]) for target in targets})
    prologue = _ICMP_ECHO if family is Family.IPV4 else _ICMPV6_ECHO
    here = _only_if(_LOAD_INTERFACE_INDEX, interface_index)
    return _assembled([*here, *prologue, *_search(_ranges(words, MAX_RANGES)), _DROP])


def _assembled(program: Sequence[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _only_if(load: _Instruction, value: int) -> list[_Instruction]:
    """Drop the frame unless what is loaded is this."""
    return [load, (_JUMP_IF_EQUAL, 1, 0, value), _DROP]


def _byte(offset: int) -> _Instruction:
    return _LOAD_BYTE, 0, 0, offset


_FOR_US = [_LOAD_PACKET_TYPE, (_JUMP_IF_AT_LEAST, 0, 1, _PACKET_OTHER_HOST), _DROP]
_ARP_SENDER = (_LOAD_WORD, 0, 0, 28)
_ARP_TARGET = (_LOAD_WORD, 0, 0, 38)
_NDP_SOURCE = (_LOAD_WORD, 0, 0, 34)
_NDP_TARGET = (_LOAD_WORD, 0, 0, 74)
_ARP = [
    *_FOR_US,
    (_LOAD_HALF, 0, 0, 20),
    (_JUMP_IF_EQUAL, 0, 2, 1),
    _ARP_TARGET,
    (_JUMP, 0, 0, 1),
    _ARP_SENDER,
]
"""Of a request, look at the address it asks for; of a reply, at the one it speaks for."""

_NDP = [
    *_FOR_US,
    *_only_if(_byte(20), 58),
    _byte(54),
    (_JUMP_IF_EQUAL, 2, 0, 135),
    (_JUMP_IF_EQUAL, 1, 0, 136),
    _DROP,
    _NDP_TARGET,
]


_TO_THIS_HOST = _only_if(_LOAD_PACKET_TYPE, _PACKET_HOST)
_ICMP_ECHO = [
    *_TO_THIS_HOST,
    *_only_if(_byte(23), 1),
    *_only_if(_byte(34), 8),
    (_LOAD_WORD, 0, 0, 30),
]
_ICMPV6_ECHO = [
    *_TO_THIS_HOST,
    *_only_if(_byte(20), 58),
    *_only_if(_byte(54), 128),
    (_LOAD_WORD, 0, 0, 50),
]


def _ranges(words: Sequence[int], limit: int) -> list[_Range]:
    """Cover the sorted words with few ranges, first and last word each; what is far apart stays apart."""
    gaps = {position: words[position] - words[position - 1] for position in range(1, len(words))}
    apart = [position for position, gap in gaps.items() if gap > 1]
    cuts = sorted(nlargest(limit - 1, apart, key=gaps.__getitem__))
    return [(words[first], words[end - 1]) for first, end in pairwise([0, *cuts, len(words)])]


def _search(ranges: Sequence[_Range], distance_to_end: int = 0) -> list[_Instruction]:
    """Accept if the loaded word is in one of the sorted ranges, else go on after the end of the search."""
    if len(ranges) <= _LEAF_SIZE:
        return _leaf(ranges, distance_to_end)
    middle = len(ranges) // 2
    upper = _search(ranges[middle:], distance_to_end)
    lower = _search(ranges[:middle], distance_to_end + len(upper))
    # A conditional jump reaches 255 instructions, an unconditional one any distance.
    branch = [(_JUMP_IF_GREATER, 0, 1, ranges[middle - 1][1]), (_JUMP, 0, 0, len(lower))]
    return [*branch, *lower, *upper]


def _leaf(ranges: Sequence[_Range], distance_to_end: int) -> list[_Instruction]:
    reversed_tests: list[_Instruction] = []
    for first, last in reversed(ranges):
        distance_to_accept = len(reversed_tests) + 1
        if first == last:
            reversed_tests.append((_JUMP_IF_EQUAL, distance_to_accept, 0, first))
        else:
            reversed_tests += [
                (_JUMP_IF_AT_LEAST, distance_to_accept, 0, first),
                (_JUMP_IF_GREATER, 1, 0, last),
            ]
    return [*reversed(reversed_tests), (_JUMP, 0, 0, distance_to_end + 1), _ACCEPT]
