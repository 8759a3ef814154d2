"""Decisions -> status documents: what goes into the status of Services and of our own resources. Pure.

A document is written only where it differs from what is there. Conditions of others are kept as they are; a merge patch
replaces a list as a whole, so it names them too, and its resourceVersion makes sure that none was added meanwhile.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.entry import ASSIGNED_CONDITION, our_condition
from baremetal_lb.allocator.ledger import Usage
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.api.annotations import Annotation
from baremetal_lb.api.base import READY
from baremetal_lb.api.pool import COUNT_MAX, QuarantinedAddress
from baremetal_lb.cluster.conditions import Condition, find_condition
from baremetal_lb.cluster.service import ANNOUNCED_CONDITION, ServiceKey, ServiceView
from baremetal_lb.config.model import Claim, ConflictingHost
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

OVERLAPS_CLUSTER = "OverlapsCluster"
"""The type of the condition that warns of a pool."""

ADDRESS_CONFLICT = "AddressConflict"
"""The type of the condition that names the foreign hosts on addresses of a pool."""

OUR_TYPES = frozenset({READY, OVERLAPS_CLUSTER, ADDRESS_CONFLICT})
"""The types of conditions that our own resources have of us."""

CONFLICTS_NAMED = 3
"""Of the addresses of a pool that foreign hosts use so many are named."""

NO_CONFLICTS: Mapping[Address, ConflictingHost] = {}

MAX_CONDITION_MESSAGE_LENGTH = 4096
"""A thousand faults of one resource are not told one by one; etcd and `kubectl describe` would suffer."""


def service_patch(view: ServiceView, outcome: Outcome | None, now: datetime) -> dict[str, Any] | None:
    """The merge patch that makes a Service's status say what was decided; None where it does already.

    Of a Service that is not ours, or is served by another, only what we said of it is taken back.
    """
    if outcome is None or outcome.reason is Reason.FOREIGN_ADDRESS:
        return _take_back(view)
    status: dict[str, Any] = {}
    addresses = outcome.addresses if isinstance(outcome, Allocation) else ()
    shown = view.ingress
    if set(addresses) != set(view.ingress):
        shown = addresses
        status["loadBalancer"] = {"ingress": [_ingress(address) for address in addresses]}
    wanted = condition(ASSIGNED_CONDITION, is_true=bool(addresses), reason=outcome.reason, message=outcome.message)
    present = list(view.conditions) if addresses else _without(view, ANNOUNCED_CONDITION)
    conditions = merge_condition(present, wanted, now) or present
    if conditions != list(view.conditions):
        status["conditions"] = conditions
    annotations = _from_pool_annotation(view, _origin(outcome, shown))
    return _patch(view, status, annotations) if status or annotations else None


def _origin(outcome: Outcome, shown: Collection[Address]) -> str | None:
    """Which pool each address shown comes from; None where nothing is shown."""
    if not isinstance(outcome, Allocation) or not outcome.pools:
        return None
    pool_of = dict(zip(outcome.addresses, outcome.pools, strict=True))
    names = [pool_of[address] for address in shown]
    return names[0] if len(set(names)) == 1 else ",".join(names)


def _from_pool_annotation(view: ServiceView, origin: str | None) -> Mapping[str, str | None]:
    """The change that makes our annotation say where the addresses come from; empty where it does."""
    if view.annotations.get(Annotation.FROM_POOL) == (origin or None):
        return {}
    return {Annotation.FROM_POOL: origin or None}


def resource_status(
    raw: Mapping[str, Any],
    wanted: Iterable[Condition],
    usage: Mapping[Family, Usage],
    now: datetime,
    quarantined: Iterable[QuarantinedAddress] = (),
) -> dict[str, Any] | None:
    """The merge patch that tells a resource of ours what is true of it, and a pool its counts; None where told.

    Of our conditions only those that are wanted stay.
    """
    present = raw.get("status") or {}
    generation = {"observedGeneration": raw["metadata"].get("generation", 0)}
    status: dict[str, Any] = {name: count for name, count in _counts(usage).items() if present.get(name) != count}
    shown = list(present.get("conditions") or ())
    conditions = _with_ours(shown, [{**one, **generation} for one in wanted], now)
    if conditions != shown:
        status["conditions"] = conditions
    entries = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in quarantined]
    if entries != (present.get("quarantined") or []):
        status["quarantined"] = entries
    if not status:
        return None
    return {"metadata": {"resourceVersion": raw["metadata"]["resourceVersion"]}, "status": status}


def readiness(problems: Collection[Problem]) -> Condition:
    """A resource is Ready unless a problem keeps it out of force; the message names every problem."""
    if not problems:
        return condition(READY, is_true=True, reason=Reason.VALID, message="in force")
    worst = min(problems, key=lambda problem: not problem.fatal)
    return condition(READY, is_true=not worst.fatal, reason=worst.reason, message=_joined(problems))


def pool_conditions(
    problems: Iterable[Problem],
    usage: Mapping[Family, Usage],
    *,
    is_deleting: bool,
    conflicts: Mapping[Address, ConflictingHost] = NO_CONFLICTS,
) -> tuple[Condition, ...]:
    """Whether the pool is in force, and warnings where the cluster itself or foreign hosts use its addresses."""
    own: list[Problem] = []
    overlaps: list[Problem] = []
    for problem in problems:
        (overlaps if problem.reason is Reason.OVERLAPS_CLUSTER else own).append(problem)
    ready = _draining(usage) if is_deleting else readiness(own)
    warnings = []
    if overlaps:
        message = _joined(overlaps)
        warnings.append(condition(OVERLAPS_CLUSTER, is_true=True, reason=Reason.OVERLAPS_CLUSTER, message=message))
    if conflicts:
        message = _conflicts_text(conflicts)
        warnings.append(condition(ADDRESS_CONFLICT, is_true=True, reason=Reason.ADDRESS_CONFLICT, message=message))
    return ready, *warnings


def claim_readiness(
    claim: Claim,
    problems: Collection[Problem],
    holders_of: Callable[[Address], Collection[ServiceKey]],
    is_given: Callable[[Address], bool],
) -> Condition:
    """Whether every address of a claim in force is kept, or held by its Service; `is_given`: whether by any pool."""
    beneficiary = str(claim.service) if claim.service else "something outside of the cluster"
    holders = {address: holders_of(address) for address in claim.addresses}
    free = [address for address, some in holders.items() if not some]
    bound = [address for address, some in holders.items() if claim.service in some]
    foreign = [address for address, some in holders.items() if some and claim.service not in some]
    message = "; ".join(
        [problem.message for problem in problems]
        + [f"{one} is held by {_listed(holders[one])}, and kept for {beneficiary} once it is free" for one in foreign]
        + ([f"{beneficiary} has {_listed(bound)}"] if bound else [])
        + ([f"kept for {beneficiary}: {_listed(free)}"] if free else [])
        + [f"no pool gives {one}" for one in free if claim.service and not is_given(one)]
    )
    if problems:
        return condition(READY, is_true=False, reason=Reason.CONFLICT, message=message)
    if foreign:
        return condition(READY, is_true=False, reason=Reason.HELD_BY_ANOTHER, message=message)
    if bound:
        return condition(READY, is_true=True, reason=Reason.BOUND, message=message)
    return condition(READY, is_true=True, reason=Reason.RESERVED, message=message)


def says_something_new(view: ServiceView, outcome: Outcome, lost: Refusal | None) -> bool:
    """Whether the Service's user has not been told of this outcome yet: the condition remembers what was told last.

    Of a move both addresses are told when the old one is told to be lost.
    """
    if lost is not None and lost.reason is Reason.REASSIGNED:
        return False
    told = our_condition(view)
    return (told.get("reason"), told.get("message")) != (outcome.reason, outcome.message)


def condition(kind: str, *, is_true: bool, reason: Reason, message: str) -> Condition:
    """Build a condition, still without the time of its last transition."""
    return {
        "type": kind,
        "status": "True" if is_true else "False",
        "reason": reason.value,
        "message": message,
    }


def merge_condition(present: Collection[Condition], wanted: Condition, now: datetime) -> list[Condition] | None:
    """Put a condition among those that are there; None where it says so already."""
    others = [one for one in present if one.get("type") != wanted["type"]]
    before = find_condition(present, wanted["type"])
    if wanted.items() <= before.items():
        return None
    stays = before.get("status") == wanted["status"]
    since = before.get("lastTransitionTime") if stays else None
    return [*others, {**wanted, "lastTransitionTime": since or timestamp(now)}]


def timestamp(now: datetime) -> str:
    """Write a time the way Kubernetes does."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_ours(present: list[Condition], wanted: Collection[Condition], now: datetime) -> list[Condition]:
    types = {one["type"] for one in wanted}
    conditions = [one for one in present if one.get("type") not in OUR_TYPES - types]
    for one in wanted:
        conditions = merge_condition(conditions, one, now) or conditions
    return conditions


def _joined(problems: Iterable[Problem]) -> str:
    return "; ".join(problem.message for problem in problems)[:MAX_CONDITION_MESSAGE_LENGTH]


def _conflicts_text(conflicts: Mapping[Address, ConflictingHost]) -> str:
    """Name a few, always the same ones."""
    told = "; ".join(f"{host} uses {address}" for address, host in islice(conflicts.items(), CONFLICTS_NAMED))
    more = len(conflicts) - CONFLICTS_NAMED
    return told + (f"; and {more} more" if more > 0 else "")


def _listed(things: Iterable[object]) -> str:
    *others, last = map(str, things)
    return f"{', '.join(others)} and {last}" if others else last


def _draining(usage: Mapping[Family, Usage]) -> Condition:
    """What is true of a pool that is still there although it was deleted."""
    in_use = sum(counts.assigned for counts in usage.values())
    message = f"is being deleted: gives no new addresses, and goes when the {in_use} in use are free"
    return condition(READY, is_true=False, reason=Reason.POOL_BEING_DELETED, message=message)


def _counts(usage: Mapping[Family, Usage]) -> Mapping[str, int]:
    """The counts of a pool, each as much as the API server can store."""
    return {
        f"{what}{family}": min(count, COUNT_MAX)
        for family, counts in usage.items()
        for what, count in (
            ("total", counts.total),
            ("assigned", counts.assigned),
            ("reserved", counts.reserved),
            ("available", counts.available),
        )
    }


def _take_back(view: ServiceView) -> dict[str, Any] | None:
    """Remove what we and the speakers said, who see such a Service no more.

    Our addresses are gone by then: the API server drops them when the type changes.
    """
    annotations = _from_pool_annotation(view, None)
    kept = _without(view, ASSIGNED_CONDITION, ANNOUNCED_CONDITION)
    said_something = len(kept) < len(view.conditions)
    if view.deleting or not (said_something or annotations):
        return None
    return _patch(view, {"conditions": kept} if said_something else {}, annotations)


def _without(view: ServiceView, *types: str) -> list[Condition]:
    return [one for one in view.conditions if one.get("type") not in types]


def _patch(view: ServiceView, status: Mapping[str, Any], annotations: Mapping[str, str | None]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": view.resource_version}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "status": status}


def _ingress(address: Address) -> Mapping[str, str]:
    return {"ip": str(address), "ipMode": "VIP"}
