"""IPAddressPools -> pools that have no address in common, and what else is to be said of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv6Address

from baremetal_lb.addresses import Address, AddressRange, RangeIndex, merged, subtract
from baremetal_lb.api.entry import PoolEntry
from baremetal_lb.api.pool import ConflictPolicy, IPAddressPool, ServiceAllocation
from baremetal_lb.config.model import OLDEST, Admission, ConflictingHost, Pool, Surroundings
from baremetal_lb.config.problems import Problem
from baremetal_lb.config.reading import RawObject, read_all
from baremetal_lb.config.selectors import compile_selector
from baremetal_lb.reasons import Reason

THINGS_NAMED = 3
"""Of all that overlaps with a pool so many are named: it may be every node of the cluster."""


def compile_pools(raw_pools: Iterable[RawObject], surroundings: Surroundings) -> tuple[list[Pool], list[Problem]]:
    """Of pools that overlap, keep the one created first. One that is being deleted gives way to every other."""
    resources, invalid = read_all(IPAddressPool, raw_pools)
    senior_first = sorted(map(_pool, resources), key=_seniority)
    kept, conflicts = _without_overlaps(pool for pool in senior_first if not pool.deleting)
    for pool in senior_first:
        if pool.deleting:
            kept.append(_rest_of(pool, kept))
    redundancies = [problem for resource in resources for problem in _redundancies(resource)]
    return kept, [*invalid, *conflicts, *redundancies, *_cluster_overlaps(kept, surroundings)]


def _pool(resource: IPAddressPool) -> Pool:
    spec = resource.spec
    blocks = tuple(entry.block for entry in spec.addresses)
    rules = spec.service_allocation or ServiceAllocation()
    return Pool(
        name=resource.metadata.name,
        ranges=merged(blocks) if any(_overlapping(blocks)) else blocks,
        excluded=merged(_excluded(resource)),
        auto_assign=spec.auto_assign,
        avoid_buggy_ips=spec.avoid_buggy_ips,
        order=spec.allocation,
        reclaim_policy=spec.reclaim_policy,
        conflict_policy=spec.conflict_policy,
        quarantined=_quarantined(resource),
        classes=frozenset(spec.load_balancer_classes),
        is_for_some=spec.service_allocation is not None,
        priority=rules.priority,
        admission=_admission(rules),
        exclusive=rules.exclusive,
        namespace_quota=rules.namespace_quota,
        labels=resource.metadata.labels,
        created_at=resource.metadata.creation_timestamp or OLDEST,
        deleting=resource.metadata.deletion_timestamp is not None,
    )


def _admission(rules: ServiceAllocation) -> Admission:
    return Admission(
        namespaces=frozenset(rules.namespaces),
        namespace_selectors=tuple(map(compile_selector, rules.namespace_selectors)),
        service_selectors=tuple(map(compile_selector, rules.service_selectors)),
    )


def _excluded(resource: IPAddressPool) -> Iterator[AddressRange]:
    yield from (entry.block for entry in resource.spec.excluded_addresses)
    if resource.spec.avoid_network_and_broadcast:
        for entry in resource.spec.addresses:
            yield from (AddressRange(address, address) for address in _not_for_hosts(entry))


def _quarantined(resource: IPAddressPool) -> Mapping[Address, ConflictingHost]:
    """What the controller noted in the pool's status. Only the policy that it was noted for lets it count."""
    if resource.spec.conflict_policy is not ConflictPolicy.QUARANTINE:
        return {}
    return {one.address: ConflictingHost(one.mac, one.interface, one.node) for one in resource.status.quarantined}


def _not_for_hosts(entry: PoolEntry) -> tuple[Address, ...]:
    """The network and the broadcast address of a CIDR; of IPv6 the subnet-router anycast address (RFC 4291, 2.6.1).

    A network of one or two addresses has none (RFC 3021, RFC 6164).
    """
    if not entry.is_cidr or entry.block.size <= 2:
        return ()
    if isinstance(entry.block.first, IPv6Address):
        return (entry.block.first,)
    return entry.block.first, entry.block.last


def _redundancies(resource: IPAddressPool) -> Iterator[Problem]:
    """Entries of one pool that overlap mean their union, which is harmless, but hardly what was meant."""
    for one, other in _overlapping(entry.block for entry in resource.spec.addresses):
        message = f"spec.addresses: {one} and {other} overlap; what they share counts once, remove it from one"
        yield Problem("IPAddressPool", resource.metadata.name, Reason.OVERLAPPING_ENTRIES, message, fatal=False)


def _overlapping(blocks: Iterable[AddressRange]) -> Iterator[tuple[AddressRange, AddressRange]]:
    """Yield each range that overlaps one written before it, together with that one."""
    before: RangeIndex[AddressRange] = RangeIndex()
    for block in blocks:
        clash = next(before.overlapping(block), None)
        if clash is None:
            before.add(block, block)
        else:
            yield clash[1], block


def _without_overlaps(pools: Iterable[Pool]) -> tuple[list[Pool], list[Problem]]:
    """Of pools that overlap, keep the senior; what is left out stands in nobody's way. Takes the senior ones first."""
    kept: list[Pool] = []
    problems: list[Problem] = []
    taken: RangeIndex[Pool] = RangeIndex()
    for pool in pools:
        clashes: dict[str, AddressRange] = {}
        for block in pool.ranges:
            for common, senior in taken.overlapping(block):
                clashes.setdefault(senior.name, common)
        problems += [_conflict(pool, name, common) for name, common in clashes.items()]
        if not clashes:
            kept.append(pool)
            for block in pool.ranges:
                taken.add(block, pool)
    return kept, problems


def _rest_of(pool: Pool, others: Iterable[Pool]) -> Pool:
    """What a pool that drains still has: others take over what they want of it, together with the Services there."""
    taken_over = [block for other in others for block in other.ranges]
    return replace(pool, ranges=tuple(subtract(pool.ranges, taken_over)))


def _conflict(pool: Pool, senior: str, common: AddressRange) -> Problem:
    message = (
        f"spec.addresses: {common} is in the older pool {senior} too, so this pool is not used; "
        "remove it from one of the two"
    )
    return Problem("IPAddressPool", pool.name, Reason.CONFLICT, message)


def _cluster_overlaps(pools: Iterable[Pool], surroundings: Surroundings) -> Iterator[Problem]:
    """Warn of pools that may give what the cluster itself uses. What a pool excludes is no danger."""
    pool_of = RangeIndex((block, pool.name) for pool in pools for block in pool.giving)
    found: defaultdict[str, dict[AddressRange, str]] = defaultdict(dict)
    for block, user in _used_by_the_cluster(surroundings):
        for _, name in pool_of.overlapping(block):
            found[name].setdefault(block, user)
    for name, users in sorted(found.items()):
        yield Problem("IPAddressPool", name, Reason.OVERLAPS_CLUSTER, _describe(users), fatal=False)


def _used_by_the_cluster(surroundings: Surroundings) -> Iterator[tuple[AddressRange, str]]:
    for address, node in surroundings.node_addresses.items():
        yield AddressRange(address, address), f"node {node}"
    for users, blocks in (("Pods", surroundings.pod_ranges), ("Services", surroundings.service_ranges)):
        for block in blocks:
            yield block, users


def _describe(users: dict[AddressRange, str]) -> str:
    """Name a few, the same ones whatever the order in which they were found."""
    in_order = sorted(users, key=lambda block: (block.family, int(block.first), int(block.last)))
    named = ", ".join(
        f"{block if block.size > 1 else block.first} ({users[block]})" for block in in_order[:THINGS_NAMED]
    )
    more = f" and {len(users) - THINGS_NAMED} more" if len(users) > THINGS_NAMED else ""
    return (
        f"spec.addresses: the cluster itself uses {named}{more}; "
        "take them out of the pool, or name them in spec.excludedAddresses"
    )


def _seniority(pool: Pool) -> tuple[datetime, str]:
    return pool.created_at, pool.name
