"""Who holds which address: the one map of the allocator, and the indexes derived from it.

The ledger runs ahead of the API server: an address is held from the moment it is decided on until no status shows it
any more. It is rebuilt from the statuses of all Services whenever a controller begins to lead. An address has several
holders only where each may share it with each.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.free import FreeAddresses
from baremetal_lb.allocator.pools import PoolIndex
from baremetal_lb.allocator.shared import SharedAddresses
from baremetal_lb.allocator.sharing import NO_SHARING, Sharing
from baremetal_lb.api.pool import AllocationOrder
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Config, ConflictingHost, Pool, Reservation


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one pool and family is used. An assigned address that the pool would not give today counts too."""

    total: int
    assigned: int
    reserved: int
    """Reserved, but not held by anyone."""
    available: int
    quarantined: int = 0
    """In quarantine, but neither held nor reserved."""


class Ledger:
    """Addresses and their holders, over the pools and reservations of one Config at a time."""

    def __init__(self) -> None:
        self.pools = PoolIndex()
        self._holders: dict[Address, tuple[ServiceKey, ...]] = {}
        self._held: dict[ServiceKey, frozenset[Address]] = {}
        self._sharing: dict[ServiceKey, Sharing] = {}
        """Of the holders that want to share."""
        self._shared = SharedAddresses()
        self._reservations: Mapping[Address, Reservation] = {}
        self._reserved: Mapping[tuple[str, Family], list[Address]] = {}
        """What a pool could give, were it not reserved."""
        self._quarantined: Mapping[Address, ConflictingHost] = {}
        self._claims: dict[ServiceKey, tuple[Address, ...]] = {}
        self._free: dict[tuple[str, Family], FreeAddresses] = {}
        self._assigned: Counter[tuple[str, Family]] = Counter()
        self._of_namespace: Counter[tuple[str, str | None, Family]] = Counter()

    def configure(self, config: Config) -> None:
        """Work with other pools and reservations from now on. Nobody loses an address by it."""
        self.pools = PoolIndex(config.pools)
        self._reservations = config.reservations
        self._reserved = self._reserved_by_pool()
        self._quarantined = config.quarantined
        self._claims = {claim.service: () for claim in config.claims if claim.service}
        for claim in config.claims:
            if claim.service:
                self._claims[claim.service] += claim.addresses
        self._free = {
            (pool.name, family): FreeAddresses(pool, family)
            for pool in self.pools.pools
            for family in Family
            if pool.giving_of(family)
        }
        self._assigned.clear()
        self._of_namespace.clear()
        for address in self._holders.keys() | self._reservations.keys() | self._quarantined.keys():
            pool = self.pools.holding(address)
            if free := self._free_in(pool, family_of(address)):
                free.take(address)
            self._count(address, pool, self.holders_of(address), 1)

    def namespaces_changed(self) -> None:
        """Judge the pools anew: the labels of a Namespace changed."""
        self.pools = PoolIndex(self.pools.pools)

    def hold(
        self, service: ServiceKey, addresses: Iterable[Address], sharing: Sharing = NO_SHARING
    ) -> frozenset[Address]:
        """Let the Service hold exactly these, and share them so; return those that it lets go.

        Each must be open to it.
        """
        after = frozenset(addresses)
        before = self._held.get(service, frozenset())
        shared_so = self._sharing.get(service, NO_SHARING)
        if after == before and sharing == shared_so:
            return frozenset()
        self._held.pop(service, None)
        self._sharing.pop(service, None)
        for address in before:
            self._shared.leave(address, shared_so)
        for address in before - after:
            self._set_holders(address, [one for one in self._holders[address] if one != service])
        for address in after:
            assert self.is_open_to(service, address, sharing), f"{address} has two holders"
            self._shared.join(address, sharing)
        for address in after - before:
            self._set_holders(address, (*self.holders_of(address), service))
        if after:
            self._held[service] = after
        if after and sharing.key:
            self._sharing[service] = sharing
        return before - after

    def held_by(self, service: ServiceKey) -> frozenset[Address]:
        """What the Service holds."""
        return self._held.get(service, frozenset())

    def holders_of(self, address: Address) -> tuple[ServiceKey, ...]:
        """Who holds the address."""
        return self._holders.get(address, ())

    def sharing_of(self, service: ServiceKey) -> Sharing:
        """How the Service shares what it holds."""
        return self._sharing.get(service, NO_SHARING)

    def claimed_for(self, service: ServiceKey, family: Family) -> tuple[Address, ...]:
        """The addresses that IPAddressClaims keep for the Service."""
        return tuple(one for one in self._claims.get(service, ()) if family_of(one) is family)

    def reserved_by(self, address: Address) -> str:
        """Say in words what keeps a reserved address."""
        return self._reservations[address].reserved_by

    def reservation_against(self, service: ServiceKey, address: Address) -> Reservation | None:
        """What keeps the address from the Service although nobody holds it."""
        reservation = self._reservations.get(address)
        return None if reservation is None or reservation.service == service else reservation

    def foreign_host(self, address: Address) -> ConflictingHost | None:
        """The host for which the address is in quarantine, so that nobody gets it."""
        return self._quarantined.get(address)

    def obstacle(self, service: ServiceKey, address: Address, sharing: Sharing) -> tuple[ServiceKey, str] | None:
        """The first holder with which the Service can't share the address, and why not."""
        for holder in self.holders_of(address):
            if holder != service and (why := sharing.refusal(self.sharing_of(holder))):
                return holder, why
        return None

    def is_open_to(self, service: ServiceKey, address: Address, sharing: Sharing = NO_SHARING) -> bool:
        """Whether the Service may hold the address, beside those that do."""
        return self.obstacle(service, address, sharing) is None

    def shareable(self, service: ServiceKey, family: Family, sharing: Sharing) -> Iterator[Address]:
        """Yield the addresses of the family that others hold under the Service's key and that it could join."""
        for address in self._shared.with_room_for(sharing):
            if family_of(address) is family and self.is_open_to(service, address, sharing):
                yield address

    def free_address(self, pool: Pool, family: Family, service: ServiceKey, uid: str) -> Address | None:
        """The address that the pool would give to the Service, in the pool's order."""
        free = self._free.get((pool.name, family))
        if free is None:
            return None
        match pool.order:
            case AllocationOrder.SEQUENTIAL:
                return free.first()
            case AllocationOrder.RANDOM:
                return free.by_hash(f"{uid}/{family}".encode())
            case AllocationOrder.STICKY:
                return free.by_hash(f"{service}/{family}".encode())

    def used_by_others(self, service: ServiceKey, pool: Pool | None, family: Family) -> int:
        """How many addresses of the pool (None: of any) the Service's namespace has, but for those of its own."""
        own = sum(
            family_of(address) is family
            and (pool is None or address in pool)
            and all(one == service or one.namespace != service.namespace for one in self.holders_of(address))
            for address in self.held_by(service)
        )
        return self._of_namespace[service.namespace, pool.name if pool else None, family] - own

    def usage(self, pool: Pool, family: Family) -> Usage:
        """Count the addresses of the pool."""
        assigned = self._assigned[pool.name, family]
        free = self._free.get((pool.name, family))
        if free is None:
            return Usage(0, assigned, 0, 0)
        reserved = sum(address not in self._holders for address in self._reserved.get((pool.name, family), ()))
        quarantined = sum(
            one not in self._holders
            and one not in self._reservations
            and self._free_in(self.pools.holding(one), family) is free
            for one in pool.quarantined
            if pool.usable(one)
        )
        return Usage(free.total, assigned, reserved, free.available, quarantined)

    def check_invariants(self) -> None:
        """Assert that the indexes say what the map says, and that those who share an address may."""
        by_service: defaultdict[ServiceKey, set[Address]] = defaultdict(set)
        for address, holders in self._holders.items():
            for holder in holders:
                by_service[holder].add(address)
                assert self.is_open_to(holder, address, self.sharing_of(holder)), f"{address} has two holders"
        assert by_service == {service: set(held) for service, held in self._held.items()}
        assert self._sharing.keys() <= self._held.keys()
        for pool in self.pools.pools:
            for family in Family:
                used = {one for one in self._holders if one in pool and family_of(one) is family}
                assert self._assigned[pool.name, family] == len(used)
                of_namespace = Counter(
                    namespace for one in used for namespace in {holder.namespace for holder in self._holders[one]}
                )
                for namespace, count in of_namespace.items():
                    assert self._of_namespace[namespace, pool.name, family] == count

    def _set_holders(self, address: Address, holders: Iterable[ServiceKey]) -> None:
        before, after = self.holders_of(address), tuple(sorted(holders))
        pool = self.pools.holding(address)
        if after:
            self._holders[address] = after
        else:
            del self._holders[address]
        self._count(address, pool, before, -1)
        self._count(address, pool, after, 1)
        is_kept_back = address in self._reservations or address in self._quarantined
        if is_kept_back or not (free := self._free_in(pool, family_of(address))):
            return
        if not before:
            free.take(address)
        elif not after:
            free.give_back(address)

    def _reserved_by_pool(self) -> Mapping[tuple[str, Family], list[Address]]:
        reserved: defaultdict[tuple[str, Family], list[Address]] = defaultdict(list)
        for address in self._reservations:
            if (pool := self.pools.holding(address)) and pool.usable(address):
                reserved[pool.name, family_of(address)].append(address)
        return reserved

    def _free_in(self, pool: Pool | None, family: Family) -> FreeAddresses | None:
        return self._free.get((pool.name, family)) if pool else None

    def _count(self, address: Address, pool: Pool | None, holders: Iterable[ServiceKey], by: int) -> None:
        """Count the address once for its pool, and once for each namespace that has it."""
        family = family_of(address)
        namespaces = {holder.namespace for holder in holders}
        for namespace in namespaces:
            self._of_namespace[namespace, None, family] += by
            if pool is not None:
                self._of_namespace[namespace, pool.name, family] += by
        if pool is not None and namespaces:
            self._assigned[pool.name, family] += by
