"""Who holds which address: the one map of the allocator, and the indexes derived from it.

The ledger runs ahead of the API server: an address is held from the moment it is decided on until no status shows it
any more. It is rebuilt from the statuses of all Services whenever the controller starts.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.free import FreeAddresses
from baremetal_lb.allocator.pools import PoolIndex
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Pool


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one pool and family is used. An assigned address that the pool would not give today counts too."""

    total: int
    assigned: int
    available: int


class Ledger:
    """Addresses and their holders, over the pools of one Config at a time."""

    def __init__(self) -> None:
        self.pools = PoolIndex()
        self._holder: dict[Address, ServiceKey] = {}
        self._held: dict[ServiceKey, frozenset[Address]] = {}
        self._free: dict[tuple[str, Family], FreeAddresses] = {}
        self._assigned: Counter[tuple[str, Family]] = Counter()
        self._unusable: Counter[tuple[str, Family]] = Counter()

    def set_pools(self, pools: Iterable[Pool]) -> None:
        """Work with other pools from now on. Nobody loses an address by it."""
        self.pools = PoolIndex(pools)
        self._free = {
            (pool.name, family): FreeAddresses(pool, family, self._holder.__contains__)
            for pool in self.pools.pools
            for family in Family
            if pool.ranges_of(family)
        }
        self._assigned.clear()
        self._unusable.clear()
        for address in self._holder:
            self._count(address, 1)

    def hold(self, service: ServiceKey, addresses: Iterable[Address]) -> bool:
        """Let the Service hold exactly these; tell whether an address became free by it.

        No address may have another holder.
        """
        after = frozenset(addresses)
        before = self._held.get(service, frozenset())
        if after == before:
            return False
        for address in after - before:
            assert address not in self._holder, f"{address} has two holders"
            self._holder[address] = service
            self._count(address, 1)
        for address in before - after:
            self._let_go(address)
        if after:
            self._held[service] = after
        else:
            del self._held[service]
        return bool(before - after)

    def held_by(self, service: ServiceKey) -> frozenset[Address]:
        """What the Service holds."""
        return self._held.get(service, frozenset())

    def holder_of(self, address: Address) -> ServiceKey | None:
        """Who holds the address."""
        return self._holder.get(address)

    def is_open_to(self, service: ServiceKey, address: Address) -> bool:
        """Whether the Service may hold the address: nobody else does."""
        return self._holder.get(address, service) == service

    def first_free(self, pool: Pool, family: Family) -> Address | None:
        """The lowest address that the pool can give."""
        free = self._free.get((pool.name, family))
        return free.first() if free else None

    def usage(self, pool: Pool, family: Family) -> Usage:
        """Count the addresses of the pool."""
        key = (pool.name, family)
        total = self._free[key].total if key in self._free else 0
        assigned = self._assigned[key]
        return Usage(total, assigned, total - assigned + self._unusable[key])

    def check_invariants(self) -> None:
        """Assert that the indexes say what the map says."""
        by_service: dict[ServiceKey, set[Address]] = {}
        for address, service in self._holder.items():
            by_service.setdefault(service, set()).add(address)
        assert by_service == {service: set(held) for service, held in self._held.items()}
        for pool in self.pools.pools:
            for family in Family:
                used = [one for one in self._holder if one in pool and family_of(one) is family]
                assert self._assigned[pool.name, family] == len(used)

    def _let_go(self, address: Address) -> None:
        del self._holder[address]
        self._count(address, -1)
        if pool := self.pools.holding(address):
            self._free[pool.name, family_of(address)].given_back(address)

    def _count(self, address: Address, by: int) -> None:
        if (pool := self.pools.holding(address)) is None:
            return
        key = (pool.name, family_of(address))
        self._assigned[key] += by
        if not pool.usable(address):
            self._unusable[key] += by
