"""The free addresses of one pool and family, found without walking the used ones.

Everything before the cursor has been held once; what was given back since waits in a heap. So the lowest free
address costs next to nothing, also when 4,000 Services ask a pool that has none left. "Lowest" means first in the
order in which the pool's ranges are written, then by number.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from baremetal_lb.addresses import Address, Family
from baremetal_lb.config.model import Pool


class FreeAddresses:
    """What one pool can still give of one family; `is_held` is the ledger's word on an address."""

    def __init__(self, pool: Pool, family: Family, is_held: Callable[[Address], bool]) -> None:
        self._pool = pool
        self._ranges = pool.ranges_of(family)
        self.total = pool.capacity(family)
        self._is_held = is_held
        self._fresh = self._usable_addresses()
        self._cursor = next(self._fresh, None)
        self._returned: list[tuple[int, int, Address]] = []
        self._waiting: set[Address] = set()

    def first(self) -> Address | None:
        """The lowest free address. It stays free until the ledger says otherwise."""
        while self._returned and self._is_held(self._returned[0][-1]):
            self._waiting.discard(heappop(self._returned)[-1])
        if self._returned:
            return self._returned[0][-1]
        while self._cursor is not None and self._is_held(self._cursor):
            self._cursor = next(self._fresh, None)
        return self._cursor

    def given_back(self, address: Address) -> None:
        """Take note that an address of this pool is free again."""
        if address in self._waiting or not self._pool.usable(address) or not self._is_passed(address):
            return
        self._waiting.add(address)
        heappush(self._returned, (*self._place(address), address))

    def _usable_addresses(self) -> Iterator[Address]:
        return (address for block in self._ranges for address in block.addresses() if self._pool.usable(address))

    def _is_passed(self, address: Address) -> bool:
        return self._cursor is None or self._place(address) < self._place(self._cursor)

    def _place(self, address: Address) -> tuple[int, int]:
        return next(n for n, block in enumerate(self._ranges) if address in block), int(address)
