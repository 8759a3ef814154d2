"""Which pools may serve a request, in which order; which pool an address belongs to."""

from collections.abc import Iterable, Mapping

from baremetal_lb.addresses import Address, Family, RangeIndex
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason


class PoolIndex:
    """The pools of one Config, found by name, by address and by what a request needs.

    It never changes; what it derives on the way is remembered, since thousands of Services ask the same.
    """

    def __init__(self, pools: Iterable[Pool] = ()) -> None:
        self.pools = tuple(pools)
        self._by_name: Mapping[str, Pool] = {pool.name: pool for pool in self.pools}
        self._by_range = RangeIndex((block, pool) for pool in self.pools for block in pool.ranges)
        self._eligible: dict[tuple[Family, str | None], tuple[Pool, ...] | Refusal] = {}

    def named(self, name: str) -> Pool | None:
        """The pool with this name."""
        return self._by_name.get(name)

    def holding(self, address: Address) -> Pool | None:
        """The pool the address belongs to (pools of a Config never overlap)."""
        return self._by_range.find(address)

    def eligible(self, family: Family, name: str | None) -> tuple[Pool, ...] | Refusal:
        """The pools to take an address of this family from, in order: the named one, or all that auto-assign."""
        key = (family, name)
        if key not in self._eligible:
            self._eligible[key] = self._named(family, name) if name else self._automatic(family)
        return self._eligible[key]

    def _named(self, family: Family, name: str) -> tuple[Pool, ...] | Refusal:
        pool = self.named(name)
        if pool is None:
            return Refusal(Reason.POOL_NOT_FOUND, f"there is no valid pool {name}; create it or name another")
        if pool.deleting:
            return Refusal(Reason.POOL_BEING_DELETED, f"pool {name} is being deleted; name another")
        if not pool.ranges_of(family):
            return Refusal(
                Reason.NO_POOL_FOR_FAMILY,
                f"pool {name} has no {family} addresses; add some or name another pool",
            )
        return (pool,)

    def _automatic(self, family: Family) -> tuple[Pool, ...] | Refusal:
        if not self.pools:
            return Refusal(Reason.NO_POOLS, "there is no valid IPAddressPool; create one")
        fitting = [pool for pool in self.pools if pool.ranges_of(family)]
        if not fitting:
            return Refusal(Reason.NO_POOL_FOR_FAMILY, f"no pool has {family} addresses; add some to a pool")
        automatic = [pool for pool in fitting if pool.auto_assign]
        if not automatic:
            return Refusal(
                Reason.NO_POOL_AUTO_ASSIGNS,
                f"every pool with {family} addresses has autoAssign: false; name a pool or an address in an annotation",
            )
        staying = tuple(pool for pool in automatic if not pool.deleting)
        if not staying:
            return Refusal(
                Reason.POOL_BEING_DELETED,
                f"every pool with {family} addresses is being deleted; create another",
            )
        return staying
