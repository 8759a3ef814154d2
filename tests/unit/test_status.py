"""Decisions as status documents: written only where they differ, and never at the cost of what others wrote."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.ledger import Usage
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.api.pool import QuarantinedAddress
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.config.model import Claim, ConflictingHost
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason
from baremetal_lb.status import (
    claim_readiness,
    merge_condition,
    pool_conditions,
    readiness,
    resource_status,
    says_something_new,
    service_patch,
    timestamp,
)

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


ANNOUNCED = {"type": "baremetal-lb.io/Announced", "status": "True", "reason": "Announced", "message": "by node1"}


def types_left(service: ServiceView, outcome: Outcome | None) -> list[str]:
    patch = service_patch(service, outcome, NOW)
    assert patch is not None
    return [one["type"] for one in patch["status"]["conditions"]]


def test_what_speakers_say_stays_while_there_is_an_address() -> None:
    told = view(ANNOUNCED, ours(ASSIGNED), ingress=BOTH)
    assert service_patch(told, ASSIGNED, NOW) is None
    assert types_left(told, replace(ASSIGNED, message="other words")) == [ANNOUNCED["type"], ours(ASSIGNED)["type"]]


def test_what_speakers_said_goes_with_the_address() -> None:
    assert types_left(view(ANNOUNCED, ours(ASSIGNED), ingress=BOTH), REFUSED) == [ours(REFUSED)["type"]]


@pytest.mark.parametrize(
    "outcome", [None, Allocation((), Reason.FOREIGN_ADDRESS, "left")], ids=["not ours", "another controller's"]
)
def test_what_speakers_said_is_taken_back_also_where_it_came_too_late(outcome: Outcome | None) -> None:
    """Speakers see only Services of type LoadBalancer; their last word may arrive after ours."""
    assert types_left(view(THEIRS, ANNOUNCED, ours(ASSIGNED)), outcome) == [THEIRS["type"]]
    assert types_left(view(THEIRS, ANNOUNCED), outcome) == [THEIRS["type"]]


FOUR, SIX = ip_address("192.0.2.1"), ip_address("2001:db8::1")
FROM_POOL = "baremetal-lb.io/from-pool"


def noted(origin: str | None, *ingress: str, told: Outcome = ASSIGNED, key: str = FROM_POOL) -> ServiceView:
    """Build a Service of which all has been told, but perhaps not where its addresses come from."""
    return replace(view(ours(told), ingress=ingress), annotations={} if origin is None else {key: origin})


def given(*pairs: tuple[Address, str]) -> Allocation:
    addresses, pools = zip(*pairs, strict=True)
    return Allocation(addresses, Reason.ASSIGNED, "assigned", pools=pools)


@pytest.mark.parametrize(
    ("service", "outcome", "note"),
    [
        pytest.param(noted(None), given((FOUR, "gold")), "gold", id="[B9] one address: its pool"),
        pytest.param(noted(None), given((SIX, "gold"), (FOUR, "gold")), "gold", id="two of one pool: one word"),
        pytest.param(noted(None), given((SIX, "gold"), (FOUR, "tin")), "gold,tin", id="two of two pools, in order"),
        pytest.param(
            noted(None, "192.0.2.1", "2001:db8::1"),
            given((SIX, "gold"), (FOUR, "tin")),
            "tin,gold",
            id="in the order of the status, where that stays",
        ),
        pytest.param(noted("tin", "192.0.2.1"), given((FOUR, "gold")), "gold", id="another name of its pool"),
        pytest.param(noted("tin", "192.0.2.1"), given((FOUR, "")), None, id="a pool that is unknown by now"),
        pytest.param(noted("tin", "192.0.2.1"), REFUSED, None, id="[B9] nothing assigned any more: it goes"),
        pytest.param(noted("tin"), None, None, id="[B2] a Service that is no longer ours: it goes"),
        pytest.param(
            noted("tin", "192.0.2.1"),
            Allocation((FOUR,), Reason.FOREIGN_ADDRESS, "left"),
            None,
            id="a Service left to another controller: it goes",
        ),
        pytest.param(
            noted("gold", "192.0.2.1", key="metallb.io/ip-allocated-from-pool"),
            given((FOUR, "gold")),
            "gold",
            id="[B9] under our name, also where MetalLB's says it",
        ),
    ],
)
def test_it_is_noted_where_addresses_come_from(service: ServiceView, outcome: Outcome | None, note: str | None) -> None:
    patch = service_patch(service, outcome, NOW)

    assert patch is not None
    assert patch["metadata"]["annotations"] == {FROM_POOL: note}


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        pytest.param(noted("gold", "192.0.2.1"), given((FOUR, "gold")), id="one address"),
        pytest.param(noted("gold", *BOTH), given((FOUR, "gold"), (SIX, "gold")), id="two of one pool"),
        pytest.param(
            noted("tin,gold", "192.0.2.1", "2001:db8::1"),
            given((SIX, "gold"), (FOUR, "tin")),
            id="[C49] two of two pools, decided in another order than shown",
        ),
        pytest.param(noted(None, "192.0.2.1"), given((FOUR, "")), id="an unknown pool"),
        pytest.param(noted(None, told=REFUSED), REFUSED, id="nothing assigned"),
    ],
)
def test_what_is_noted_is_not_noted_again(service: ServiceView, outcome: Outcome) -> None:
    patch = service_patch(service, outcome, NOW)

    assert patch is None or "annotations" not in patch["metadata"]


def test_nothing_is_noted_on_a_service_that_is_going() -> None:
    assert service_patch(replace(noted("gold"), deleting=True), None, NOW) is None


def test_what_others_wrote_beside_our_addresses_stays_until_the_addresses_change() -> None:
    """[B20] [C53] A host name, or what another controller added to an entry, is no reason to write."""
    entry = {"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}
    raw = {
        "metadata": {"namespace": "shop", "name": "web", "annotations": {FROM_POOL: "gold"}},
        "spec": {"type": "LoadBalancer"},
        "status": {
            "loadBalancer": {"ingress": [{"hostname": "lb.example"}, entry]},
            "conditions": [ours(ASSIGNED)],
        },
    }

    assert service_patch(parse_service(raw), given((FOUR, "gold")), NOW) is None


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
    assert says_something_new(view(*conditions), REFUSED, None) is expected


def resource(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "gold", "generation": 3, "resourceVersion": "9"}, "status": status}


def problem(message: str, *, fatal: bool) -> Problem:
    return Problem("IPAddressPool", "gold", Reason.CONFLICT if fatal else Reason.UNKNOWN_POOL, message, fatal)


@pytest.mark.parametrize(
    ("problems", "status", "reason", "message"),
    [
        pytest.param((), "True", "Valid", "in force", id="no problem"),
        pytest.param((problem("a", fatal=False),), "True", "UnknownPool", "a", id="a problem that harms nothing"),
        pytest.param(
            (problem("a", fatal=False), problem("b", fatal=True)),
            "False",
            "Conflict",
            "a; b",
            id="a fatal one counts",
        ),
    ],
)
def test_readiness_of_a_resource(problems: tuple[Problem, ...], status: str, reason: str, message: str) -> None:
    patch = resource_status(resource(), [readiness(problems)], {}, NOW)

    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == (status, reason, message)
    assert condition["observedGeneration"] == 3


def test_only_what_differs_is_written_to_a_pool() -> None:
    conditions = [readiness(())]
    usage = {Family.IPV4: Usage(4, 1, 0, 3), Family.IPV6: Usage(2**64, 0, 1, 2**64 - 1)}
    first = resource_status(resource(), conditions, usage, NOW)
    assert first is not None
    assert first["status"]["totalIPv6"] == first["status"]["availableIPv6"] == 2**63 - 1
    assert first["status"]["reservedIPv6"] == 1

    assert resource_status(resource(**first["status"]), conditions, usage, NOW) is None
    then = resource_status(resource(**first["status"]), conditions, {**usage, Family.IPV4: Usage(4, 2, 1, 1)}, NOW)
    assert then is not None
    assert then["status"] == {"assignedIPv4": 2, "reservedIPv4": 1, "availableIPv4": 1}


def test_a_deleted_pool_that_is_in_use_is_not_ready_and_counts_what_holds_it() -> None:
    usage = {Family.IPV4: Usage(4, 2, 0, 2), Family.IPV6: Usage(4, 1, 0, 3)}

    (condition,) = pool_conditions((), usage, is_deleting=True)

    assert (condition["status"], condition["reason"]) == ("False", "PoolBeingDeleted")
    assert "when the 3 in use are free" in condition["message"]


OVERLAP = Problem("IPAddressPool", "gold", Reason.OVERLAPS_CLUSTER, "nodes", fatal=False)


@pytest.mark.parametrize(
    ("others", "is_deleting", "ready"),
    [
        pytest.param((), False, ("True", "Valid"), id="a pool that is fine otherwise"),
        pytest.param((problem("a", fatal=True),), False, ("False", "Conflict"), id="a pool with another fault"),
        pytest.param((), True, ("False", "PoolBeingDeleted"), id="a pool that is being deleted"),
    ],
)
def test_an_overlap_with_the_cluster_is_a_condition_of_its_own(
    others: tuple[Problem, ...], is_deleting: bool, ready: tuple[str, str]
) -> None:
    first, warning = pool_conditions((OVERLAP, *others), {}, is_deleting=is_deleting)

    assert (first["status"], first["reason"]) == ready
    assert "nodes" not in first["message"]
    assert {**warning} == {"type": "OverlapsCluster", "status": "True", "reason": "OverlapsCluster", "message": "nodes"}


HOST = ConflictingHost("02:00:00:00:00:99", "eth0", "n1")


def test_foreign_hosts_are_a_condition_of_its_own_that_names_a_few() -> None:
    conflicts = {ip_address("192.0.2.0") + number: HOST for number in range(3)} | {ip_address("2001:db8::"): HOST}

    ready, warning = pool_conditions((), {}, is_deleting=False, conflicts=conflicts)

    assert ready["status"] == "True"
    assert (warning["type"], warning["status"], warning["reason"]) == ("AddressConflict", "True", "AddressConflict")
    assert warning["message"].startswith("the host 02:00:00:00:00:99 (on eth0 of node n1) uses 192.0.2.0; the host")
    assert warning["message"].endswith(" uses 192.0.2.2; and 1 more")


@pytest.mark.parametrize("text", ["192.0.2.10", "2001:db8::10"])
def test_the_quarantine_is_written_when_it_changes_and_taken_away(text: str) -> None:
    host = {"address": text, "mac": HOST.mac, "node": HOST.node, "interface": HOST.interface}
    entry = QuarantinedAddress.model_validate(host)
    begun = resource_status(resource(), (), {}, NOW, [entry])
    assert begun is not None
    assert begun["status"] == {"quarantined": [host]}

    shown = resource(**begun["status"])
    assert resource_status(shown, (), {}, NOW, [entry]) is None
    ending = resource_status(shown, (), {}, NOW, [entry.model_copy(update={"until": NOW})])
    assert ending is not None
    assert ending["status"]["quarantined"] == [{**host, "until": timestamp(NOW)}]
    over = resource_status(shown, (), {}, NOW)
    assert over is not None
    assert over["status"] == {"quarantined": []}


def test_a_warning_goes_when_it_is_over_and_what_others_said_stays() -> None:
    warned = resource_status(resource(conditions=[THEIRS]), pool_conditions((OVERLAP,), {}, is_deleting=False), {}, NOW)
    assert warned is not None
    assert [one["type"] for one in warned["status"]["conditions"]] == [THEIRS["type"], "Ready", "OverlapsCluster"]

    over = resource_status(resource(**warned["status"]), pool_conditions((), {}, is_deleting=False), {}, NOW)
    assert over is not None
    assert [one["type"] for one in over["status"]["conditions"]] == [THEIRS["type"], "Ready"]
    assert resource_status(resource(**over["status"]), pool_conditions((), {}, is_deleting=False), {}, NOW) is None


V4, V6 = ip_address("192.0.2.10"), ip_address("2001:db8::10")
SHOP, OTHER, THIRD = ServiceKey("web", "shop"), ServiceKey("web", "other"), ServiceKey("mail", "third")
FOR_SHOP, FOR_NONE = Claim("printer", (V4, V6), SHOP), Claim("printer", (V4, V6))
CLASH = Problem("IPAddressClaim", "printer", Reason.CONFLICT, "192.0.2.9 is taken", fatal=False)

Holders = dict[Address, tuple[ServiceKey, ...]]


@pytest.mark.parametrize(
    ("claim", "holders", "told"),
    [
        pytest.param(
            FOR_SHOP,
            {},
            ("True", "Reserved", "kept for web/shop: 192.0.2.10 and 2001:db8::10"),
            id="nobody has what is kept for a Service",
        ),
        pytest.param(
            FOR_NONE,
            {},
            ("True", "Reserved", "kept for something outside of the cluster: 192.0.2.10 and 2001:db8::10"),
            id="nobody has what is kept for no Service",
        ),
        pytest.param(
            FOR_SHOP,
            {V4: (SHOP,), V6: (SHOP,)},
            ("True", "Bound", "web/shop has 192.0.2.10 and 2001:db8::10"),
            id="its Service has both",
        ),
        pytest.param(
            FOR_SHOP,
            {V6: (SHOP,)},
            ("True", "Bound", "web/shop has 2001:db8::10; kept for web/shop: 192.0.2.10"),
            id="its Service has one",
        ),
        pytest.param(
            FOR_SHOP,
            {V4: (OTHER, SHOP), V6: (SHOP,)},
            ("True", "Bound", "web/shop has 192.0.2.10 and 2001:db8::10"),
            id="its Service shares one",
        ),
        pytest.param(
            FOR_SHOP,
            {V4: (OTHER,), V6: (SHOP,)},
            (
                "False",
                "HeldByAnother",
                "192.0.2.10 is held by web/other, and kept for web/shop once it is free; web/shop has 2001:db8::10",
            ),
            id="another has one",
        ),
        pytest.param(
            FOR_NONE,
            {V6: (THIRD, OTHER)},
            (
                "False",
                "HeldByAnother",
                (
                    "2001:db8::10 is held by mail/third and web/other, and kept for something outside of the cluster "
                    "once it is free; kept for something outside of the cluster: 192.0.2.10"
                ),
            ),
            id="two share what is kept for no Service",
        ),
    ],
)
def test_a_claim_is_told(claim: Claim, holders: Holders, told: tuple[str, str, str]) -> None:
    condition = claim_readiness(claim, (), lambda address: holders.get(address, ()), lambda _: True)

    assert (condition["status"], condition["reason"], condition["message"]) == told


def test_a_claim_that_keeps_but_a_part_is_not_ready() -> None:
    condition = claim_readiness(FOR_SHOP, (CLASH,), lambda one: (SHOP,) if one == V4 else (), lambda _: True)

    assert (condition["status"], condition["reason"]) == ("False", "Conflict")
    assert condition["message"] == "192.0.2.9 is taken; web/shop has 192.0.2.10; kept for web/shop: 2001:db8::10"


@pytest.mark.parametrize(
    ("claim", "is_told"),
    [
        pytest.param(FOR_SHOP, True, id="where a Service waits for it"),
        pytest.param(FOR_NONE, False, id="but not where no Service is to have it"),
    ],
)
def test_a_claim_is_told_that_no_pool_gives_its_address(claim: Claim, is_told: bool) -> None:
    condition = claim_readiness(claim, (), lambda _: (), lambda address: address == V6)

    assert condition["reason"] == "Reserved"
    assert condition["message"].endswith("; no pool gives 192.0.2.10") is is_told
