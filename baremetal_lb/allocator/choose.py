"""The addresses that a Service gets, family by family, or what speaks against each.

In this order: what it names itself; what it has; what an IPAddressClaim keeps for it; what it may share; what is free.
"""

from collections.abc import Iterable, Iterator, Mapping

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import ADVICE, FURTHEST_FIRST, Applicant, Judgement
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.api.annotations import Annotation
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason

POOLS_NAMED_IN_A_MESSAGE = 3

Addresses = tuple[Address, ...]
Held = Mapping[Family, Addresses]


def choose(applicant: Applicant, kept: Held, ledger: Ledger) -> Mapping[Family, Addresses | Refusal]:
    """Choose for every family; what the Service has and may stay is in `kept`."""
    home = _home(applicant, kept, ledger)
    return {family: _pick(applicant, family, kept, home, ledger) for family in applicant.request.families}


def could_serve(applicant: Applicant, families: Iterable[Family], ledger: Ledger) -> bool:
    """Whether one of these families can be served: a cheap look before a decision is repeated."""
    return any(_can_serve(applicant, family, ledger) for family in families)


def could_be_replaced(applicant: Applicant, family: Family, ledger: Ledger) -> bool:
    """Whether the Service would get another address of the family, were it to leave the one that it has."""
    pick = _pick(applicant, family, {}, None, ledger)
    return not isinstance(pick, Refusal) and not ledger.held_by(applicant.request.service).issuperset(pick)


def named_refusal(applicant: Applicant, address: Address, ledger: Ledger) -> Refusal | None:
    """Say why the Service can't have an address that was named, by it or by a claim."""
    pool = ledger.pools.holding(address)
    if pool is None:
        return Refusal(
            Reason.ADDRESS_NOT_IN_ANY_POOL, f"{address} is in no pool; add it to one or ask for another address"
        )
    wanted = applicant.request.pool
    if wanted is not None and pool.name != wanted:
        return Refusal(
            Reason.CONTRADICTORY_REQUEST,
            f"{address} is in pool {pool.name}, but the Service names pool {wanted}; change one of the two",
        )
    if address in ledger.held_by(applicant.request.service):
        return None
    return _permission_refusal(applicant, address, pool, ledger) or _hindrance(applicant, address, pool, ledger)


def claimed_for(applicant: Applicant, family: Family, ledger: Ledger) -> Addresses:
    """The addresses that the Service is to have by IPAddressClaims; of the pool that it names, if it names one."""
    request = applicant.request
    claimed = ledger.claimed_for(request.service, family)
    if request.pool is None:
        return claimed
    return tuple(one for one in claimed if (pool := ledger.pools.holding(one)) and pool.name == request.pool)


def quota_refusal(
    applicant: Applicant, pool: Pool, family: Family, ledger: Ledger, wanted: Addresses = ()
) -> Refusal | None:
    """Say why the namespace may have no more addresses of the pool: not all of these, or not even one."""
    namespace, service = applicant.namespace, applicant.request.service
    if namespace.unreadable_quota:
        return Refusal(
            Reason.QUOTA_EXCEEDED,
            f"namespace {namespace.name} has an address quota that is no number ({namespace.unreadable_quota!r})",
        )
    limits = ((pool.namespace_quota, pool, f"of pool {pool.name}"), (namespace.quota, None, "in all"))
    for quota, within, words in limits:
        if quota is not None:
            used = ledger.used_by_others(service, within, family)
            asked = sum(within is None or one in within for one in wanted) or 1
            if used + asked > quota:
                text = (
                    f"namespace {namespace.name} has {used} of the {quota} {family} addresses that it may have {words}"
                )
                more = f", and {asked} more are asked for" if asked > 1 else ""
                return Refusal(Reason.QUOTA_EXCEEDED, text + more)
    return None


def _pick(applicant: Applicant, family: Family, kept: Held, home: Pool | None, ledger: Ledger) -> Addresses | Refusal:
    request = applicant.request
    if wanted := request.wanted.get(family):
        return _named(applicant, wanted, ledger)
    claimed = claimed_for(applicant, family, ledger)
    if family in kept and _is_of_named_pool(applicant, kept[family][0], ledger):
        return tuple(one for one in kept[family] if one in claimed) or kept[family][:1]
    if claimed:
        return _claimed(applicant, claimed, ledger)
    if request.pool is not None and ledger.pools.named(request.pool) is None:
        return Refusal(Reason.POOL_NOT_FOUND, f"there is no valid pool {request.pool}; create it or name another")
    return _automatic(applicant, family, home, ledger)


def _can_serve(applicant: Applicant, family: Family, ledger: Ledger) -> bool:
    if named := applicant.request.wanted.get(family) or claimed_for(applicant, family, ledger):
        return isinstance(_named(applicant, named, ledger), tuple)
    judgement = ledger.pools.judge(applicant, family)
    return next(_available(applicant, family, judgement.candidates, ledger), None) is not None


def _named(applicant: Applicant, addresses: Addresses, ledger: Ledger) -> Addresses | Refusal:
    for address in addresses:
        if refusal := named_refusal(applicant, address, ledger):
            return refusal
    return _named_quota_refusal(applicant, addresses, ledger) or addresses


def _claimed(applicant: Applicant, addresses: Addresses, ledger: Ledger) -> Addresses | Refusal:
    """Give what is claimed, or say why not, and that it is claimed: the user asked for nothing of that kind."""
    pick = _named(applicant, addresses, ledger)
    if not isinstance(pick, Refusal):
        return pick
    claims = " and ".join(dict.fromkeys(ledger.reserved_by(address) for address in addresses))
    return Refusal(pick.reason, f"{claims} keeps an address for the Service, but {pick.message}")


def _named_quota_refusal(applicant: Applicant, addresses: Addresses, ledger: Ledger) -> Refusal | None:
    """Count the new ones together; an address that the namespace has already costs nothing."""
    service = applicant.request.service
    counted = tuple(one for one in addresses if not _has_neighbour(service, one, ledger))
    for address in counted:
        pool = ledger.pools.holding(address)
        assert pool is not None
        if address in ledger.held_by(service):
            continue
        if refusal := quota_refusal(applicant, pool, family_of(address), ledger, counted):
            return _with_advice(refusal)
    return None


def _has_neighbour(service: ServiceKey, address: Address, ledger: Ledger) -> bool:
    """Whether another Service of the namespace has the address, so that it counts already."""
    return any(one != service and one.namespace == service.namespace for one in ledger.holders_of(address))


def _permission_refusal(applicant: Applicant, address: Address, pool: Pool, ledger: Ledger) -> Refusal | None:
    refusal = ledger.pools.permission(applicant, pool)
    if refusal is None:
        return None
    return Refusal(refusal.reason, f"{address} can't be given: {refusal.message}; {ADVICE[refusal.reason]}")


def _hindrance(applicant: Applicant, address: Address, pool: Pool, ledger: Ledger) -> Refusal | None:
    service, sharing = applicant.request.service, applicant.request.sharing
    if pool.deleting:
        return Refusal(
            Reason.POOL_BEING_DELETED,
            f"{address} is in pool {pool.name}, which is being deleted; ask for an address of another",
        )
    if not pool.usable(address):
        return Refusal(
            Reason.ADDRESS_NOT_USABLE,
            f"{address} is excluded from pool {pool.name} (excludedAddresses, avoidBuggyIPs or "
            "avoidNetworkAndBroadcast); ask for another address",
        )
    if reservation := ledger.reservation_against(service, address):
        return Refusal(
            Reason.ADDRESS_RESERVED, f"{address} is reserved by {reservation.reserved_by}; ask for another address"
        )
    if host := ledger.foreign_host(address):
        return Refusal(
            Reason.ADDRESS_QUARANTINED,
            f"{host} uses {address}, so nobody gets it for now; ask for another address, or remove that host",
        )
    if obstacle := ledger.obstacle(service, address, sharing):
        return _shared_refusal(address, *obstacle, is_wanted=bool(sharing.key))
    return None


def _shared_refusal(address: Address, holder: object, why: str, *, is_wanted: bool) -> Refusal:
    if is_wanted:
        return Refusal(
            Reason.SHARING_REFUSED,
            f"{address} is held by Service {holder} and can't be shared with it: {why}; ask for another address",
        )
    return Refusal(
        Reason.ADDRESS_IN_USE,
        f"{address} is held by Service {holder}; ask for another address, free this one, or let both share it "
        f"(annotation {Annotation.SHARING_KEY})",
    )


def _is_of_named_pool(applicant: Applicant, address: Address, ledger: Ledger) -> bool:
    """Whether an address, which the Service has, comes from the pool that it names; that may have let it go."""
    name, pool = applicant.request.pool, ledger.pools.holding(address)
    if name is None:
        return True
    return pool.name == name if pool else applicant.came_from.get(address) == name


def _home(applicant: Applicant, kept: Held, ledger: Ledger) -> Pool | None:
    """The pool to take every address of a dual-stack Service from, where there is one that can."""
    families = applicant.request.families
    if len(families) < 2:
        return None
    for addresses in kept.values():
        if pool := ledger.pools.holding(addresses[0]):
            return pool
    first, *others = (ledger.pools.judge(applicant, family).candidates for family in families)
    return next(
        (
            pool
            for pool in first
            if all(pool in candidates for candidates in others)
            and all(_free_in(applicant, pool, family, ledger) for family in families)
        ),
        None,
    )


def _automatic(applicant: Applicant, family: Family, home: Pool | None, ledger: Ledger) -> Addresses | Refusal:
    judgement = ledger.pools.judge(applicant, family)
    candidates = judgement.candidates
    if home in candidates:
        candidates = (home, *(pool for pool in candidates if pool is not home))
    address = next(_available(applicant, family, candidates, ledger), None)
    return (address,) if address else _nothing(applicant, family, judgement, ledger)


def _available(applicant: Applicant, family: Family, candidates: tuple[Pool, ...], ledger: Ledger) -> Iterator[Address]:
    """Yield what the Service may share, then what is free, each in the order of the pools."""
    yield from _shareable(applicant, family, candidates, ledger)
    for pool in candidates:
        if address := _free_in(applicant, pool, family, ledger):
            yield address


def _shareable(applicant: Applicant, family: Family, candidates: tuple[Pool, ...], ledger: Ledger) -> Iterator[Address]:
    request = applicant.request
    if not request.sharing.key:
        return
    places = {pool.name: place for place, pool in enumerate(candidates)}
    found = []
    for address in ledger.shareable(request.service, family, request.sharing):
        pool = ledger.pools.holding(address)
        if pool is not None and pool.name in places and not _hindrance(applicant, address, pool, ledger):
            found.append((places[pool.name], int(address), address, pool))
    for _, _, address, pool in sorted(found, key=lambda one: one[:2]):
        if _has_neighbour(request.service, address, ledger) or not quota_refusal(applicant, pool, family, ledger):
            yield address


def _free_in(applicant: Applicant, pool: Pool, family: Family, ledger: Ledger) -> Address | None:
    if quota_refusal(applicant, pool, family, ledger):
        return None
    request = applicant.request
    return ledger.free_address(pool, family, request.service, request.uid)


def _nothing(applicant: Applicant, family: Family, judgement: Judgement, ledger: Ledger) -> Refusal:
    """Say why no pool gives an address, by the pools that came furthest."""
    refusals = [refusal for _, refusal in refusals_of(applicant, family, judgement, ledger)]
    if not refusals:
        return Refusal(Reason.NO_POOLS, "there is no valid IPAddressPool; create one")
    reason = next(reason for reason in FURTHEST_FIRST if any(one.reason is reason for one in refusals))
    phrases = list(dict.fromkeys(one.message for one in refusals if one.reason is reason))
    more = len(phrases) - POOLS_NAMED_IN_A_MESSAGE
    others = f", and so it is with {more} more" if more > 0 else ""
    told = ", ".join(phrases[:POOLS_NAMED_IN_A_MESSAGE])
    return Refusal(reason, f"no {family} address: {told}{others}; {ADVICE[reason]}")


def refusals_of(
    applicant: Applicant, family: Family, judgement: Judgement, ledger: Ledger
) -> list[tuple[Pool, Refusal]]:
    """Say of every pool that has nothing for the Service why that is so, in the order of the pools."""
    refused = {pool.name: refusal for pool, refusal in judgement.refused}
    for pool in judgement.candidates:
        if quota := quota_refusal(applicant, pool, family, ledger):
            refused[pool.name] = quota
        elif not _free_in(applicant, pool, family, ledger):
            total = ledger.usage(pool, family).total
            refused[pool.name] = Refusal(
                Reason.POOL_EXHAUSTED, f"pool {pool.name} has 0 of {total} {family} addresses left"
            )
    return [(pool, refused[pool.name]) for pool in ledger.pools.pools if pool.name in refused]


def _with_advice(refusal: Refusal) -> Refusal:
    return Refusal(refusal.reason, f"{refusal.message}; {ADVICE[refusal.reason]}")
