"""The decision: which addresses a request gets, or why it gets none.

What a Service holds already is kept as long as that is possible: nothing is taken away because a pool changed or
because a new request can't be met. Then the message says what is wrong, and the address stays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason

POOLS_NAMED_IN_A_MESSAGE = 3

REASONS_THAT_END = frozenset({Reason.POOL_EXHAUSTED, Reason.ADDRESS_IN_USE})
"""The refusals that an address becoming free can end; the others end with a change of the Service or of a pool."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The addresses of a Service, in the order of its families; for those in `awaits` it wishes for a free address."""

    addresses: tuple[Address, ...]
    reason: Reason
    message: str
    awaits: tuple[Family, ...] = ()


Outcome = Allocation | Refusal


def allocate(request: AllocationRequest, current: Mapping[Family, Address], ledger: Ledger) -> Outcome:
    """Meet the request as well as possible; `current` are the addresses that the Service has now."""
    kept = {family: current[family] for family in request.families if family in current}
    pools = _preferred_pools(request, kept, ledger)
    picks = {family: _pick(request, family, kept.get(family), pools, ledger) for family in request.families}
    refusals = _gravest_first(request, picks)
    addresses = {
        family: pick if not isinstance(pick, Refusal) else kept[family]
        for family, pick in picks.items()
        if not isinstance(pick, Refusal) or family in kept
    }
    if _is_blocked(request, refusals) or not addresses:
        if not kept:
            return next(iter(refusals.values()))
        addresses = kept
    return _allocation(request, addresses, refusals, ledger)


def keep(current: Mapping[Family, Address], complaint: Refusal) -> Outcome:
    """Answer a request that can't even be read: the Service keeps what it has."""
    if not current:
        return complaint
    return _kept(tuple(current.values()), complaint.message)


def could_serve(request: AllocationRequest, families: Iterable[Family], ledger: Ledger) -> bool:
    """Whether something is free for one of these families: a cheap look before a decision is repeated."""
    return any(_has_free(request, family, ledger) for family in families)


def _has_free(request: AllocationRequest, family: Family, ledger: Ledger) -> bool:
    if family in request.wanted:
        return ledger.is_open_to(request.service, request.wanted[family])
    pools = ledger.pools.eligible(family, request.pool)
    return not isinstance(pools, Refusal) and any(ledger.first_free(pool, family) for pool in pools)


def _preferred_pools(
    request: AllocationRequest, kept: Mapping[Family, Address], ledger: Ledger
) -> Mapping[Family, tuple[Pool, ...] | Refusal]:
    """Take both addresses of a dual-stack Service from one pool where there is one that can."""
    eligible = {family: ledger.pools.eligible(family, request.pool) for family in request.families}
    if len(request.families) < 2:
        return eligible
    home = next((pool for address in kept.values() if (pool := ledger.pools.holding(address))), None)
    home = home or _first_serving_all(request.families, eligible, ledger)
    return {family: _home_first(pools, home) for family, pools in eligible.items()}


def _first_serving_all(
    families: Iterable[Family], eligible: Mapping[Family, tuple[Pool, ...] | Refusal], ledger: Ledger
) -> Pool | None:
    first = next(iter(eligible.values()))
    if isinstance(first, Refusal):
        return None
    wanted = tuple(families)
    return next((pool for pool in first if all(ledger.first_free(pool, family) for family in wanted)), None)


def _home_first(pools: tuple[Pool, ...] | Refusal, home: Pool | None) -> tuple[Pool, ...] | Refusal:
    if isinstance(pools, Refusal) or home is None or home not in pools:
        return pools
    return (home, *(pool for pool in pools if pool is not home))


def _pick(
    request: AllocationRequest,
    family: Family,
    kept: Address | None,
    pools: Mapping[Family, tuple[Pool, ...] | Refusal],
    ledger: Ledger,
) -> Address | Refusal:
    """Decide on the address of one family."""
    if family in request.wanted:
        return _pick_wanted(request, request.wanted[family], kept, ledger)
    if kept and _is_in_requested_pool(request, kept, ledger):
        return kept
    eligible = pools[family]
    if isinstance(eligible, Refusal):
        return eligible
    for pool in eligible:
        if address := ledger.first_free(pool, family):
            return address
    return _exhausted(eligible, family, ledger)


def _pick_wanted(
    request: AllocationRequest, address: Address, kept: Address | None, ledger: Ledger
) -> Address | Refusal:
    """Check an address that the user named."""
    pool = ledger.pools.holding(address)
    if pool is None:
        return Refusal(
            Reason.ADDRESS_NOT_IN_ANY_POOL, f"{address} is in no pool; add it to one or ask for another address"
        )
    if request.pool is not None and pool.name != request.pool:
        return Refusal(
            Reason.CONTRADICTORY_REQUEST,
            f"{address} is in pool {pool.name}, but the Service names pool {request.pool}; change one of the two",
        )
    if address == kept:
        return address
    return _why_not_given(request, address, pool, ledger) or address


def _why_not_given(request: AllocationRequest, address: Address, pool: Pool, ledger: Ledger) -> Refusal | None:
    if pool.deleting:
        return Refusal(
            Reason.POOL_BEING_DELETED,
            f"{address} is in pool {pool.name}, which is being deleted; ask for an address of another",
        )
    if not pool.usable(address):
        return Refusal(
            Reason.ADDRESS_NOT_USABLE,
            f"{address} ends in .0 or .255, which pool {pool.name} avoids (avoidBuggyIPs); ask for another address",
        )
    if not ledger.is_open_to(request.service, address):
        return Refusal(
            Reason.ADDRESS_IN_USE,
            f"{address} is held by Service {ledger.holder_of(address)}; ask for another address or free this one",
        )
    return None


def _is_in_requested_pool(request: AllocationRequest, address: Address, ledger: Ledger) -> bool:
    if request.pool is None:
        return True
    pool = ledger.pools.holding(address)
    return pool is not None and pool.name == request.pool


def _exhausted(pools: tuple[Pool, ...], family: Family, ledger: Ledger) -> Refusal:
    left = ", ".join(
        f"pool {pool.name} has 0 of {ledger.usage(pool, family).total} left"
        for pool in pools[:POOLS_NAMED_IN_A_MESSAGE]
    )
    more = len(pools) - POOLS_NAMED_IN_A_MESSAGE
    others = f", {more} more are full too" if more > 0 else ""
    return Refusal(
        Reason.POOL_EXHAUSTED,
        f"no free {family} address: {left}{others}; add addresses or delete a Service",
    )


def _gravest_first(request: AllocationRequest, picks: Mapping[Family, Address | Refusal]) -> Mapping[Family, Refusal]:
    """The refusals; that of an address which the user named comes first, since it is the one to tell."""
    refusals = [(family, pick) for family, pick in picks.items() if isinstance(pick, Refusal)]
    return dict(sorted(refusals, key=lambda pair: pair[0] not in request.wanted))


def _is_blocked(request: AllocationRequest, refusals: Mapping[Family, Refusal]) -> bool:
    """Whether nothing new may be given: a named address is refused, or both families are needed and one is."""
    return any(family in request.wanted for family in refusals) or (request.needs_all and bool(refusals))


def _allocation(
    request: AllocationRequest,
    addresses: Mapping[Family, Address],
    refusals: Mapping[Family, Refusal],
    ledger: Ledger,
) -> Allocation:
    given = tuple(addresses.values())
    awaits = tuple(family for family, refusal in refusals.items() if refusal.reason in REASONS_THAT_END)
    if complaint := _complaint(request, addresses, refusals, ledger):
        return _kept(given, complaint, awaits)
    without = "".join(f"; no {family} address: {refusal.message}" for family, refusal in refusals.items())
    return Allocation(given, Reason.ASSIGNED, f"{_describe(given, ledger)}{without}", awaits)


def _complaint(
    request: AllocationRequest,
    addresses: Mapping[Family, Address],
    refusals: Mapping[Family, Refusal],
    ledger: Ledger,
) -> str | None:
    """Say why addresses are merely kept: the request is not met, or no pool would give them today."""
    is_blocked = _is_blocked(request, refusals)
    for family, refusal in refusals.items():
        if is_blocked or family in addresses:
            return refusal.message
    for address in addresses.values():
        pool = ledger.pools.holding(address)
        if pool is None:
            return f"{address} is in no pool; add it to one, or delete and recreate the Service for another address"
        if pool.deleting:
            return f"its pool {pool.name} is being deleted; recreate the Service for an address of another"
    return None


def _kept(addresses: tuple[Address, ...], why: str, awaits: tuple[Family, ...] = ()) -> Allocation:
    kept = " and ".join(str(address) for address in addresses)
    return Allocation(addresses, Reason.ADDRESS_KEPT, f"keeps {kept}: {why}", awaits)


def _describe(addresses: Iterable[Address], ledger: Ledger) -> str:
    """Say where each address comes from."""
    parts = [f"{address} from pool {_pool_name(address, ledger)}" for address in addresses]
    return f"assigned {' and '.join(parts)}"


def _pool_name(address: Address, ledger: Ledger) -> str:
    pool = ledger.pools.holding(address)
    assert pool is not None, f"{family_of(address)} address {address} was described without a pool"
    return pool.name
