"""What users get wrong: each fault is told where they look, and harms nobody else."""

from functools import partial

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.lab import objects
from baremetal_lb.lab.api import RequestError
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}


@pytest.fixture
def bystander(sandbox: Sandbox, client: Vantage) -> ServiceHandle:
    """A Service that is served, and has to stay so."""
    sandbox.offer()
    service = sandbox.request_service("bystander", ECHO)
    for address in service.assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
    return service


def assert_unharmed(bystander: ServiceHandle, client: Vantage) -> None:
    addresses = bystander.addresses()
    assert len(addresses) == 2
    for address in addresses:
        client.forget(address)
        wait_for(f"a page from {address}", partial(client.reaches, address))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param("192.0.2.20-192.0.2.10", "starts after its end", id="an IPv4 range with its ends swapped"),
        pytest.param("2001:db8::20-2001:db8::10", "starts after its end", id="an IPv6 range with its ends swapped"),
        pytest.param("192.0.2.1-2001:db8::1", "mixes IPv4 and IPv6", id="a range of two families"),
        pytest.param("192.0.2.0/33", "not a CIDR", id="an IPv4 prefix that is too long"),
        pytest.param("2001:db8::/129", "not a CIDR", id="an IPv6 prefix that is too long"),
        pytest.param("192.0.2.10/24", "has host bits set", id="an IPv4 CIDR with host bits"),
        pytest.param("2001:db8::1/64", "has host bits set", id="an IPv6 CIDR with host bits"),
        pytest.param("192.0.2.10", "single address", id="a bare IPv4 address"),
        pytest.param("2001:db8::1", "single address", id="a bare IPv6 address"),
        pytest.param("192.0.2.256-192.0.2.300", "not a range of two addresses", id="no addresses"),
        pytest.param("all of them", "neither a CIDR nor a range", id="words"),
        pytest.param("", "neither a CIDR nor a range", id="nothing"),
    ],
)
def test_the_api_server_refuses_a_pool_with(sandbox: Sandbox, entry: str, words: str) -> None:
    with pytest.raises(RequestError) as refusal:
        sandbox.create(objects.pool(sandbox.name("bad"), [entry]))
    assert refusal.value.status == 422
    assert words in str(refusal.value)


def test_the_api_server_refuses_a_pool_without_addresses(sandbox: Sandbox) -> None:
    with pytest.raises(RequestError, match="422"):
        sandbox.create(objects.pool(sandbox.name("bad"), []))


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        pytest.param("not an address", "InvalidRequest", id="words for an address"),
        pytest.param("192.0.2.999", "InvalidRequest", id="an impossible IPv4 address"),
        pytest.param("2001:db8::g", "InvalidRequest", id="an impossible IPv6 address"),
        pytest.param("198.51.100.1", "AddressNotInAnyPool", id="an IPv4 address outside of every pool"),
        pytest.param("2001:db8:ffff::1", "AddressNotInAnyPool", id="an IPv6 address outside of every pool"),
    ],
)
def test_a_service_is_told_about(
    sandbox: Sandbox, client: Vantage, lab: Lab, bystander: ServiceHandle, addresses: str, reason: str
) -> None:
    asker = sandbox.request_service("asker", ECHO, annotations={"baremetal-lb.io/addresses": addresses})
    condition = asker.refused(reason)
    wait_for("an Event", partial(asker.events, reason))
    described = lab.kubectl("describe", "service", "-n", sandbox.namespace, asker.name)
    assert reason in described
    assert condition["message"][:40] in described
    assert asker.addresses() == ()
    assert_unharmed(bystander, client)
    asker.patch({"metadata": {"annotations": {"baremetal-lb.io/addresses": None}}})
    asker.assigned()


@pytest.mark.usefixtures("webhook_away")
@pytest.mark.parametrize("family", list(Family))
def test_a_service_that_asks_for_an_address_of_another_is_refused(
    sandbox: Sandbox, client: Vantage, bystander: ServiceHandle, family: Family
) -> None:
    """Until the other one goes."""
    taken = bystander.addresses()[0 if family is Family.IPV4 else 1]
    asker = sandbox.request_service("asker", ECHO, families=(family.value,), loadBalancerIP=str(taken))
    assert bystander.name in asker.refused("AddressInUse")["message"]
    assert_unharmed(bystander, client)
    bystander.delete()
    assert asker.assigned(1) == (taken,)


def test_a_request_that_contradicts_itself_is_refused(sandbox: Sandbox) -> None:
    sandbox.offer()
    annotations = {"baremetal-lb.io/addresses": str(sandbox.block.ipv4(2))}
    wrong_field = {"loadBalancerIP": str(sandbox.block.ipv4(1))}
    sandbox.request_service("torn", ECHO, annotations=annotations, **wrong_field).refused("ContradictoryRequest")
    sandbox.request_service("wrong", ECHO, families=("IPv6",), loadBalancerIP=str(sandbox.block.ipv4(1))).refused(
        "FamilyMismatch"
    )
    sandbox.request_service("lost", ECHO, annotations={"baremetal-lb.io/pool": "atlantis"}).refused("PoolNotFound")


def test_a_bad_wish_does_not_cost_a_service_its_address(client: Vantage, bystander: ServiceHandle) -> None:
    """It keeps what it has, and is told what is wrong."""
    addresses = bystander.addresses()
    bystander.patch({"metadata": {"annotations": {"baremetal-lb.io/addresses": "garbage"}}})
    wait_for("the user is told", partial(bystander.events, "AddressKept"))
    assert bystander.condition()["status"] == "True"
    assert "garbage" in bystander.condition()["message"]
    assert bystander.addresses() == addresses
    assert_unharmed(bystander, client)


@pytest.mark.usefixtures("webhook_away")
def test_the_newer_of_two_pools_that_overlap_is_told_so(
    sandbox: Sandbox, client: Vantage, bystander: ServiceHandle, lab: Lab
) -> None:
    """The older one works on; the newer one works when the overlap is gone."""
    newer = sandbox.name("newer")
    sandbox.create(objects.pool(newer, sandbox.block.ranges(2)))
    condition = sandbox.judged("IPAddressPool", newer, "Conflict")
    assert condition["status"] == "False"
    assert sandbox.name("pool") in condition["message"]
    assert "Conflict" in lab.kubectl("describe", "ipaddresspool", newer)
    sandbox.request_service("other", ECHO).assigned()
    assert_unharmed(bystander, client)
    apart = {"spec": {"addresses": ["198.51.100.0/28", "2001:db8:100::/124"]}}
    sandbox.patch("IPAddressPool", newer, apart)
    sandbox.judged("IPAddressPool", newer, "Valid")


def test_an_advertisement_of_an_unknown_pool_is_told_so(
    sandbox: Sandbox, client: Vantage, bystander: ServiceHandle, lab: Lab
) -> None:
    """What it says of pools that are there counts."""
    name = sandbox.name("mistaken")
    sandbox.create(objects.advertisement(name, [sandbox.name("pool"), "atlantis"]))
    assert "atlantis" in sandbox.judged("L2Advertisement", name, "UnknownPool")["message"]
    assert "UnknownPool" in lab.kubectl("describe", "l2advertisement", name)
    sandbox.delete("L2Advertisement", sandbox.name("pool"))
    assert_unharmed(bystander, client)


class TestAPoolDeletedWhileUsed:
    """It drains: who has an address keeps it, nobody gets a new one, and the last one out takes the pool along."""

    def test_it_goes_with_its_last_service(self, sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
        pool = sandbox.offer()
        web = sandbox.request_service("web", ECHO)
        for address in web.assigned():
            wait_for(f"a page from {address}", partial(client.reaches, address))
        wait_for("the pool is held", lambda: sandbox.read("IPAddressPool", pool)["metadata"].get("finalizers"))
        lab.kubectl("delete", "ipaddresspool", pool, "--wait=false")
        late = sandbox.request_service("late", ECHO)
        late.refused("PoolBeingDeleted")
        assert sandbox.judged("IPAddressPool", pool, "PoolBeingDeleted")["message"]
        assert_unharmed(web, client)
        assert "PoolBeingDeleted" in lab.kubectl("describe", "ipaddresspool", pool)
        web.delete()
        wait_for("the pool is gone", lambda: not sandbox.exists("IPAddressPool", pool))

    def test_an_unused_one_goes_at_once(self, sandbox: Sandbox, lab: Lab) -> None:
        pool = sandbox.offer()
        sandbox.judged("IPAddressPool", pool, "Valid")
        lab.kubectl("delete", "ipaddresspool", pool, "--timeout=10s")
        assert not sandbox.exists("IPAddressPool", pool)

    @pytest.mark.usefixtures("webhook_away")
    def test_removing_an_address_in_use_takes_it_from_nobody(self, sandbox: Sandbox, bystander: ServiceHandle) -> None:
        before = bystander.addresses()
        shrunk = [f"{sandbox.block.ipv4(3)}/32", f"{sandbox.block.ipv6(3)}/128"]
        sandbox.patch("IPAddressPool", sandbox.name("pool"), {"spec": {"addresses": shrunk}})
        wait_for("the user is told", partial(bystander.events, "AddressKept"))
        assert bystander.addresses() == before
        assert sandbox.request_service("next", ECHO).assigned() == (sandbox.block.ipv4(3), sandbox.block.ipv6(3))
