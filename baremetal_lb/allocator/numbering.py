"""The addresses that a pool can give of one family, numbered from 0: by arithmetic, so a /64 costs what a /32 does.

An ordinal counts the addresses of the family below an address, without those that the pool avoids (`is_buggy`). So
what a range has to give is a span of ordinals without holes, and an index is an ordinal moved by a fixed distance.
"""

from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

from baremetal_lb.addresses import Address, Family, is_buggy
from baremetal_lb.config.model import Pool

SOUND_OF_256 = 254
"""How many of 256 IPv4 addresses in a row end in neither .0 nor .255."""


class Numbering:
    """Every address with its index: in the order in which the ranges are written, then by number."""

    def __init__(self, pool: Pool, family: Family) -> None:
        self._kind: type[Address] = IPv4Address if family is Family.IPV4 else IPv6Address
        self._avoids_buggy = pool.avoid_buggy_ips and family is Family.IPV4
        ends = [(int(block.first), int(block.last) + 1) for block in pool.giving_of(family)]
        spans = [(self._ordinal(first), self._ordinal(end)) for first, end in ends]
        *starts, self.total = accumulate((end - first for first, end in spans), initial=0)
        self._starts = starts
        self._spans = spans
        self._ascending = sorted(
            (first, end, start) for (first, end), start in zip(spans, starts, strict=True) if first < end
        )
        self._ascending_firsts = [first for first, _, _ in self._ascending]

    def index_of(self, address: Address) -> int | None:
        """The index of an address; None if the pool does not give it."""
        if not isinstance(address, self._kind) or (self._avoids_buggy and is_buggy(address)):
            return None
        ordinal = self._ordinal(int(address))
        place = bisect_right(self._ascending_firsts, ordinal) - 1
        if place < 0:
            return None
        first, end, start = self._ascending[place]
        return start + ordinal - first if ordinal < end else None

    def address_at(self, index: int) -> Address:
        """The address with an index from 0 to `total` - 1."""
        assert 0 <= index < self.total, f"there is no address {index} among {self.total}"
        place = bisect_right(self._starts, index) - 1
        first, _ = self._spans[place]
        return self._kind(self._number(first + index - self._starts[place]))

    def _ordinal(self, number: int) -> int:
        if not self._avoids_buggy:
            return number
        return (number >> 8) * SOUND_OF_256 + max((number & 0xFF) - 1, 0)

    def _number(self, ordinal: int) -> int:
        """Undo `_ordinal`."""
        if not self._avoids_buggy:
            return ordinal
        block, place = divmod(ordinal, SOUND_OF_256)
        return (block << 8) + place + 1
