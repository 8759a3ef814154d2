"""Custom resources as the API server has them -> one Config, and everything that is wrong with them.

A faulty object harms only itself: it is left out, the others work on. What comes out depends on the objects only,
never on their order, so every process sees the same Config.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from baremetal_lb.addresses import AddressRange, RangeIndex, merged
from baremetal_lb.api.base import CustomResource, InvalidResourceError
from baremetal_lb.api.l2 import L2Advertisement as L2AdvertisementResource
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.config.model import OLDEST, Config, L2Advertisement, Pool
from baremetal_lb.config.problems import Problem
from baremetal_lb.config.selectors import compile_selector
from baremetal_lb.reasons import Reason

RawObject = Mapping[str, Any]
Resource = TypeVar("Resource", bound=CustomResource)


def compile_config(
    pools: Iterable[RawObject], l2_advertisements: Iterable[RawObject]
) -> tuple[Config, tuple[Problem, ...]]:
    """Compile all custom resources of the cluster; find all problems, not the first.

    Of pools that overlap, the one created first works and the other is left out.
    """
    raw_pools = sorted(pools, key=_name)
    kept_pools, pool_problems = _compile_pools(raw_pools)
    existing = frozenset(map(_name, raw_pools))
    advertisements, advertisement_problems = _compile_l2_advertisements(
        sorted(l2_advertisements, key=_name), kept_pools, existing
    )
    return Config(tuple(kept_pools), tuple(advertisements)), (*pool_problems, *advertisement_problems)


def _compile_pools(raw_pools: list[RawObject]) -> tuple[list[Pool], list[Problem]]:
    resources, invalid = _read(IPAddressPool, raw_pools)
    kept, overlaps = _without_overlaps(sorted(map(_pool, resources), key=_seniority))
    redundancies = [problem for resource in resources for problem in _redundancies(resource)]
    return kept, [*invalid, *overlaps, *redundancies]


def _compile_l2_advertisements(
    raw_objects: list[RawObject], pools: list[Pool], existing: frozenset[str]
) -> tuple[list[L2Advertisement], list[Problem]]:
    resources, problems = _read(L2AdvertisementResource, raw_objects)
    compiled = [_l2_advertisement(resource, pools) for resource in resources]
    for resource, advertisement in zip(resources, compiled, strict=True):
        problems += _unknown_pools(resource, existing)
        problems += _selects_nothing(resource, advertisement)
    return compiled, problems


def _read(kind: type[Resource], raw_objects: Iterable[RawObject]) -> tuple[list[Resource], list[Problem]]:
    resources: list[Resource] = []
    problems: list[Problem] = []
    for raw in raw_objects:
        try:
            resources.append(kind.read(raw))
        except InvalidResourceError as error:
            problems += [Problem(kind.__name__, _name(raw), Reason.INVALID_SPEC, fault) for fault in error.faults]
    return resources, problems


def _pool(resource: IPAddressPool) -> Pool:
    entries = resource.spec.addresses
    return Pool(
        name=resource.metadata.name,
        ranges=merged(entries) if any(_overlapping_entries(entries)) else entries,
        auto_assign=resource.spec.auto_assign,
        avoid_buggy_ips=resource.spec.avoid_buggy_ips,
        labels=resource.metadata.labels,
        created_at=resource.metadata.creation_timestamp or OLDEST,
        deleting=resource.metadata.deletion_timestamp is not None,
    )


def _redundancies(resource: IPAddressPool) -> Iterator[Problem]:
    """Entries of one pool that overlap mean their union, which is harmless, but hardly what was meant."""
    for one, other in _overlapping_entries(resource.spec.addresses):
        message = f"spec.addresses: {one} and {other} overlap; what they share counts once, remove it from one"
        yield Problem("IPAddressPool", resource.metadata.name, Reason.POOL_OVERLAP, message, fatal=False)


def _overlapping_entries(entries: Iterable[AddressRange]) -> Iterator[tuple[AddressRange, AddressRange]]:
    """Yield each entry that overlaps one written before it, together with that one."""
    before: RangeIndex[AddressRange] = RangeIndex()
    for entry in entries:
        clash = next(before.overlapping(entry), None)
        if clash is None:
            before.add(entry, entry)
        else:
            yield clash[1], entry


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
        problems += [_overlap(pool, name, common) for name, common in clashes.items()]
        if not clashes:
            kept.append(pool)
            for block in pool.ranges:
                taken.add(block, pool)
    return kept, problems


def _overlap(pool: Pool, senior: str, common: AddressRange) -> Problem:
    message = (
        f"spec.addresses: {common} is in the older pool {senior} too, so this pool is not used; "
        "remove it from one of the two"
    )
    return Problem("IPAddressPool", pool.name, Reason.POOL_OVERLAP, message)


def _l2_advertisement(resource: L2AdvertisementResource, pools: Iterable[Pool]) -> L2Advertisement:
    spec = resource.spec
    selectors = [compile_selector(selector) for selector in spec.ip_address_pool_selectors]
    selects_all = not spec.ip_address_pools and not selectors
    return L2Advertisement(
        name=resource.metadata.name,
        pools=frozenset(
            pool.name
            for pool in pools
            if selects_all
            or pool.name in spec.ip_address_pools
            or any(selector.matches(pool.labels) for selector in selectors)
        ),
        node_selectors=tuple(compile_selector(selector) for selector in spec.node_selectors),
        interfaces=frozenset(spec.interfaces),
        selects_all_pools=selects_all,
    )


def _selects_nothing(resource: L2AdvertisementResource, advertisement: L2Advertisement) -> Iterator[Problem]:
    if resource.spec.ip_address_pool_selectors and not advertisement.pools:
        message = "spec.ipAddressPoolSelectors: no pool in use has such labels; label a pool or change the selectors"
        yield Problem("L2Advertisement", advertisement.name, Reason.NO_POOL_SELECTED, message, fatal=False)


def _unknown_pools(resource: L2AdvertisementResource, existing: frozenset[str]) -> Iterator[Problem]:
    for number, name in enumerate(resource.spec.ip_address_pools):
        if name not in existing:
            message = f"spec.ipAddressPools[{number}]: there is no pool {name}; create it or remove the name"
            yield Problem("L2Advertisement", resource.metadata.name, Reason.UNKNOWN_POOL, message, fatal=False)


def _name(raw: RawObject) -> str:
    return str(raw["metadata"]["name"])


def _seniority(pool: Pool) -> tuple[datetime, str]:
    return pool.created_at, pool.name
