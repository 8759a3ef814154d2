"""Which addresses a Service gets, and why one gets none: seen in its status, its condition and its Events."""

from collections.abc import Mapping
from typing import Any

import pytest

from baremetal_lb.addresses import Family, family_of
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}


@pytest.mark.parametrize(
    "families",
    [
        pytest.param(("IPv4", "IPv6"), id="a dual-stack Service gets an address of each family"),
        pytest.param(("IPv6", "IPv4"), id="and the first family's address first"),
        pytest.param(("IPv4",), id="an IPv4 Service gets an IPv4 address"),
        pytest.param(("IPv6",), id="an IPv6 Service gets an IPv6 address"),
    ],
)
def test_families_follow_the_service(sandbox: Sandbox, families: tuple[str, ...]) -> None:
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, families=families)
    assigned = service.assigned(len(families))
    assert [family_of(address).value for address in assigned] == list(families)
    assert set(assigned) <= {sandbox.block.ipv4(0), sandbox.block.ipv6(0)}
    assert wait_for("the condition says so", service.condition)["reason"] == "Assigned"


@pytest.mark.parametrize("family", list(Family))
def test_an_address_can_be_asked_for_in_the_spec(sandbox: Sandbox, family: Family) -> None:
    sandbox.offer()
    wanted = sandbox.block.ipv4(3) if family is Family.IPV4 else sandbox.block.ipv6(3)
    service = sandbox.request_service("web", ECHO, families=(family.value,), loadBalancerIP=str(wanted))
    assert service.assigned(1) == (wanted,)


@pytest.mark.parametrize(
    "annotation", ["baremetal-lb.io/addresses", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"]
)
def test_addresses_can_be_asked_for_by_annotation(sandbox: Sandbox, annotation: str) -> None:
    sandbox.offer()
    wanted = (sandbox.block.ipv4(2), sandbox.block.ipv6(4))
    service = sandbox.request_service("web", ECHO, annotations={annotation: f"{wanted[0]},{wanted[1]}"})
    assert service.assigned() == wanted


@pytest.mark.parametrize("annotation", ["baremetal-lb.io/pool", "metallb.io/address-pool"])
def test_a_pool_can_be_asked_for_by_annotation(sandbox: Sandbox, annotation: str) -> None:
    """Also one that gives nothing by itself."""
    pool = sandbox.offer(autoAssign=False)
    refused = sandbox.request_service("unasked", ECHO)
    served = sandbox.request_service("asked", ECHO, annotations={annotation: pool})
    assert len(served.assigned()) == 2
    refused.refused("NoPoolAutoAssigns")


def test_a_service_of_another_class_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.offer()
    strange = sandbox.request_service("strange", ECHO, loadBalancerClass="example.com/other")
    ours = sandbox.request_service("ours", ECHO, loadBalancerClass="baremetal-lb.io/load-balancer")
    ours.assigned()
    assert strange.addresses() == ()
    assert strange.condition() == {}


def test_a_service_of_another_type_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.offer()
    inner = sandbox.request_service("inner", ECHO, type="ClusterIP", externalTrafficPolicy=None)
    sandbox.request_service("outer", ECHO).assigned()
    assert inner.addresses() == ()
    assert inner.condition() == {}


class TestAPoolThatIsTooSmall:
    """One that waits says why, once, and is served as soon as it can be."""

    def test_the_one_that_waits_says_why(self, sandbox: Sandbox, lab: Lab) -> None:
        sandbox.offer(count=1)
        sandbox.request_service("first", ECHO).assigned()
        second = sandbox.request_service("second", ECHO)
        condition = second.refused("PoolExhausted")
        assert condition["message"]
        event = wait_for("an Event", lambda: second.events("PoolExhausted"))[0]
        assert event["type"] == "Warning"
        stays("one Event, not more", lambda: len(second.events("PoolExhausted")), lambda seen: seen == 1, seconds=2)
        described = lab.kubectl("describe", "service", "-n", sandbox.namespace, second.name)
        assert "PoolExhausted" in described

    def test_it_is_served_when_another_goes(self, sandbox: Sandbox) -> None:
        sandbox.offer(count=1)
        first = sandbox.request_service("first", ECHO)
        addresses = first.assigned()
        second = sandbox.request_service("second", ECHO)
        second.refused("PoolExhausted")
        first.delete()
        assert second.assigned() == addresses
        assert second.condition()["status"] == "True"

    def test_it_is_served_when_the_pool_grows(self, sandbox: Sandbox) -> None:
        pool = sandbox.offer(count=1)
        sandbox.request_service("first", ECHO).assigned()
        second = sandbox.request_service("second", ECHO)
        second.refused("PoolExhausted")
        sandbox.patch("IPAddressPool", pool, {"spec": {"addresses": sandbox.block.ranges(2)}})
        assert second.assigned() == (sandbox.block.ipv4(1), sandbox.block.ipv6(1))

    def test_the_pool_counts_what_it_gave(self, sandbox: Sandbox) -> None:
        pool = sandbox.offer(count=3)
        sandbox.request_service("first", ECHO).assigned()
        sandbox.request_service("second", ECHO, families=("IPv6",)).assigned(1)

        def used() -> Mapping[str, Any]:
            status: dict[str, Any] = sandbox.read("IPAddressPool", pool).get("status", {})
            return status

        wait_for("1 IPv4 and 2 IPv6 addresses are counted", used, lambda seen: _counts(seen) == (1, 2, 2, 1))


def _counts(status: Mapping[str, Any]) -> tuple[int | None, ...]:
    names = ("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6")
    return tuple(status.get(name) for name in names)


def test_a_service_waits_until_there_is_a_pool(sandbox: Sandbox) -> None:
    service = sandbox.request_service("web", ECHO)
    service.refused("NoPools")
    sandbox.offer()
    service.assigned()


def test_a_pool_of_one_family_serves_no_other(sandbox: Sandbox) -> None:
    name = sandbox.name("pool")
    sandbox.create(objects.pool(name, sandbox.block.ranges()[:1]))
    sandbox.request_service("four", ECHO, families=("IPv4",)).assigned(1)
    sandbox.request_service("six", ECHO, families=("IPv6",)).refused("NoPoolForFamily")
