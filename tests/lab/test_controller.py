"""What the controller writes on a real API server, what it leaves alone, and how fast it hears of a pool."""

from collections.abc import Iterator
from typing import Any

import pytest

from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

NAMESPACE = "controller-tests"
POOL = "controller-tests"
IN_USE = "baremetal-lb.io/in-use"
ANNOUNCED = "baremetal-lb.io/Announced"
HEARD_WITHIN_SECONDS = 20.0
"""Well below the minute after which resources are listed even where nothing was heard."""


@pytest.fixture
def sandbox(lab: Lab) -> Iterator[Sandbox]:
    """A namespace of its own. The addresses are of no segment: nobody asks for them here."""
    box = Sandbox(lab.paths, NAMESPACE, 0)
    lab.request("POST", objects.collection("Namespace"), objects.namespace(NAMESPACE))
    yield box
    box.close()
    box.delete("Namespace", NAMESPACE)
    wait_for("the namespace is gone", lambda: not box.exists("Namespace", NAMESPACE), within=60)
    # All tests here name their pool the same, and one that was in use drains for up to a second.
    wait_for("the pool is gone", lambda: not box.exists("IPAddressPool", POOL))


def offer(sandbox: Sandbox, last: int) -> None:
    sandbox.create(objects.pool(POOL, [f"198.51.100.1-198.51.100.{last}", f"2001:db8:51::1-2001:db8:51::{last}"]))
    sandbox.judged("IPAddressPool", POOL, "Valid")


def finalizers(sandbox: Sandbox) -> list[str]:
    found: list[str] = sandbox.read("IPAddressPool", POOL)["metadata"].get("finalizers", [])
    return found


def assigned(sandbox: Sandbox, word: str) -> ServiceHandle:
    """Make a Service, and wait until all is written to it: the speakers, too, say what they think of it."""
    service = sandbox.request_service(word, {"app": "none"})
    service.assigned()
    sandbox.judged("Service", service.name, "NoAdvertisement", ANNOUNCED)
    return service


def events_of_the_controller(*services: ServiceHandle) -> list[int]:
    return [
        sum(event["source"]["component"] == "baremetal-lb-controller" for event in service.events())
        for service in services
    ]


def read(service: ServiceHandle) -> dict[str, Any]:
    return service.sandbox.read("Service", service.name)


def test_nothing_but_the_status_and_one_annotation_of_a_service_is_written(sandbox: Sandbox) -> None:
    offer(sandbox, 2)
    metadata = read(assigned(sandbox, "web"))["metadata"]

    assert metadata.get("finalizers", []) == []
    assert metadata.get("annotations", {}) == {"baremetal-lb.io/from-pool": POOL}
    assert sorted(one.get("subresource", "") for one in metadata["managedFields"]) == ["", "status"]


def test_a_pool_is_heard_of_at_once(sandbox: Sandbox) -> None:
    """Created, enlarged and deleted: long before the next list that would be made anyway."""
    waiting = sandbox.request_service("first", {"app": "none"})
    wait_for("it is refused", waiting.condition)

    offer(sandbox, 1)
    wait_for("the first Service has its addresses", waiting.addresses, within=HEARD_WITHIN_SECONDS)
    late = sandbox.request_service("late", {"app": "none"})
    late.refused("PoolExhausted")

    sandbox.patch("IPAddressPool", POOL, {"spec": {"addresses": ["198.51.100.1-198.51.100.2", "2001:db8:51::/126"]}})
    wait_for("the late Service has its addresses", late.addresses, within=HEARD_WITHIN_SECONDS)


def test_a_pool_in_use_drains(sandbox: Sandbox) -> None:
    offer(sandbox, 2)
    web = assigned(sandbox, "web")
    wait_for("the pool is marked as used", lambda: IN_USE in finalizers(sandbox))

    sandbox.delete("IPAddressPool", POOL)
    wait_for("the Service is told", web.condition, lambda seen: seen["reason"] == "AddressKept")
    sandbox.request_service("late", {"app": "none"}).refused("PoolBeingDeleted")
    assert len(web.addresses()) == 2

    web.delete()
    wait_for("the pool is gone", lambda: not sandbox.exists("IPAddressPool", POOL))


def test_a_restart_changes_nothing_and_tells_nothing(lab: Lab, sandbox: Sandbox) -> None:
    offer(sandbox, 2)
    web = assigned(sandbox, "web")
    refused = sandbox.request_service("refused", {"app": "none"}, loadBalancerIP="203.0.113.1", families=("IPv4",))
    refused.refused("AddressNotInAnyPool")
    wait_for("both are told in Events", lambda: events_of_the_controller(web, refused) == [1, 1])
    before = [read(one)["metadata"]["resourceVersion"] for one in (web, refused)]

    lab.kubectl("rollout", "restart", "deployment/controller", f"--namespace={PRODUCT_NAMESPACE}")
    lab.kubectl("rollout", "status", "deployment/controller", f"--namespace={PRODUCT_NAMESPACE}", timeout=90)
    assigned(sandbox, "after")

    assert [read(one)["metadata"]["resourceVersion"] for one in (web, refused)] == before
    assert events_of_the_controller(web, refused) == [1, 1]


def test_a_crash_changes_nothing_for_who_is_served(lab: Lab, sandbox: Sandbox) -> None:
    """Who waits is written to once, since a late write of the dead could still arrive; who has its address is not."""
    offer(sandbox, 2)
    web = assigned(sandbox, "web")
    wait_for("it is told in an Event", lambda: events_of_the_controller(web) == [1])
    before = read(web)["metadata"]["resourceVersion"]

    lab.fail("controller")
    assigned(sandbox, "after")

    assert read(web)["metadata"]["resourceVersion"] == before
    assert events_of_the_controller(web) == [1]


def test_a_service_that_is_no_load_balancer_any_more_is_told_nothing(sandbox: Sandbox) -> None:
    offer(sandbox, 1)
    web = assigned(sandbox, "web")

    web.patch({"spec": {"type": "ClusterIP"}})
    wait_for("our condition is gone", web.condition, lambda seen: not seen)
    assigned(sandbox, "next")
