"""Where a seed belongs among a number of places, such that few seeds move when places are added at the end.

The idea is that of jump consistent hash (Lamping and Veach, arXiv:1406.2294), run from the end as in JumpBackHash
(Ertl, arXiv:2403.18682): a constant number of steps instead of one per doubling, and integers only. The places are
taken in doublings: 0, 1, 2-3, 4-7, and so on. A seed takes part in each doubling or not, by the toss of a coin, and has
one place in it. It belongs to its place in the last doubling in which it takes part. Where `count` cuts the last
doubling short and the place is beyond, both are drawn again, so the seed may have to do with an earlier doubling.
"""

from collections.abc import Iterator
from hashlib import blake2b

WORD_BITS = 256
PROBES = 2
PROBE_SHIFT = 32
"""By how many bits each probe reads the words further on than the one before: 192 are left for the last."""


def probes(seed: bytes, count: int) -> Iterator[int]:
    """Yield places below `count` (up to 2^128): where the seed belongs, then where it belongs if that is taken.

    Each is as likely as any other. With more places, a probe stays the same or becomes one of the new places.
    """
    one, other = divmod(int.from_bytes(blake2b(seed).digest()), 1 << WORD_BITS)
    for shift in range(0, PROBES * PROBE_SHIFT, PROBE_SHIFT):
        yield _place(one >> shift, other >> shift, count)


def _place(one: int, other: int, count: int) -> int:
    """Place two random words.

    Doublings in which the seed takes part read their place from one word and the other in turn. So what is known of
    a place that was rejected says nothing of the next one.
    """
    doublings = (one ^ other) & ((1 << (count - 1).bit_length()) - 1)
    while doublings:
        half = 1 << (doublings.bit_length() - 1)
        word = one if doublings.bit_count() & 1 else other
        place = half | word & (half - 1)
        while place >= count:
            word = _next_word(word)
            place = word & (2 * half - 1)
        if place >= half:
            return place
        doublings ^= half
    return 0


def _next_word(word: int) -> int:
    return int.from_bytes(blake2b(word.to_bytes(2 * WORD_BITS // 8)).digest())
