"""What a Service may ask for by itself: several addresses, in our words and in MetalLB's; and what is no request."""

from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Block, Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
ADDRESSES = "baremetal-lb.io/addresses"


def several(block: Block, families: tuple[str, ...]) -> tuple[Address, ...]:
    """Three of each family, with gaps."""
    ipv4 = tuple(block.ipv4(place) for place in (4, 0, 2))
    ipv6 = tuple(block.ipv6(place) for place in (1, 3, 4))
    return (ipv4 if "IPv4" in families else ()) + (ipv6 if "IPv6" in families else ())


def joined(addresses: tuple[Address, ...]) -> str:
    return ", ".join(map(str, addresses))


@pytest.mark.parametrize(
    ("families", "annotation"),
    [
        pytest.param(("IPv4",), ADDRESSES, id="three of IPv4"),
        pytest.param(("IPv6",), "metallb.io/loadBalancerIPs", id="three of IPv6, in MetalLB's words"),
        pytest.param(("IPv4", "IPv6"), "metallb.universe.tf/loadBalancerIPs", id="three of each, in its old words"),
    ],
)
def test_a_service_is_served_at_every_address_that_it_asks_for(
    sandbox: Sandbox, client: Vantage, families: tuple[str, ...], annotation: str
) -> None:
    sandbox.offer()
    wanted = several(sandbox.block, families)
    service = sandbox.request_service("web", ECHO, families=families, annotations={annotation: joined(wanted)})
    assert service.assigned(len(wanted)) == wanted
    client.wait_for_pages(wanted)


def test_a_service_gives_back_what_it_asks_for_no_more(sandbox: Sandbox, client: Vantage) -> None:
    """The others stay, and the next Service gets what it gave back."""
    sandbox.offer()
    wanted = several(sandbox.block, ("IPv4", "IPv6"))
    web = sandbox.request_service("web", ECHO, annotations={ADDRESSES: joined(wanted)})
    web.assigned(6)
    left = tuple(one for one in wanted if one not in {sandbox.block.ipv4(0), sandbox.block.ipv6(1)})
    web.patch({"metadata": {"annotations": {ADDRESSES: joined(left)}}})
    assert web.assigned(4) == left
    heir = sandbox.request_service("heir", ECHO)
    assert heir.assigned() == (sandbox.block.ipv4(0), sandbox.block.ipv6(0))
    client.wait_for_pages(left + heir.addresses())


def test_the_field_and_the_annotation_may_agree(sandbox: Sandbox) -> None:
    sandbox.offer()
    wanted = (sandbox.block.ipv4(3), sandbox.block.ipv6(3))
    service = sandbox.request_service(
        "web", ECHO, annotations={ADDRESSES: joined(wanted)}, loadBalancerIP=str(wanted[0])
    )
    assert service.assigned() == wanted


def test_an_address_and_its_pool_may_be_named_together(sandbox: Sandbox) -> None:
    """In words of three kinds."""
    pool = sandbox.offer()
    named = {
        "metallb.universe.tf/address-pool": pool,
        "metallb.io/address-pool": f" {pool}",
        "metallb.io/loadBalancerIPs": joined((sandbox.block.ipv4(1), sandbox.block.ipv6(1))),
        ADDRESSES: joined((sandbox.block.ipv6(1), sandbox.block.ipv4(1))),
    }
    service = sandbox.request_service("web", ECHO, annotations=named)
    assert set(service.assigned()) == {sandbox.block.ipv4(1), sandbox.block.ipv6(1)}


@pytest.mark.parametrize(
    ("annotations", "spec", "reason", "words"),
    [
        pytest.param(
            {"baremetal-lb.io/pool": "gold", "metallb.universe.tf/address-pool": "silver"},
            {},
            "ContradictoryRequest",
            "ask for different things",
            id="two pools",
        ),
        pytest.param(
            {ADDRESSES: "{ipv4}", "metallb.io/loadBalancerIPs": "{ipv6}"},
            {},
            "ContradictoryRequest",
            "remove one of the two",
            id="two lists of addresses",
        ),
        pytest.param(
            {ADDRESSES: "{ipv4}"},
            {"loadBalancerIP": "192.0.2.250"},
            "ContradictoryRequest",
            "spec.loadBalancerIP asks for 192.0.2.250",
            id="a field and an annotation",
        ),
        pytest.param(
            {ADDRESSES: "{ipv6}", "baremetal-lb.io/pool": "{empty}"},
            {},
            "ContradictoryRequest",
            "but the Service names pool",
            id="an address of another pool",
        ),
        pytest.param(
            {ADDRESSES: "{ipv4}, {ipv6}"},
            {"families": ("IPv6",)},
            "FamilyMismatch",
            "the Service has IPv6 only",
            id="an address of a family that it does not have",
        ),
        pytest.param(
            {ADDRESSES: ",".join(f"2001:db8::{number:x}" for number in range(17))},
            {},
            "InvalidRequest",
            "no more than 16",
            id="too many addresses",
        ),
        pytest.param(
            {ADDRESSES: "{ipv4}, {ipv6}, 198.51.100.7"},
            {},
            "AddressNotInAnyPool",
            "198.51.100.7 is in no pool",
            id="one of several that nobody can give",
        ),
    ],
)
def test_a_service_gets_nothing_when_it_asks_for(
    sandbox: Sandbox, annotations: dict[str, str], spec: dict[str, Any], reason: str, words: str
) -> None:
    """The reason says what clashes, the Event says the same; and it is served when the request is gone."""
    sandbox.offer()
    empty = sandbox.name("empty")
    facts = {"ipv4": sandbox.block.ipv4(0), "ipv6": sandbox.block.ipv6(0), "empty": empty}
    asked = {key: value.format(**facts) for key, value in annotations.items()}
    service = sandbox.request_service("web", ECHO, annotations=asked, **spec)
    condition = service.refused(reason)
    assert words in condition["message"]
    (event,) = wait_for("an Event", lambda: service.events(reason))
    assert (event["type"], event["message"]) == ("Warning", condition["message"])
    assert service.addresses() == ()
    service.patch({"metadata": {"annotations": dict.fromkeys(annotations)}, "spec": {"loadBalancerIP": None}})
    service.assigned(len(spec.get("families", "46")))


def test_kubectl_can_wait_for_the_address(sandbox: Sandbox, lab: Lab) -> None:
    service = sandbox.request_service("web", ECHO)
    service.refused("NoPools")
    sandbox.offer()
    waiting = ("wait", "--for=condition=baremetal-lb.io/AddressAssigned", f"service/{service.name}", "--timeout=20s")
    lab.kubectl(*waiting, f"--namespace={sandbox.namespace}")
    assert len(service.addresses()) == 2
