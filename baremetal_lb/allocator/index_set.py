"""A set of numbers below a limit that finds the first number it lacks, however large and however full it is.

Bits in words of 1,024, in levels. A bit of the lowest level is a number of the set; a bit of a higher level says that
a word of the level below is full. So a search climbs until it meets a gap and goes down into it: two levels are enough
for a million numbers, twelve for 2^120. Words without a bit are not stored: an empty set of any size costs nothing.
"""

from collections.abc import Iterator

WORD_SHIFT = 10
WORD_BITS = 1 << WORD_SHIFT
BIT_MASK = WORD_BITS - 1
FULL = (1 << WORD_BITS) - 1


class IndexSet:
    """Some of the numbers from 0 to `limit` - 1."""

    def __init__(self, limit: int) -> None:
        self._sizes = tuple(_level_sizes(limit))
        self._levels = tuple(_padded_level(size) for size in self._sizes)

    def __contains__(self, index: int) -> bool:
        return bool(self._levels[0].get(index >> WORD_SHIFT, 0) >> (index & BIT_MASK) & 1)

    def add(self, index: int) -> None:
        """Put in a number that is not there."""
        for words in self._levels:
            place, bit = index >> WORD_SHIFT, 1 << (index & BIT_MASK)
            word = words.get(place, 0)
            assert not word & bit, f"{index} is there already"
            words[place] = word | bit
            if word | bit != FULL:
                return
            index = place

    def remove(self, index: int) -> None:
        """Take out a number that is there."""
        for words in self._levels:
            place, bit = index >> WORD_SHIFT, 1 << (index & BIT_MASK)
            word = words.get(place, 0)
            assert word & bit, f"{index} is not there"
            if word == bit:
                del words[place]
            else:
                words[place] = word ^ bit
            if word != FULL:
                return
            index = place

    def first_absent(self, start: int) -> int | None:
        """The lowest number from `start` on that is not in the set."""
        place = start
        for level, (size, words) in enumerate(zip(self._sizes, self._levels, strict=True)):
            if place >= size:
                return None
            if gaps := (FULL ^ words.get(place >> WORD_SHIFT, 0)) >> (place & BIT_MASK):
                return self._lowest_under(level, place + _lowest_bit(gaps))
            place = (place >> WORD_SHIFT) + 1
        return None

    def _lowest_under(self, level: int, place: int) -> int:
        """Go down to the first gap below a word that is not full."""
        for words in reversed(self._levels[:level]):
            place = place << WORD_SHIFT | _lowest_bit(FULL ^ words.get(place, 0))
        return place


def _level_sizes(limit: int) -> Iterator[int]:
    yield limit
    while limit > WORD_BITS:
        limit = -(-limit // WORD_BITS)
        yield limit


def _padded_level(size: int) -> dict[int, int]:
    """Begin a level; what the last word has beyond the end counts as there, so that no search finds it."""
    used_bits = size & BIT_MASK
    return {size >> WORD_SHIFT: FULL ^ ((1 << used_bits) - 1)} if used_bits else {}


def _lowest_bit(word: int) -> int:
    return (word & -word).bit_length() - 1
