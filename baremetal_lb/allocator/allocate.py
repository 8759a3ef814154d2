"""The decision: which addresses a Service gets, or why it gets none.

What a Service holds already is kept as long as that is possible: nothing is taken away because a pool changed or
because a new request can't be met. Then the message says what is wrong, and the address stays. Only a pool whose
reclaimPolicy says so, or a quarantine, lets a Service move, and only when its turn has come (`may_move`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.choose import Addresses, Held, choose, could_be_replaced
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.api.pool import ReclaimPolicy
from baremetal_lb.config.model import ConflictingHost, Pool
from baremetal_lb.reasons import Reason

REASONS_THAT_END = frozenset(
    {Reason.POOL_EXHAUSTED, Reason.ADDRESS_IN_USE, Reason.SHARING_REFUSED, Reason.QUOTA_EXCEEDED}
)
"""The refusals that an address becoming free can end; the others end with a change of the Service or of a pool."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The addresses of a Service, in the order of its families; for those in `awaits` it wishes for a free address."""

    addresses: Addresses
    reason: Reason
    message: str
    awaits: tuple[Family, ...] = ()
    pools: tuple[str, ...] = ()
    """The pool that each address comes from; empty where that is unknown."""
    should_move: bool = False
    """Whether it is to leave an address (its pool gave it up, or quarantine), as soon as its turn comes."""


Outcome = Allocation | Refusal
FromPools = Mapping[Address, str]


def allocate(applicant: Applicant, current: Held, ledger: Ledger, *, may_move: bool = False) -> Outcome:
    """Meet the request as well as possible; `current` are the addresses that the Service has now."""
    request = applicant.request
    kept = {family: current[family] for family in request.families if current.get(family)}
    given_up = _given_up(applicant, kept, ledger)
    leaving = [family for family in given_up if could_be_replaced(applicant, family, ledger)]
    staying = {family: kept[family] for family in kept if not (may_move and family in leaving)}
    picks = choose(applicant, staying, ledger)
    refusals = _gravest_first(request, picks)
    addresses = {
        family: kept[family] if isinstance(pick, Refusal) else pick
        for family, pick in picks.items()
        if not isinstance(pick, Refusal) or family in kept
    }
    if _is_blocked(request, refusals) or not addresses:
        if not kept:
            return next(iter(refusals.values()))
        addresses = kept
    given = tuple(address for family in addresses for address in addresses[family])
    missing = [family for family, refusal in refusals.items() if refusal.reason in REASONS_THAT_END]
    awaits = (*missing, *(family for family in given_up if addresses[family] == kept[family]))
    pools = tuple(_pool_name(address, ledger, applicant.came_from) for address in given)
    if complaint := _complaint(applicant, addresses, refusals, ledger):
        should_move = bool(leaving) and not may_move
        return Allocation(given, Reason.ADDRESS_KEPT, _kept_text(given, complaint), awaits, pools, should_move)
    return Allocation(given, Reason.ASSIGNED, _assigned_text(given, pools, refusals), awaits, pools)


def keep(current: Held, complaint: Refusal, ledger: Ledger, from_pools: FromPools) -> Outcome:
    """Answer a request that can't even be read: the Service keeps what it has."""
    if not current:
        return complaint
    given = tuple(address for addresses in current.values() for address in addresses)
    pools = tuple(_pool_name(address, ledger, from_pools) for address in given)
    return Allocation(given, Reason.ADDRESS_KEPT, _kept_text(given, complaint.message), pools=pools)


def flaw(applicant: Applicant, address: Address, ledger: Ledger) -> str | None:
    """Say why no pool would give the address today."""
    if host := ledger.foreign_host(address):
        return _conflict_text(applicant, address, host, ledger)
    if _is_to_leave(applicant, address, ledger):
        return f"its pool gave {address} up; the Service moves to another address as soon as one is free"
    pool = ledger.pools.holding(address)
    if pool is None:
        return f"{address} is in no pool; add it to one, or delete and recreate the Service for another address"
    return _flaw_in(pool, applicant, address, ledger)


def _conflict_text(applicant: Applicant, address: Address, host: ConflictingHost, ledger: Ledger) -> str:
    if _is_to_leave(applicant, address, ledger):
        return f"{host} uses {address} too; the Service moves to another address as soon as one is free"
    return f"{host} uses {address} too, and the Service is to have this very address; remove that host"


def _flaw_in(pool: Pool, applicant: Applicant, address: Address, ledger: Ledger) -> str | None:
    if pool.deleting:
        return f"its pool {pool.name} is being deleted; recreate the Service for an address of another"
    if refusal := ledger.pools.permission(applicant, pool):
        return f"{refusal.message}; recreate the Service for an address of another"
    if not pool.usable(address):
        return f"{address} is excluded from pool {pool.name} by now; recreate the Service for another address"
    if reservation := ledger.reservation_against(applicant.request.service, address):
        return f"{address} is reserved by {reservation.reserved_by} by now; recreate the Service for another address"
    return None


def _given_up(applicant: Applicant, kept: Held, ledger: Ledger) -> tuple[Family, ...]:
    """The families whose address is to be left as soon as another can be had."""
    return tuple(family for family, addresses in kept.items() if _is_to_leave(applicant, addresses[0], ledger))


def _is_to_leave(applicant: Applicant, address: Address, ledger: Ledger) -> bool:
    """Whether the pool that the address came from gave it up and wants it replaced; one that was named is not left."""
    family = family_of(address)
    if family in applicant.request.wanted:
        return False
    if ledger.foreign_host(address):
        return address not in ledger.claimed_for(applicant.request.service, family)
    pool = ledger.pools.holding(address)
    if pool is not None:
        is_given_up = pool.deleting or not pool.usable(address)
        return is_given_up and pool.reclaim_policy is ReclaimPolicy.REASSIGN
    former = ledger.pools.named(applicant.came_from.get(address, ""))
    return former is not None and former.reclaim_policy is ReclaimPolicy.REASSIGN


def _gravest_first(request: AllocationRequest, picks: Mapping[Family, Addresses | Refusal]) -> dict[Family, Refusal]:
    """The refusals; that of an address which the user named comes first, since it is the one to tell."""
    refusals = [(family, pick) for family, pick in picks.items() if isinstance(pick, Refusal)]
    return dict(sorted(refusals, key=lambda pair: pair[0] not in request.wanted))


def _is_blocked(request: AllocationRequest, refusals: Mapping[Family, Refusal]) -> bool:
    """Whether nothing new may be given: a named address is refused, or both families are needed and one is."""
    return any(family in request.wanted for family in refusals) or (request.needs_all and bool(refusals))


def _complaint(applicant: Applicant, addresses: Held, refusals: Mapping[Family, Refusal], ledger: Ledger) -> str | None:
    """Say why addresses are merely kept: the request is not met, or no pool would give them today."""
    is_blocked = _is_blocked(applicant.request, refusals)
    for family, refusal in refusals.items():
        if is_blocked or family in addresses:
            return refusal.message
    given = (address for family in addresses for address in addresses[family])
    return next((text for address in given if (text := flaw(applicant, address, ledger))), None)


def _kept_text(addresses: Addresses, why: str) -> str:
    return f"keeps {' and '.join(str(address) for address in addresses)}: {why}"


def _assigned_text(addresses: Addresses, pools: tuple[str, ...], refusals: Mapping[Family, Refusal]) -> str:
    """Say where each address comes from, and which family is missing."""
    given = " and ".join(f"{address} from pool {pool}" for address, pool in zip(addresses, pools, strict=True))
    return f"assigned {given}" + "".join(f"; {refusal.message}" for refusal in refusals.values())


def _pool_name(address: Address, ledger: Ledger, from_pools: FromPools) -> str:
    pool = ledger.pools.holding(address)
    return pool.name if pool else from_pools.get(address, "")
