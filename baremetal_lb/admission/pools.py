"""Judges an IPAddressPool that is about to be written: whether it takes what another pool, or a Service of it, has."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from baremetal_lb.addresses import Address, AddressRange, sort_key, subtract
from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import Finding, Question, Verdict, combine, judge, name_some, split
from baremetal_lb.api.pool import ReclaimPolicy
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.compile_pools import compile_pools
from baremetal_lb.config.model import Pool, Surroundings
from baremetal_lb.config.reading import RawObject
from baremetal_lb.reasons import Reason

NOTHING_AROUND = Surroundings()


def review_pool(question: Question, known: Known) -> Verdict:
    """Judge what is about to happen to a pool."""
    old, faults_before = _read(question.old)
    if question.new is None:
        return _deletion(old, known) if old else Verdict()
    new, faults = _read(question.new)
    if new is None:
        return judge(faults, faults_before)
    _, remarks = split(compile_pools((question.new,), known.surroundings)[1])
    others = [pool for raw in known.pools if (pool := _read(raw)[0]) and pool.name != new.name]
    taken_away = _taken_away(old, new, known) if old else Verdict()
    return combine(_overlaps(old, new, others), taken_away, Verdict(warnings=remarks))


def _read(raw: RawObject | None) -> tuple[Pool | None, tuple[Finding, ...]]:
    """Read a pool by itself, or all that is wrong with it."""
    if raw is None:
        return None, ()
    pools, problems = compile_pools((raw,), NOTHING_AROUND)
    return next(iter(pools), None), split(problems)[0]


def _overlaps(old: Pool | None, new: Pool, others: Iterable[Pool]) -> Verdict:
    """Deny an overlap that was not there before, whichever pool is older: one of the two would be out of force.

    A pool that is being deleted gives way: that is how pools are split and renamed while they are in use.
    """
    added = tuple(subtract(new.ranges, old.ranges)) if old else new.ranges
    denials, warnings = [], []
    for other in others:
        if other.deleting:
            continue
        if common := _first_common(added, other):
            denials.append(_overlap(common, other))
        elif common := _first_common(new.ranges, other):
            warnings.append(_overlap(common, other))
    return Verdict(tuple(denials), tuple(warnings))


def _first_common(ranges: Iterable[AddressRange], other: Pool) -> AddressRange | None:
    pairs = ((block, theirs) for block in ranges for theirs in other.ranges)
    return next((common for block, theirs in pairs if (common := block.intersection(theirs))), None)


def _overlap(common: AddressRange, other: Pool) -> Finding:
    return Finding(
        Reason.CONFLICT,
        f"spec.addresses: {common} is in pool {other.name} too; remove it from one of the two, "
        f"or delete pool {other.name} first: its Services stay, and this pool takes them over",
    )


def _taken_away(old: Pool, new: Pool, known: Known) -> Verdict:
    """Deny to take addresses from Services that have them, unless their pool is to find them others."""
    holders = {
        address: service
        for address, service in _held(old, known)
        if old.usable(address) and not new.usable(address) and not _is_elsewhere(address, old, known)
    }
    if not holders:
        return Verdict()
    if new.reclaim_policy is ReclaimPolicy.REASSIGN:
        warning = f"takes addresses from Services that have them, which get others one by one: {_describe(holders)}"
        return Verdict(warnings=(Finding(Reason.ADDRESS_IN_USE, warning),))
    denial = (
        f"takes addresses from Services that have them: {_describe(holders)}; delete those Services first, set "
        "spec.reclaimPolicy to Reassign as well so that they get others, or delete the pool and create those that take "
        "them over"
    )
    return Verdict(denials=(Finding(Reason.ADDRESS_IN_USE, denial),))


def _held(pool: Pool, known: Known) -> Iterator[tuple[Address, ServiceKey]]:
    for service in known.services:
        for address in service.ingress if service.is_load_balancer else ():
            if address in pool:
                yield address, service.key


def _is_elsewhere(address: Address, pool: Pool, known: Known) -> bool:
    holder = known.config.pool_of(address)
    return holder is not None and holder.name != pool.name


def _describe(holders: Mapping[Address, ServiceKey]) -> str:
    in_order = sorted(holders, key=sort_key)
    return name_some([_Holding(address, holders[address]) for address in in_order])


class _Holding(NamedTuple):
    address: Address
    service: ServiceKey

    def __str__(self) -> str:
        return f"{self.address} (Service {self.service})"


def _deletion(pool: Pool, known: Known) -> Verdict:
    services = {service for address, service in _held(pool, known) if not _is_elsewhere(address, pool, known)}
    if not services:
        return Verdict()
    then = (
        "they are moved to other pools one by one"
        if pool.reclaim_policy is ReclaimPolicy.REASSIGN
        else "they keep them, and the pool goes when the last of them is gone or other pools have taken them over"
    )
    return Verdict(
        warnings=(
            Finding(
                Reason.POOL_BEING_DELETED,
                f"pool {pool.name} gives no new addresses from now on. Services have some of it "
                f"({name_some(sorted(services))}): {then}",
            ),
        )
    )
