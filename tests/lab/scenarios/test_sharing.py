"""Several Services on one address: who may, who may not and is told why, and that the client reaches each of them."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.objects import ECHO_PORT
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
KEY = "baremetal-lb.io/sharing-key"
NAMESPACES = "baremetal-lb.io/sharing-namespaces"
ADDRESSES = "baremetal-lb.io/addresses"


def port(number: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"port": number, "protocol": protocol, "targetPort": ECHO_PORT}


def sharing(
    sandbox: Sandbox, word: str, *ports: Mapping[str, Any], selector: Mapping[str, str] | None = None, **options: Any
) -> ServiceHandle:
    """Ask for a Service under the sandbox's key, unless other annotations are given."""
    annotations = {KEY: sandbox.name("key")}
    return sandbox.request_service(word, selector or ECHO, **{"annotations": annotations, "ports": ports, **options})


def annotate(service: ServiceHandle, **annotations: str | None) -> None:
    names = {"key": KEY, "namespaces": NAMESPACES, "addresses": ADDRESSES}
    service.patch({"metadata": {"annotations": {names[word]: value for word, value in annotations.items()}}})


def written(addresses: tuple[Address, ...]) -> str:
    return ",".join(map(str, addresses))


@pytest.fixture
def shop(sandbox: Sandbox) -> ServiceHandle:
    """A Service with port 80/TCP under the sandbox's key, and addresses."""
    sandbox.offer()
    service = sharing(sandbox, "shop", port(80))
    service.assigned()
    return service


@pytest.fixture
def neighbour(lab: Lab, sandbox: Sandbox) -> Iterator[Sandbox]:
    """A corner in another namespace, with an echo of its own."""
    name = sandbox.name("neighbour")
    sandbox.create(objects.namespace(name))
    corner = Sandbox(lab.paths, name, sandbox.number)
    corner.create(objects.echo("neighbour", ECHO))
    yield corner
    corner.close()


class TestTwoServicesOnOneAddress:
    def test_one_port_number_over_tcp_and_udp(self, sandbox: Sandbox, client: Vantage, shop: ServiceHandle) -> None:
        """A second key in MetalLB's words is the same key; one node answers for both."""
        phone = sharing(
            sandbox, "phone", port(80, "UDP"), annotations={"metallb.universe.tf/allow-shared-ip": sandbox.name("key")}
        )
        assert phone.assigned() == shop.addresses()
        client.wait_for_pages(shop.addresses())
        for address in shop.addresses():
            answer = wait_for(f"a datagram from {address}", partial(client.ask_udp, address, 80))
            assert answer["protocol"] == "UDP"
            client.holder(address)

    def test_two_port_numbers_and_one_outlives_the_other(
        self, sandbox: Sandbox, client: Vantage, shop: ServiceHandle
    ) -> None:
        """Also its place on the segment stays; and a third one may have the port that is free again."""
        addresses = shop.addresses()
        phone = sharing(sandbox, "phone", port(81))
        assert phone.assigned() == addresses
        client.wait_for_pages(addresses, 80)
        client.wait_for_pages(addresses, 81)
        holders = [client.holder(address) for address in addresses]
        with client.traffic(addresses[0], 81) as over_ipv4, client.traffic(addresses[1], 81) as over_ipv6:
            shop.delete()
            for address in addresses:
                wait_for(f"no page from {address} port 80", lambda: not client.reaches(address, 80))  # noqa: B023
        assert (over_ipv4.failures, over_ipv6.failures) == ([], [])
        assert phone.addresses() == addresses
        assert [client.holder(address) for address in addresses] == holders
        assert sharing(sandbox, "heir", port(80)).assigned() == addresses

    def test_the_policy_local_with_one_selector(self, sandbox: Sandbox, client: Vantage) -> None:
        sandbox.offer()
        local: dict[str, Any] = {"selector": {"on": "node2"}, "policy": TrafficPolicy.LOCAL}
        shop = sharing(sandbox, "shop", port(80), **local)
        addresses = shop.assigned()
        assert sharing(sandbox, "phone", port(81), **local).assigned() == addresses
        for address in addresses:
            wait_for(f"node2 announces {address}", partial(client.announcers, address), lambda seen: seen == {"node2"})
        client.wait_for_pages(addresses, 80)
        client.wait_for_pages(addresses, 81)


LOCAL = {"policy": TrafficPolicy.LOCAL, "selector": {"on": "node1"}}


@pytest.mark.usefixtures("webhook_away")
@pytest.mark.parametrize(
    ("first", "second", "reason", "words"),
    [
        pytest.param({}, {"port": port(80)}, "SharingRefused", "both have port 80/TCP", id="one port"),
        pytest.param({}, {"key": "other"}, "SharingRefused", "differ", id="two keys"),
        pytest.param({}, {"key": ""}, "AddressInUse", "let both share it", id="only the first has a key"),
        pytest.param({"key": ""}, {}, "SharingRefused", "both need the same", id="only the second has a key"),
        pytest.param(LOCAL, {}, "SharingRefused", "one has externalTrafficPolicy Local", id="Local and Cluster"),
        pytest.param(
            LOCAL,
            {**LOCAL, "selector": {"on": "node3"}},
            "SharingRefused",
            "both need the same selector",
            id="Local with two selectors",
        ),
        pytest.param(
            {**LOCAL, "selector": {}},
            {**LOCAL, "selector": {}},
            "SharingRefused",
            "both need the same selector",
            id="Local without a selector",
        ),
    ],
)
def test_two_services_do_not_share_where(
    sandbox: Sandbox, first: dict[str, Any], second: dict[str, Any], reason: str, words: str
) -> None:
    """The one who asks for the address is told which Service has it and why; the one who does not gets another."""
    sandbox.offer()
    holder = _request(sandbox, "holder", {"port": port(80), **first})
    addresses = holder.assigned()
    asker = _request(sandbox, "asker", {"port": port(81), **second}, **{ADDRESSES: written(addresses)})
    message = asker.refused(reason)["message"]
    assert words in message
    assert f"{sandbox.namespace}/{holder.name}" in message
    annotate(asker, addresses=None)
    assert not set(asker.assigned()) & set(addresses)
    assert holder.addresses() == addresses


def _request(sandbox: Sandbox, word: str, options: Mapping[str, Any], **annotations: str) -> ServiceHandle:
    own = {"key": "one", "selector": ECHO, "policy": TrafficPolicy.CLUSTER, **options}
    return sandbox.request_service(
        word, own["selector"], ports=[own["port"]], policy=own["policy"], annotations={KEY: own["key"], **annotations}
    )


@pytest.mark.usefixtures("webhook_away")
def test_other_namespaces_share_when_both_consent(
    sandbox: Sandbox, neighbour: Sandbox, client: Vantage, shop: ServiceHandle
) -> None:
    """Neither one's consent is enough; the address is given as soon as the other consents, too."""
    addresses = shop.addresses()
    guest = sharing(neighbour, "guest", port(81), annotations={KEY: sandbox.name("key"), ADDRESSES: written(addresses)})
    assert "each needs the other's namespace" in guest.refused("SharingRefused")["message"]
    annotate(shop, namespaces=f"elsewhere, {neighbour.namespace}")
    stranger = sharing(neighbour, "stranger", port(82), annotations={KEY: sandbox.name("key")})
    assert not set(stranger.assigned()) & set(addresses), "the consent of one side is not enough"
    guest.refused("SharingRefused")
    annotate(guest, namespaces="*")
    assert guest.assigned() == addresses
    client.wait_for_pages(addresses, 80)
    client.wait_for_pages(addresses, 81)
    page = client.fetch(addresses[1], 81).json
    assert page["pod"].startswith("neighbour")


@pytest.mark.parametrize("quitter", ["the older", "the younger"])
def test_a_service_that_shares_no_more_gets_another_address(
    sandbox: Sandbox, client: Vantage, shop: ServiceHandle, quitter: str
) -> None:
    """The one that drops its key goes, whatever its age, and is told; the other stays."""
    phone = sharing(sandbox, "phone", port(81))
    addresses = phone.assigned()
    assert addresses == shop.addresses()
    goes, stays, number = (shop, phone, 80) if quitter == "the older" else (phone, shop, 81)
    annotate(goes, key=None)
    found = wait_for("it has others", goes.addresses, lambda seen: len(seen) == 2 and not set(seen) & set(addresses))
    (event,) = wait_for("an Event", lambda: goes.events("AddressInUse"))
    assert event["type"] == "Warning"
    assert stays.name in event["message"]
    assert stays.addresses() == addresses
    client.wait_for_pages(found, number)
    client.wait_for_pages(addresses, 161 - number)
