"""One family or two: every change between them, and where the addresses of a dual-stack Service come from."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle, addresses_of
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
FROM_POOL = "baremetal-lb.io/from-pool"
OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def offer_entries(sandbox: Sandbox, word: str, *entries: str) -> str:
    """Create a pool of these entries, and an advertisement."""
    name = sandbox.name(word)
    sandbox.create(objects.pool(name, entries))
    sandbox.create(objects.advertisement(name, [name]))
    return name


def origin(service: ServiceHandle) -> str:
    """Read what the Service's annotation tells of its pools."""
    annotations: Object = service.sandbox.read("Service", service.name)["metadata"]["annotations"]
    return str(annotations.get(FROM_POOL, ""))


def states(service: ServiceHandle, since: str) -> list[tuple[Address, ...]]:
    """Tell which addresses its status has shown since that moment."""
    seen = service.sandbox.changes("Service", since)
    return [addresses_of(one) for one in seen if one["metadata"]["name"] == service.name]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_first_address_stays_whatever_becomes_of_the_second(sandbox: Sandbox, client: Vantage, family: str) -> None:
    """SingleStack, PreferDualStack, RequireDualStack and back: not for one moment is it another."""
    sandbox.offer()
    families = [family, OTHER[family]]
    sandbox.request_service("first-comer", ECHO).assigned()
    web = sandbox.request_service("web", ECHO, families=families[:1])
    (first,) = web.assigned(1)
    since = sandbox.moment("Service")
    web.patch({"spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": families}})
    _, second = web.assigned(2)
    web.patch({"spec": {"ipFamilyPolicy": "RequireDualStack"}})
    client.wait_for_pages((first, second))
    web.patch({"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": families[:1]}})
    assert web.assigned(1) == (first,)
    assert set(states(web, since)) == {(first,), (first, second)}
    client.wait_for_pages((first,))
    wait_for(f"nobody announces {second}", partial(client.announcers, second), lambda seen: not seen)


@pytest.mark.parametrize("moving", ["IPv4", "IPv6"])
def test_an_address_stays_when_the_other_one_is_asked_to_move(sandbox: Sandbox, moving: str) -> None:
    sandbox.offer()
    web = sandbox.request_service("web", ECHO)
    ipv4, ipv6 = web.assigned()
    since = sandbox.moment("Service")
    wanted = sandbox.block.ipv4(4) if moving == "IPv4" else sandbox.block.ipv6(4)
    web.patch({"metadata": {"annotations": {"baremetal-lb.io/addresses": str(wanted)}}})
    expected = (wanted, ipv6) if moving == "IPv4" else (ipv4, wanted)
    wait_for(f"it has moved to {wanted}", web.addresses, lambda seen: seen == expected)
    assert set(states(web, since)) == {(ipv4, ipv6), expected}


def test_both_addresses_come_from_one_pool_where_one_has_both(sandbox: Sandbox, client: Vantage) -> None:
    """Although an older pool, which serves those of one family, has IPv4."""
    ipv4, ipv6 = sandbox.block.ranges()
    older = offer_entries(sandbox, "a-older", f"{sandbox.block.ipv4(0)}/32")
    both = offer_entries(sandbox, "both", f"{sandbox.block.ipv4(1)}-{ipv4.rpartition('-')[2]}", ipv6)
    web = sandbox.request_service("web", ECHO)
    assert web.assigned() == (sandbox.block.ipv4(1), sandbox.block.ipv6(0))
    assert origin(web) == both
    plain = sandbox.request_service("plain", ECHO, families=("IPv4",))
    assert plain.assigned(1) == (sandbox.block.ipv4(0),)
    assert origin(plain) == older
    client.wait_for_pages(web.addresses() + plain.addresses())


@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6", "IPv4")])
def test_addresses_come_from_two_pools_where_only_two_can_serve(
    sandbox: Sandbox, client: Vantage, families: tuple[str, str]
) -> None:
    ipv4, ipv6 = sandbox.block.ranges()
    pools = {"IPv4": offer_entries(sandbox, "four", ipv4), "IPv6": offer_entries(sandbox, "six", ipv6)}
    web = sandbox.request_service("web", ECHO, families=families)
    first = {"IPv4": sandbox.block.ipv4(0), "IPv6": sandbox.block.ipv6(0)}
    assert web.assigned() == tuple(first[family] for family in families)
    assert origin(web) == ",".join(pools[family] for family in families)
    client.wait_for_pages(web.addresses())


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_who_prefers_two_is_served_with_one_and_who_requires_two_waits(sandbox: Sandbox, family: str) -> None:
    """Both get the other one as soon as there is one."""
    ipv4, ipv6 = sandbox.block.ranges()
    offer_entries(sandbox, "first", ipv4 if family == "IPv4" else ipv6)
    prefers = sandbox.request_service("prefers", ECHO, ipFamilyPolicy="PreferDualStack")
    requires = sandbox.request_service("requires", ECHO)
    (first,) = prefers.assigned(1)
    condition = prefers.told("Assigned")
    assert condition["status"] == "True"
    assert f"no {OTHER[family]} address" in condition["message"]
    assert f"no {OTHER[family]} address" in requires.refused("NoPoolForFamily")["message"]
    offer_entries(sandbox, "second", ipv6 if family == "IPv4" else ipv4)
    assert first in prefers.assigned()
    requires.assigned()
