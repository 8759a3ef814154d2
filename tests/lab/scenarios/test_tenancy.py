"""Whose Services may use which pool, and how much of it: namespaces, labels, exclusive pools, quotas, classes."""

from collections.abc import Iterator
from typing import Any

import pytest

from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
ADDRESSES = "baremetal-lb.io/addresses"
POOL = "baremetal-lb.io/pool"
QUOTA = "baremetal-lb.io/address-quota"
GOLD = "example.com/gold"


def offer_one(sandbox: Sandbox, word: str, place: int, **spec: Any) -> str:
    """Create a pool of the address of each family at a place of the block, and an advertisement."""
    name = sandbox.name(word)
    entries = [f"{sandbox.block.ipv4(place)}/32", f"{sandbox.block.ipv6(place)}/128"]
    sandbox.create(objects.pool(name, entries, **spec))
    sandbox.create(objects.advertisement(name, [name]))
    return name


def has_both_at(service: ServiceHandle, sandbox: Sandbox, place: int) -> bool:
    return service.assigned() == (sandbox.block.ipv4(place), sandbox.block.ipv6(place))


@pytest.fixture
def tenant(lab: Lab, sandbox: Sandbox) -> Iterator[Sandbox]:
    """A corner in a namespace of its own, with the label `team: a`."""
    name = sandbox.name("tenant")
    sandbox.create(objects.namespace(name, labels={"team": "a"}))
    corner = Sandbox(lab.paths, name, sandbox.number)
    yield corner
    corner.close()


def test_pools_are_tried_by_priority(sandbox: Sandbox) -> None:
    """Neither by age nor by name: the lower number first, 0 after all others, and what is for everyone last."""
    offer_one(sandbox, "a-for-all", 3)
    offer_one(sandbox, "b-last", 2, serviceAllocation={"priority": 0})
    offer_one(sandbox, "c-second", 1, serviceAllocation={"priority": 20})
    first = offer_one(sandbox, "d-first", 0, serviceAllocation={"priority": 10})
    sandbox.judged("IPAddressPool", first, "Valid")
    for place in range(4):
        assert has_both_at(sandbox.request_service(f"web{place}", ECHO), sandbox, place)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"namespaces": ["{tenant}", "elsewhere"]}, id="its name is on the list"),
        pytest.param({"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}, id="a selector matches its labels"),
        pytest.param(
            {
                "namespaces": ["elsewhere"],
                "namespaceSelectors": [
                    {"matchLabels": {"team": "z"}},
                    {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]},
                ],
            },
            id="one of two selectors matches, although it is not on the list",
        ),
    ],
)
def test_a_namespace_may_use_a_pool_where(sandbox: Sandbox, tenant: Sandbox, rules: dict[str, Any]) -> None:
    """And no other may: not by itself, and neither by the pool's name nor by the address."""
    if "{tenant}" in (names := rules.get("namespaces", [])):
        rules = {**rules, "namespaces": [tenant.namespace, *names[1:]]}
    pool = sandbox.offer(serviceAllocation=rules)
    tenant.request_service("web", ECHO).assigned()
    wanted = f"{sandbox.block.ipv4(4)},{sandbox.block.ipv6(4)}"
    for word, annotations in (("unasked", {}), ("by-pool", {POOL: pool}), ("by-address", {ADDRESSES: wanted})):
        stranger = sandbox.request_service(word, ECHO, annotations=annotations)
        message = stranger.refused("PoolNotPermitted")["message"]
        assert f"pool {pool} does not admit namespace {sandbox.namespace}" in message


def test_services_may_use_a_pool_by_their_labels(sandbox: Sandbox, tenant: Sandbox) -> None:
    """Any of the selectors, and the namespace has to be admitted as well."""
    selectors = [{"matchLabels": {"tier": "front"}}, {"matchLabels": {"tier": "edge"}}]
    sandbox.offer(serviceAllocation={"namespaces": [sandbox.namespace], "serviceSelectors": selectors})
    sandbox.request_service("front", ECHO, labels={"tier": "front"}).assigned()
    sandbox.request_service("edge", ECHO, labels={"tier": "edge", "x": "y"}).assigned()
    back = sandbox.request_service("back", ECHO, labels={"tier": "back"})
    assert "does not admit Services with such labels" in back.refused("PoolNotPermitted")["message"]
    tenant.request_service("front", ECHO, labels={"tier": "front"}).refused("PoolNotPermitted")
    back.patch({"metadata": {"labels": {"tier": "edge"}}})
    back.assigned()


def test_a_selector_that_matches_nobody_admits_nobody(sandbox: Sandbox, tenant: Sandbox) -> None:
    sandbox.offer(serviceAllocation={"namespaceSelectors": [{"matchLabels": {"team": "nobody"}}]})
    for corner in (sandbox, tenant):
        corner.request_service("web", ECHO).refused("PoolNotPermitted")


def test_an_exclusive_pool_binds_those_whom_it_admits(sandbox: Sandbox) -> None:
    """When it is full they wait, although another pool would have them; the others never see it."""
    gold = offer_one(
        sandbox,
        "gold",
        0,
        serviceAllocation={"serviceSelectors": [{"matchLabels": {"tier": "gold"}}], "exclusive": True},
    )
    offer_one(sandbox, "plain", 1)
    labels = {"tier": "gold"}
    first = sandbox.request_service("first", ECHO, labels=labels)
    assert has_both_at(first, sandbox, 0)
    second = sandbox.request_service("second", ECHO, labels=labels)
    assert f"pool {gold} has 0 of 1 IPv4 addresses left" in second.refused("PoolExhausted")["message"]
    wanted = f"{sandbox.block.ipv4(1)},{sandbox.block.ipv6(1)}"
    asker = sandbox.request_service("asker", ECHO, labels=labels, annotations={ADDRESSES: wanted})
    assert f"the Service is bound to pool {gold}" in asker.refused("NotExclusive")["message"]
    assert has_both_at(sandbox.request_service("other", ECHO), sandbox, 1)
    first.delete()
    assert has_both_at(second, sandbox, 0)


def test_a_namespace_that_is_relabelled_keeps_what_it_has(sandbox: Sandbox, tenant: Sandbox) -> None:
    """Its Services are told, and get nothing more until the label is back."""
    pool = sandbox.offer(serviceAllocation={"namespaceSelectors": [{"matchLabels": {"team": "a"}}]})
    web = tenant.request_service("web", ECHO)
    addresses = web.assigned()
    sandbox.patch("Namespace", tenant.namespace, {"metadata": {"labels": {"team": "b"}}})
    condition = web.told("AddressKept")
    assert condition["status"] == "True"
    assert f"pool {pool} does not admit namespace {tenant.namespace}" in condition["message"]
    wait_for("an Event", lambda: web.events("AddressKept"))
    late = tenant.request_service("late", ECHO)
    late.refused("PoolNotPermitted")
    sandbox.patch("Namespace", tenant.namespace, {"metadata": {"labels": {"team": "a"}}})
    late.assigned()
    web.told("Assigned")
    assert web.addresses() == addresses


class TestAQuota:
    """Of each family, for all Services of one namespace; what is given back can be had again."""

    def test_of_one_pool(self, sandbox: Sandbox, tenant: Sandbox) -> None:
        sandbox.offer(serviceAllocation={"namespaceQuota": 1})
        first = sandbox.request_service("first", ECHO)
        addresses = first.assigned()
        second = sandbox.request_service("second", ECHO)
        message = second.refused("QuotaExceeded")["message"]
        assert f"namespace {sandbox.namespace} has 1 of the 1 IPv4 addresses that it may have of pool" in message
        tenant.request_service("other", ECHO).assigned()
        first.delete()
        assert second.assigned() == addresses

    def test_over_all_pools(self, sandbox: Sandbox, tenant: Sandbox) -> None:
        """It is an annotation of the Namespace; one that can't be read stops everything, and says so."""
        offer_one(sandbox, "one", 0)
        offer_one(sandbox, "other", 1)
        _set_quota(sandbox, tenant, "1")
        first = tenant.request_service("first", ECHO, families=("IPv6",))
        first.assigned(1)
        second = tenant.request_service("second", ECHO)
        message = second.refused("QuotaExceeded")["message"]
        assert f"namespace {tenant.namespace} has 1 of the 1 IPv6 addresses that it may have in all" in message
        _set_quota(sandbox, tenant, "many")
        assert (
            "no number ('many')"
            in wait_for("the quota is unreadable", second.condition, lambda seen: "no number" in seen["message"])[
                "message"
            ]
        )
        _set_quota(sandbox, tenant, "2")
        second.assigned()
        assert len(first.addresses()) == 1


def _set_quota(sandbox: Sandbox, tenant: Sandbox, quota: str) -> None:
    sandbox.patch("Namespace", tenant.namespace, {"metadata": {"annotations": {QUOTA: quota}}})


class TestALoadBalancerClass:
    """One that only a pool names is ours as long as a pool names it, and for those who have an address already."""

    def test_is_served_announced_and_reached(self, sandbox: Sandbox, client: Vantage) -> None:
        """Also a Service that was there before the pool. One without a class gets nothing of it."""
        early = sandbox.request_service("early", ECHO, loadBalancerClass=GOLD)
        pool = sandbox.offer(loadBalancerClasses=[GOLD])
        late = sandbox.request_service("late", ECHO, loadBalancerClass=GOLD)
        plain = sandbox.request_service("plain", ECHO)
        strange = sandbox.request_service("strange", ECHO, loadBalancerClass="example.com/silver")
        client.wait_for_pages(early.assigned() + late.assigned())
        assert f"pool {pool} does not serve" in plain.refused("PoolOfOtherClass")["message"]
        assert (strange.addresses(), strange.condition()) == ((), {})

    def test_that_no_pool_serves_any_more_keeps_its_addresses(self, sandbox: Sandbox, client: Vantage) -> None:
        pool = sandbox.offer(loadBalancerClasses=[GOLD, "baremetal-lb.io/load-balancer"])
        web = sandbox.request_service("web", ECHO, loadBalancerClass=GOLD)
        plain = sandbox.request_service("plain", ECHO)
        addresses = web.assigned()
        plain.assigned()
        sandbox.patch("IPAddressPool", pool, {"spec": {"loadBalancerClasses": []}})
        assert "does not serve the Service's loadBalancerClass" in web.told("AddressKept")["message"]
        assert web.addresses() == addresses
        client.wait_for_pages(addresses + plain.addresses())
