"""The free addresses of one pool and family: found at once, however large the pool and however full it is."""

from itertools import chain

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.consistent_hash import probes
from baremetal_lb.allocator.index_set import IndexSet
from baremetal_lb.allocator.numbering import Numbering
from baremetal_lb.config.model import Pool


class FreeAddresses:
    """What one pool can still give of one family. An address that it gives to nobody is passed over."""

    def __init__(self, pool: Pool, family: Family) -> None:
        self._numbering = Numbering(pool, family)
        self._taken = IndexSet(self._numbering.total)
        self._taken_count = 0

    @property
    def total(self) -> int:
        """How many addresses the pool can give at all."""
        return self._numbering.total

    @property
    def available(self) -> int:
        """How many are left."""
        return self.total - self._taken_count

    def take(self, address: Address) -> None:
        """Take note that an address, which was free, is held or reserved."""
        if (index := self._numbering.index_of(address)) is not None:
            self._taken.add(index)
            self._taken_count += 1

    def give_back(self, address: Address) -> None:
        """Take note that an address, which was taken, is free."""
        if (index := self._numbering.index_of(address)) is not None:
            self._taken.remove(index)
            self._taken_count -= 1

    def first(self) -> Address | None:
        """The lowest free address: in the order in which the ranges are written, then by number."""
        index = self._taken.first_absent(0)
        return None if index is None else self._numbering.address_at(index)

    def by_hash(self, seed: bytes) -> Address | None:
        """The free address where a seed belongs: the same one as long as nothing that comes before it becomes free.

        Before it come the addresses that the seed probes, then those between the first of them and this one.
        """
        index = self._index_for(seed) if self.available else None
        return None if index is None else self._numbering.address_at(index)

    def _index_for(self, seed: bytes) -> int | None:
        places = probes(seed, self.total)
        home = next(places)
        for place in chain((home,), places):
            if place not in self._taken:
                return place
        beyond = self._taken.first_absent(home)
        return self._taken.first_absent(0) if beyond is None else beyond
