"""Decisions as status documents: written only where they differ, and never at the cost of what others wrote."""

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.ledger import Usage
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason
from baremetal_lb.status import merge_condition, resource_status, says_something_new, service_patch

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EARLIER = "2026-01-01T00:00:00Z"
ASSIGNED = Allocation((ip_address("2001:db8::1"), ip_address("192.0.2.1")), Reason.ASSIGNED, "assigned")
REFUSED = Refusal(Reason.POOL_EXHAUSTED, "full")
THEIRS = {"type": "example.org/Theirs", "status": "True", "reason": "Fine", "message": ""}


def ours(outcome: Outcome, status: str = "True", **changes: str) -> dict[str, Any]:
    return {
        "type": "baremetal-lb.io/AddressAssigned",
        "status": status,
        "reason": outcome.reason.value,
        "message": outcome.message,
        "lastTransitionTime": EARLIER,
        **changes,
    }


def view(*conditions: dict[str, Any], ingress: tuple[str, ...] = (), type_: str = "LoadBalancer") -> ServiceView:
    return parse_service(
        {
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "7"},
            "spec": {"type": type_},
            "status": {
                "loadBalancer": {"ingress": [{"ip": one} for one in ingress]},
                "conditions": list(conditions),
            },
        }
    )


BOTH = ("2001:db8::1", "192.0.2.1")


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        pytest.param(view(ours(ASSIGNED), ingress=BOTH), ASSIGNED, id="an allocation that the status shows"),
        pytest.param(view(ours(ASSIGNED), ingress=BOTH[::-1]), ASSIGNED, id="shown in another order"),
        pytest.param(view(ours(REFUSED, "False")), REFUSED, id="a refusal that the status tells"),
        pytest.param(view(THEIRS, ingress=BOTH), None, id="a Service that is not ours"),
        pytest.param(
            view(ingress=BOTH), Allocation((), Reason.FOREIGN_ADDRESS, "left"), id="a Service of another controller"
        ),
    ],
)
def test_nothing_is_written_where_nothing_is_new(service: ServiceView, outcome: Outcome | None) -> None:
    assert service_patch(service, outcome, NOW) is None


def test_an_allocation_is_written_in_the_order_of_its_families() -> None:
    patch = service_patch(view(THEIRS), ASSIGNED, NOW)

    assert patch == {
        "metadata": {"resourceVersion": "7"},
        "status": {
            "loadBalancer": {"ingress": [{"ip": one, "ipMode": "VIP"} for one in BOTH]},
            "conditions": [THEIRS, ours(ASSIGNED, lastTransitionTime="2026-11-23T12:00:00Z")],
        },
    }


def test_a_refusal_empties_the_status() -> None:
    patch = service_patch(view(ours(ASSIGNED), ingress=BOTH), REFUSED, NOW)

    assert patch is not None
    assert patch["status"]["loadBalancer"] == {"ingress": []}
    assert patch["status"]["conditions"][0]["status"] == "False"


@pytest.mark.parametrize("outcome", [None, Allocation((), Reason.FOREIGN_ADDRESS, "left")])
def test_what_we_said_is_taken_back_where_it_is_not_ours_to_say(outcome: Outcome | None) -> None:
    patch = service_patch(view(THEIRS, ours(REFUSED), ingress=BOTH), outcome, NOW)

    assert patch == {"metadata": {"resourceVersion": "7"}, "status": {"conditions": [THEIRS]}}


@pytest.mark.parametrize(
    ("status", "since"),
    [
        pytest.param("True", EARLIER, id="stays where only the message changes"),
        pytest.param("False", "2026-11-23T12:00:00Z", id="is now where the status flips"),
    ],
)
def test_the_time_of_the_last_transition(status: str, since: str) -> None:
    merged = merge_condition([ours(ASSIGNED)], {**ours(ASSIGNED, status), "message": "new"}, NOW)

    assert merged is not None
    assert merged[0]["lastTransitionTime"] == since


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param((), True, id="nothing was told yet"),
        pytest.param((THEIRS,), True, id="only by others"),
        pytest.param((ours(REFUSED),), False, id="this was told"),
        pytest.param((ours(REFUSED, message="other"),), True, id="in other words"),
    ],
)
def test_whether_there_is_something_new_to_say(conditions: tuple[dict[str, Any], ...], expected: bool) -> None:
    assert says_something_new(view(*conditions), REFUSED) is expected


def resource(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "gold", "generation": 3, "resourceVersion": "9"}, "status": status}


def problem(message: str, *, fatal: bool) -> Problem:
    return Problem("IPAddressPool", "gold", Reason.POOL_OVERLAP if fatal else Reason.UNKNOWN_POOL, message, fatal)


@pytest.mark.parametrize(
    ("problems", "status", "reason", "message"),
    [
        pytest.param((), "True", "Valid", "in force", id="no problem"),
        pytest.param((problem("a", fatal=False),), "True", "UnknownPool", "a", id="a problem that harms nothing"),
        pytest.param(
            (problem("a", fatal=False), problem("b", fatal=True)),
            "False",
            "PoolOverlap",
            "a; b",
            id="a fatal one counts",
        ),
    ],
)
def test_readiness_of_a_resource(problems: tuple[Problem, ...], status: str, reason: str, message: str) -> None:
    patch = resource_status(resource(), problems, {}, NOW)

    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == (status, reason, message)
    assert condition["observedGeneration"] == 3


def test_only_what_differs_is_written_to_a_pool() -> None:
    usage = {Family.IPV4: Usage(4, 1, 3), Family.IPV6: Usage(2**64, 0, 2**64)}
    first = resource_status(resource(), (), usage, NOW)
    assert first is not None
    assert first["status"]["totalIPv6"] == first["status"]["availableIPv6"] == 2**63 - 1

    assert resource_status(resource(**first["status"]), (), usage, NOW) is None
    then = resource_status(resource(**first["status"]), (), {**usage, Family.IPV4: Usage(4, 2, 2)}, NOW)
    assert then is not None
    assert then["status"] == {"assignedIPv4": 2, "availableIPv4": 2}


def test_a_deleted_pool_that_is_in_use_is_not_ready_and_counts_what_holds_it() -> None:
    raw = resource()
    raw["metadata"]["deletionTimestamp"] = "2026-11-23T11:00:00Z"
    usage = {Family.IPV4: Usage(4, 2, 2), Family.IPV6: Usage(4, 1, 3)}

    patch = resource_status(raw, (), usage, NOW)

    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "PoolBeingDeleted")
    assert "when the 3 in use are free" in condition["message"]
