"""A Service comes, changes and goes: its addresses are served exactly as long as it wants them."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}


@pytest.fixture
def web(sandbox: Sandbox, client: Vantage) -> ServiceHandle:
    """A dual-stack Service that the client is served by."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    _wait_until_served(client, service.assigned())
    return service


def test_a_deleted_service_does_not_answer(client: Vantage, web: ServiceHandle) -> None:
    addresses = web.addresses()
    web.delete()
    _wait_until_silent(client, addresses)
    for address in addresses:
        client.forget(address)
        assert not client.reaches(address)


def test_a_service_that_is_created_again_is_served_again(sandbox: Sandbox, client: Vantage, web: ServiceHandle) -> None:
    """At the same addresses, for they are the first free ones."""
    addresses = web.addresses()
    web.delete()
    wait_for("it is gone", lambda: not sandbox.exists("Service", web.name))
    again = sandbox.request_service("web", ECHO)
    assert again.assigned() == addresses
    _wait_until_served(client, addresses)


def test_a_service_that_becomes_internal_gives_its_addresses_back(
    sandbox: Sandbox, client: Vantage, web: ServiceHandle
) -> None:
    addresses = web.addresses()
    web.patch({"spec": {"type": "ClusterIP", "externalTrafficPolicy": None, "allocateLoadBalancerNodePorts": None}})
    _wait_until_silent(client, addresses)
    wait_for("its condition is taken back", web.condition, lambda seen: seen == {})
    assert web.addresses() == ()
    assert sandbox.request_service("heir", ECHO).assigned() == addresses
    web.patch({"spec": {"type": "LoadBalancer"}})
    _wait_until_served(client, web.assigned())


def test_a_service_of_one_family_gets_the_other_one_too(sandbox: Sandbox, client: Vantage) -> None:
    """And keeps the address it had."""
    sandbox.offer()
    web = sandbox.request_service("web", ECHO, families=("IPv4",))
    (first,) = web.assigned(1)
    web.patch({"spec": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}})
    addresses = web.assigned(2)
    assert addresses[0] == first
    _wait_until_served(client, addresses)
    web.patch({"spec": {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}})
    assert web.assigned(1) == (first,)
    _wait_until_silent(client, addresses[1:])


def test_a_service_that_asks_for_another_address_moves_to_it(
    sandbox: Sandbox, client: Vantage, web: ServiceHandle
) -> None:
    old = web.addresses()
    new = (sandbox.block.ipv4(4), sandbox.block.ipv6(4))
    web.patch({"metadata": {"annotations": {"baremetal-lb.io/addresses": f"{new[0]},{new[1]}"}}})
    wait_for("it has the new addresses", web.addresses, lambda seen: seen == new)
    _wait_until_served(client, new)
    _wait_until_silent(client, old)


def test_a_service_changes_its_policy_and_back(client: Vantage, web: ServiceHandle) -> None:
    """Local with Pods on node 2 only is announced there; Cluster goes on."""
    addresses = web.addresses()
    web.patch({"spec": {"externalTrafficPolicy": TrafficPolicy.LOCAL.value, "selector": {"app": None, "on": "node2"}}})
    for address in addresses:
        wait_for(f"node2 announces {address}", partial(client.announcers, address), lambda seen: seen == {"node2"})
    web.patch({"spec": {"externalTrafficPolicy": TrafficPolicy.CLUSTER.value, "selector": {"on": None, "app": "echo"}}})
    _wait_until_served(client, addresses)
    assert web.addresses() == addresses


def _wait_until_served(client: Vantage, addresses: tuple[Address, ...]) -> None:
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))


def _wait_until_silent(client: Vantage, addresses: tuple[Address, ...]) -> None:
    for address in addresses:
        wait_for(f"nobody announces {address}", partial(client.announcers, address), lambda seen: not seen)
