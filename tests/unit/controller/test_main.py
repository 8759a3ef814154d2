"""The whole controller against a simulated API server: what a user and the other controllers of a cluster see of it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from baremetal_lb.controller.main import Controller
from baremetal_lb.kube.client import ApiError
from baremetal_lb.settings import ControllerSettings

if TYPE_CHECKING:
    from tests.unit.controller.conftest import SimulatedApi

SERVICES, POOLS = "/api/v1/services", "/apis/baremetal-lb.io/v1/ipaddresspools"
SPEAKERS = "/apis/baremetal-lb.io/v1/speakerstatuses"
ADVERTISEMENTS = "/apis/baremetal-lb.io/v1/l2advertisements"
CONDITION = "baremetal-lb.io/AddressAssigned"
SETTINGS = ControllerSettings(publish_seconds=0, first_backoff_seconds=0.001, last_backoff_seconds=0.001)
PATIENCE_SECONDS = 10


def service(name: str, *, at: int = 0, ingress: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Make a Service created at second `at`; `more` goes into its spec."""
    status: dict[str, Any] = {"loadBalancer": {"ingress": [{"ip": one} for one in ingress]} if ingress else {}}
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": f"2026-01-01T00:00:{at:02}Z",
            "annotations": more.pop("annotations", {}),
        },
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"], **more},
        "status": {**status, "conditions": more.pop("conditions", [])},
    }


def pool(name: str, *addresses: str, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, **metadata},
        "spec": {"addresses": list(addresses)},
    }


@asynccontextmanager
async def running(api: "SimulatedApi", settings: ControllerSettings = SETTINGS) -> AsyncIterator[Controller]:
    """Run a controller until the end of the block, then stop it as SIGTERM does."""

    def follow(on_change: Callable[[], object], _stop: threading.Event) -> None:
        api.on_resource = on_change
        on_change()

    controller, stop = Controller(api, settings, "replica-1", follow), asyncio.Event()
    task = asyncio.create_task(controller.run(stop))
    try:
        yield controller
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task


async def until(predicate: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not predicate():  # noqa: ASYNC110 - gives the others their turn, and waits for no time to pass
            await asyncio.sleep(0)


async def let_others_run() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def settle(api: "SimulatedApi") -> None:
    """Wait until all that was written before has been seen: a Service that came later got its answer."""
    api.put(SERVICES, service("marker", at=59))
    await until(lambda: api.condition("marker"))
    api.remove(SERVICES, "marker")


async def test_a_pending_service_gets_address_condition_and_event(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.told("web"))

    assert api.objects[SERVICES]["web"]["status"]["loadBalancer"] == {
        "ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]
    }
    assert api.condition("web")["status"] == "True"
    assert api.condition("web")["message"] == "assigned 192.0.2.10 from pool gold"
    assert api.told("web") == [("Normal", "Assigned")]


async def test_a_dual_stack_service_gets_both_in_the_order_of_its_families(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11", "2001:db8::/126"))
    api.put(SERVICES, service("web", ipFamilies=["IPv6", "IPv4"], ipFamilyPolicy="RequireDualStack"))

    async with running(api):
        await until(lambda: api.ingress("web"))

    assert api.ingress("web") == ["2001:db8::", "192.0.2.10"]


async def test_a_refusal_is_told_once(api: "SimulatedApi") -> None:
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.told("web"))
        api.put(SERVICES, {**api.objects[SERVICES]["web"], "spec": {**service("web")["spec"], "note": "changed"}})
        await settle(api)

    assert api.condition("web")["status"] == "False"
    assert api.condition("web")["reason"] == "NoPools"
    assert api.told("web") == [("Warning", "NoPools")]


async def test_a_restart_writes_nothing(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("web"))
    api.put(SERVICES, service("other", loadBalancerIP="203.0.113.1"))
    async with running(api):
        await until(lambda: api.told("web") and api.told("other") and api.objects[POOLS]["gold"].get("status"))
        await settle(api)
    api.patches.clear()
    api.events.clear()

    async with running(api):
        await settle(api)

    assert [path for path, _ in api.patches if "marker" not in path and "services" in path] == []
    assert [event for event in api.events if event["involvedObject"]["name"] != "marker"] == []


async def test_addresses_in_statuses_are_known_before_any_is_given(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("older-but-pending", at=1))
    api.put(SERVICES, service("younger-with-address", at=2, ingress=("192.0.2.10",)))

    async with running(api):
        await until(lambda: api.ingress("older-but-pending") and api.condition("younger-with-address"))

    assert api.ingress("older-but-pending") == ["192.0.2.11"]
    assert api.ingress("younger-with-address") == ["192.0.2.10"]


async def test_of_two_that_show_one_address_the_older_keeps_it(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("a-younger", at=2, ingress=("192.0.2.10",)))
    api.put(SERVICES, service("b-older", at=1, ingress=("192.0.2.10",)))

    async with running(api):
        await until(lambda: len(api.told("a-younger")) == 2)

    assert api.ingress("b-older") == ["192.0.2.10"]
    assert api.ingress("a-younger") == ["192.0.2.11"]
    assert api.told("a-younger") == [("Warning", "AddressInUse"), ("Normal", "Assigned")]


async def test_two_that_show_one_address_and_no_other_is_left(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "2001:db8::1/128"))
    for number, name in enumerate(("older", "younger")):
        api.put(SERVICES, service(name, at=number, ingress=("2001:db8::1",), ipFamilies=["IPv6"]))

    async with running(api):
        await until(lambda: not api.ingress("younger"))

    assert api.ingress("older") == ["2001:db8::1"]
    assert api.condition("younger")["reason"] == "PoolExhausted"


async def test_the_pending_are_served_in_order_of_creation_when_a_pool_appears(api: "SimulatedApi") -> None:
    for at, name in enumerate(("c", "a", "b")):
        api.put(SERVICES, service(name, at=at))

    async with running(api):
        await until(lambda: all(api.condition(name) for name in "abc"))
        api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
        await until(lambda: api.ingress("c") and api.ingress("a") and api.condition("b")["reason"] == "PoolExhausted")

    assert (api.ingress("c"), api.ingress("a"), api.ingress("b")) == (["192.0.2.10"], ["192.0.2.11"], [])


async def test_the_longest_waiting_gets_the_address_of_a_deleted_service(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    for at, name in enumerate(("first", "second", "third")):
        api.put(SERVICES, service(name, at=at))

    async with running(api):
        await until(lambda: api.ingress("first") and api.condition("third"))
        api.remove(SERVICES, "first")
        await until(lambda: api.ingress("second"))
        await settle(api)

    assert api.ingress("third") == []


async def test_a_deletion_while_cut_off_is_noticed_afterwards(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("first", at=1))
    api.put(SERVICES, service("second", at=2))

    async with running(api) as controller:
        await until(lambda: api.ingress("first") and api.condition("second") and controller.health().is_ready)
        api.cut_off()
        await until(lambda: not controller.health().is_ready)
        api.remove(SERVICES, "first")
        api.come_back()
        await until(lambda: api.ingress("second") and controller.health().is_ready)

    assert api.ingress("second") == ["192.0.2.10"]


async def test_a_pool_deleted_while_nobody_followed_is_noticed_when_the_connection_is_back(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))

    async with running(api, replace(SETTINGS, publish_seconds=3600)) as controller:
        await until(lambda: controller.health().is_ready)
        await settle(api)
        await let_others_run()
        api.cut_off()
        await until(lambda: not controller.health().is_ready)
        api.on_resource = lambda: None
        api.remove(POOLS, "gold")
        api.come_back()
        await until(lambda: controller.health().is_ready)
        await let_others_run()
        api.put(SERVICES, service("web"))
        await until(lambda: api.condition("web").get("reason") == "NoPools")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError(500, "InternalError", "etcd is slow"), id="the API server's fault"),
        pytest.param(ApiError(429, "TooManyRequests", "later"), id="too many requests"),
        pytest.param(ApiError(0, "Unreachable", "connection reset"), id="no answer"),
    ],
)
async def test_a_failed_write_is_tried_again(api: "SimulatedApi", error: ApiError) -> None:
    api.put(SERVICES, service("web"))
    api.failures = [error, error]

    async with running(api):
        api.put(POOLS, pool("gold", "192.0.2.10/32"))
        await until(lambda: api.ingress("web"))

    assert api.ingress("web") == ["192.0.2.10"]


async def test_a_conflict_is_decided_anew_on_what_changed(api: "SimulatedApi") -> None:
    """Between decision and write the user asks for another address."""
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.20"))

    def change_once() -> None:
        api.before_patch = lambda: None
        api.is_late = True
        api.put(SERVICES, service("web", loadBalancerIP="192.0.2.15"))

    async with running(api):
        await settle(api)
        api.before_patch = change_once
        api.put(SERVICES, service("web"))
        await until(lambda: api.conflicts)
        await let_others_run()
        api.is_late = False
        api.changed.set()
        await until(lambda: api.ingress("web"))

    assert api.ingress("web") == ["192.0.2.15"]
    assert api.told("web") == [("Normal", "Assigned")]
    assert api.conflicts == 1, "it waits for the news instead of trying again"


async def test_a_service_deleted_before_its_status_was_written_frees_its_address(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))

    def delete_once() -> None:
        api.before_patch = lambda: None
        api.remove(SERVICES, "web")

    async with running(api):
        await settle(api)
        api.before_patch = delete_once
        api.put(SERVICES, service("web"))
        await until(lambda: "web" not in api.objects[SERVICES])
        api.put(SERVICES, service("next"))
        await until(lambda: api.ingress("next"))

    assert api.ingress("next") == ["192.0.2.10"]


async def test_conditions_of_others_stay(api: "SimulatedApi") -> None:
    theirs = {"type": "example.org/Checked", "status": "True", "reason": "Fine", "message": ""}
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("web", conditions=[theirs]))
    api.objects[SERVICES]["web"]["status"]["conditions"] = [theirs]

    async with running(api):
        await until(lambda: api.ingress("web"))

    assert theirs in api.objects[SERVICES]["web"]["status"]["conditions"]


@pytest.mark.parametrize(
    ("spec", "ingress"),
    [
        pytest.param({"loadBalancerClass": "example.org/other"}, ("192.0.2.10",), id="a Service of another class"),
        pytest.param({}, ("203.0.113.9",), id="a Service with an address of another controller"),
        pytest.param({"loadBalancerIP": "203.0.113.9"}, ("203.0.113.9",), id="one that asked for that address"),
        pytest.param({"type": "ClusterIP"}, (), id="a Service of another type"),
    ],
)
async def test_what_is_not_ours_is_left_alone(
    api: "SimulatedApi", spec: dict[str, Any], ingress: tuple[str, ...]
) -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("theirs", ingress=ingress, **spec))

    async with running(api):
        await settle(api)

    assert [path for path, _ in api.patches if "theirs" in path] == []


async def test_an_address_of_another_class_is_not_given_away(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("theirs", at=9, ingress=("192.0.2.10",), loadBalancerClass="example.org/other"))
    api.put(SERVICES, service("web", at=1))

    async with running(api):
        await until(lambda: api.ingress("web"))

    assert api.ingress("web") == ["192.0.2.11"]


async def test_a_write_of_another_controller_is_not_fought(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("web", loadBalancerIP="192.0.2.11"))

    async with running(api):
        await until(lambda: api.ingress("web"))
        await settle(api)
        raw = deepcopy(api.objects[SERVICES]["web"])
        raw["status"]["loadBalancer"] = {"ingress": [{"ip": "203.0.113.9"}]}
        api.put(SERVICES, raw)
        await until(lambda: not api.condition("web"))
        await settle(api)

    assert api.ingress("web") == ["203.0.113.9"]


@pytest.mark.parametrize(
    ("keeps_conditions", "events"),
    [pytest.param(True, 1, id="the condition is left"), pytest.param(False, 2, id="the condition is gone as well")],
)
async def test_a_wiped_status_is_written_again(api: "SimulatedApi", keeps_conditions: bool, events: int) -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("first", at=1))
    api.put(SERVICES, service("web", at=2))

    async with running(api):
        await until(lambda: api.ingress("web"))
        await settle(api)
        api.remove(SERVICES, "first")
        raw = deepcopy(api.objects[SERVICES]["web"])
        raw["status"]["loadBalancer"] = {}
        if not keeps_conditions:
            raw["status"]["conditions"] = []
        api.put(SERVICES, raw)
        await until(lambda: api.ingress("web"))
        await settle(api)

    assert api.ingress("web") == ["192.0.2.11"]
    assert len(api.told("web")) == events


async def test_a_change_of_type_frees_the_address_and_takes_the_condition_back(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.ingress("web"))
        raw = deepcopy(api.objects[SERVICES]["web"])
        raw["spec"]["type"], raw["status"]["loadBalancer"] = "ClusterIP", {}
        api.put(SERVICES, raw)
        await until(lambda: not api.condition("web"))
        api.put(SERVICES, service("next"))
        await until(lambda: api.ingress("next"))

    assert api.ingress("next") == ["192.0.2.10"]


async def test_an_address_stays_where_the_pool_is_gone(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.ingress("web"))
        api.remove(POOLS, "gold")
        await until(lambda: api.condition("web")["reason"] == "AddressKept")

    assert api.ingress("web") == ["192.0.2.10"]
    assert api.condition("web")["status"] == "True"


async def test_a_pool_in_use_drains_when_it_is_deleted(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.11"))
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.objects[POOLS]["gold"]["metadata"].get("finalizers"))
        raw = deepcopy(api.objects[POOLS]["gold"])
        raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
        api.put(POOLS, raw)
        await until(lambda: api.condition("web").get("reason") == "AddressKept")
        api.put(SERVICES, service("late"))
        await until(lambda: api.condition("late"))
        assert api.condition("late")["reason"] == "PoolBeingDeleted"
        assert "gold" in api.objects[POOLS]
        api.remove(SERVICES, "web")
        await until(lambda: "gold" not in api.objects[POOLS])


async def test_a_pool_is_told_its_counts(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10-192.0.2.12", "2001:db8::/64"))
    api.put(SERVICES, service("web"))

    async with running(api):
        await until(lambda: api.objects[POOLS]["gold"].get("status", {}).get("assignedIPv4") == 1)

    status = api.objects[POOLS]["gold"]["status"]
    assert (status["totalIPv4"], status["availableIPv4"]) == (3, 2)
    assert (status["totalIPv6"], status["assignedIPv6"]) == (2**63 - 1, 0)
    assert api.condition("gold", "Ready", POOLS)["status"] == "True"


def speaker(name: str, *conflicts: str) -> dict[str, Any]:
    """Make a SpeakerStatus that says of these addresses that a foreign host uses them."""
    since = "2026-01-01T00:00:00Z"
    hosts = [{"address": one, "mac": "02:00:00:00:00:99", "interface": "eth0", "since": since} for one in conflicts]
    return {"metadata": {"name": name}, "status": {"conflicts": hosts}}


@pytest.mark.parametrize(
    ("family", "ends", "first"),
    [("IPv4", "192.0.2.10-192.0.2.11", "192.0.2.10"), ("IPv6", "2001:db8::/127", "2001:db8::")],
)
async def test_a_service_leaves_an_address_that_a_foreign_host_uses_for_good(
    api: "SimulatedApi", family: str, ends: str, first: str
) -> None:
    gold = pool("gold", ends)
    api.put(POOLS, {**gold, "spec": {**gold["spec"], "conflictPolicy": "Quarantine"}})
    api.put(SPEAKERS, speaker("n1"))
    api.put(SERVICES, service("web", ipFamilies=[family]))
    settings = replace(SETTINGS, move_seconds=0)
    async with running(api, settings):
        await until(lambda: api.ingress("web") == [first])
        api.put(SPEAKERS, speaker("n1", first))
        await until(lambda: api.ingress("web") not in ([], [first]))
        await until(lambda: api.told("gold"))
        api.put(SPEAKERS, speaker("n1"))
        await until(lambda: "until" in api.objects[POOLS]["gold"]["status"]["quarantined"][0])
        await settle(api)
    assert api.told("web") == [("Normal", "Assigned"), ("Warning", "AddressKept"), ("Warning", "Reassigned")]
    assert api.told("gold") == [("Warning", "AddressConflict")]
    (moved,) = (one["message"] for one in api.events if one["reason"] == "Reassigned")
    assert moved.endswith(": the host 02:00:00:00:00:99 (on eth0 of node n1) uses that")

    api.put(SERVICES, service("next", ipFamilies=[family]))
    async with running(api, settings):
        await until(lambda: api.told("next"))
    assert api.ingress("next") == []
    assert api.condition("next")["reason"] == "PoolExhausted"


async def test_a_faulty_resource_is_told_and_harms_nothing_else(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(POOLS, pool("bad", "192.0.2.300/32"))
    api.put(ADVERTISEMENTS, {"metadata": {"name": "l2", "uid": "u"}, "spec": {"ipAddressPools": ["none"]}})
    api.put(SERVICES, service("web"))

    async with running(api) as controller:
        await until(lambda: api.ingress("web") and api.told("bad") and api.told("l2"))
        problems = controller.registry.get_sample_value(
            "baremetal_lb_config_problems", {"kind": "IPAddressPool", "reason": "InvalidSpec"}
        )

    assert problems == 1
    assert api.condition("bad", "Ready", POOLS)["status"] == "False"
    assert api.told("bad") == [("Warning", "InvalidSpec")]
    assert api.condition("l2", "Ready", ADVERTISEMENTS)["reason"] == "UnknownPool"


async def test_a_mended_resource_is_counted_as_faulty_no_longer(api: "SimulatedApi") -> None:
    """[F12b] Also where it is mended by restoring exactly what was there before."""
    good = pool("gold", "192.0.2.10/32", "2001:db8::10/128")
    faulty = pool("gold", "192.0.2.300/32")
    labels = {"kind": "IPAddressPool", "reason": "InvalidSpec"}
    api.put(POOLS, deepcopy(good))

    async with running(api) as controller:

        def problems() -> float | None:
            return controller.registry.get_sample_value("baremetal_lb_config_problems", labels)

        await until(lambda: api.condition("gold", "Ready", POOLS).get("status") == "True")
        for spec, status in ((faulty, "False"), (good, "True")):
            raw = api.objects[POOLS]["gold"]
            api.put(POOLS, {**raw, "spec": spec["spec"]})
            api.on_resource()
            await until(lambda status=status: api.condition("gold", "Ready", POOLS).get("status") == status)  # type: ignore[misc]
            assert problems() == (1 if status == "False" else None)


async def test_what_is_on_its_way_arrives_before_the_end(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.0/24"))
    for number in range(100):
        api.put(SERVICES, service(f"s{number:02}"))

    async with running(api):
        await until(lambda: api.patches)

    assert len([name for name in api.objects[SERVICES] if api.ingress(name)]) == len(
        [path for path, _ in api.patches if path.startswith("/api/")]
    )
    assert len(api.events) >= len([path for path, _ in api.patches if path.startswith("/api/")])


async def test_it_is_not_ready_before_everything_was_read(api: "SimulatedApi") -> None:
    api.cut_off()

    async with running(api) as controller:
        report = controller.health()
        assert (report.is_live, report.is_ready) == (True, False)
        api.come_back()
        await until(lambda: controller.health().is_ready)


async def test_a_fault_of_our_own_ends_the_process(api: "SimulatedApi") -> None:
    def fail() -> None:
        raise AssertionError("an invariant does not hold")

    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("web"))
    api.before_patch = fail

    controller = Controller(api, SETTINGS, "replica-1", lambda *_: None)
    with pytest.raises(ExceptionGroup):
        await controller.run(asyncio.Event())


async def test_metrics_say_what_was_decided(api: "SimulatedApi") -> None:
    api.put(POOLS, pool("gold", "192.0.2.10/32"))
    api.put(SERVICES, service("first", at=1))
    api.put(SERVICES, service("second", at=2))

    async with running(api) as controller:

        def value(name: str, **labels: str) -> float | None:
            return controller.registry.get_sample_value(f"baremetal_lb_{name}", labels)

        await until(lambda: value("services", reason="PoolExhausted") == 1)
        assert value("services", reason="Assigned") == 1
        assert value("pool_addresses_available", pool="gold", family="IPv4") == 0
        await until(lambda: value("api_writes_total", what="service", result="ok") == 2)
        assert value("allocation_seconds_count") == 1
