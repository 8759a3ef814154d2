"""Decisions -> status documents: what goes into the status of Services and of our own resources. Pure.

A document is written only where it differs from what is there. Conditions of others are kept as they are; a merge patch
replaces a list as a whole, so it names them too, and its resourceVersion makes sure that none was added meanwhile.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.assigner import ASSIGNED_CONDITION, our_condition
from baremetal_lb.allocator.ledger import Usage
from baremetal_lb.api.base import READY
from baremetal_lb.api.pool import COUNT_MAX
from baremetal_lb.cluster.service import ServiceView
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

Condition = Mapping[str, Any]

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
    if set(addresses) != set(view.ingress):
        status["loadBalancer"] = {"ingress": [_ingress(address) for address in addresses]}
    wanted = condition(ASSIGNED_CONDITION, is_true=bool(addresses), reason=outcome.reason, message=outcome.message)
    if conditions := merge_condition(view.conditions, wanted, now):
        status["conditions"] = conditions
    return _patch(view, status) if status else None


def resource_status(
    raw: Mapping[str, Any], problems: Collection[Problem], usage: Mapping[Family, Usage], now: datetime
) -> dict[str, Any] | None:
    """The merge patch that tells a resource of ours what is wrong with it, and a pool its counts; None where told.

    A resource is Ready unless a problem keeps it out of force, or it is being deleted; the message names every problem.
    """
    present = raw.get("status") or {}
    generation = raw["metadata"].get("generation", 0)
    readiness = _draining(usage) if "deletionTimestamp" in raw["metadata"] else _readiness(problems)
    wanted = {**readiness, "observedGeneration": generation}
    status: dict[str, Any] = {name: count for name, count in _counts(usage).items() if present.get(name) != count}
    if conditions := merge_condition(present.get("conditions") or (), wanted, now):
        status["conditions"] = conditions
    if not status:
        return None
    return {"metadata": {"resourceVersion": raw["metadata"]["resourceVersion"]}, "status": status}


def says_something_new(view: ServiceView, outcome: Outcome) -> bool:
    """Whether the Service's user has not been told of this outcome yet: the condition remembers what was told last."""
    told = our_condition(view)
    return (told.get("reason"), told.get("message")) != (outcome.reason, outcome.message)


def ready_condition(conditions: Collection[Condition]) -> Condition:
    """The Ready condition among these; empty where there is none."""
    return next((one for one in conditions if one.get("type") == READY), {})


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
    before = next((one for one in present if one.get("type") == wanted["type"]), {})
    if wanted.items() <= before.items():
        return None
    stays = before.get("status") == wanted["status"]
    since = before.get("lastTransitionTime") if stays else None
    return [*others, {**wanted, "lastTransitionTime": since or timestamp(now)}]


def timestamp(now: datetime) -> str:
    """Write a time the way Kubernetes does."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _readiness(problems: Collection[Problem]) -> Condition:
    if not problems:
        return condition(READY, is_true=True, reason=Reason.VALID, message="in force")
    worst = min(problems, key=lambda problem: not problem.fatal)
    message = "; ".join(problem.message for problem in problems)[:MAX_CONDITION_MESSAGE_LENGTH]
    return condition(READY, is_true=not worst.fatal, reason=worst.reason, message=message)


def _draining(usage: Mapping[Family, Usage]) -> Condition:
    """What is true of a resource that is still there although it was deleted: a pool in use."""
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
            ("available", counts.available),
        )
    }


def _take_back(view: ServiceView) -> dict[str, Any] | None:
    """Remove our condition. Our addresses are gone by then: the API server drops them when the type changes."""
    if view.deleting or not our_condition(view):
        return None
    kept = [one for one in view.conditions if one.get("type") != ASSIGNED_CONDITION]
    return _patch(view, {"conditions": kept})


def _patch(view: ServiceView, status: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": view.resource_version}, "status": status}


def _ingress(address: Address) -> Mapping[str, str]:
    return {"ip": str(address), "ipMode": "VIP"}
