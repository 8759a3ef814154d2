"""What a speaker tells (its Lease, Events, readiness), and how it hands over when it stops on purpose."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address, Family
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for
from baremetal_lb.settings import LEASE_SECONDS, SPEAKER_PORT

ECHO = {"app": "echo"}
HANDOVER_SECONDS = 1.0
"""Far less than it takes to notice a death."""

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


@pytest.mark.parametrize("family", list(Family))
def test_a_speaker_that_stops_on_purpose_hands_over_without_a_gap(
    sandbox: Sandbox, client: Vantage, lab: Lab, family: Family
) -> None:
    sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=(family.value,)).assigned(1)
    wait_for(f"a page from {address}", partial(client.reaches, address))
    holder = _holder(client, address)
    with client.traffic(address) as traffic:
        pod = next(one for one in _speakers(lab) if one["spec"]["nodeName"] == holder)
        lab.kubectl("delete", "pod", "-n", PRODUCT_NAMESPACE, _name(pod), "--wait=false")
        wait_for(
            "the client's kernel knows another node",
            partial(client.neighbour_node, address),
            lambda node: node not in {None, holder},
            within=LEASE_SECONDS - 0.5,
        )
        wait_for(
            f"{holder} has a new speaker",
            lambda: [one["spec"]["nodeName"] for one in _speakers(lab) if _is_ready(one) and _name(one) != _name(pod)],
            lambda nodes: holder in nodes,
        )
        successor = client.holder(address)
        assert successor != holder, "it takes nothing back"
    assert traffic.longest_gap_seconds < HANDOVER_SECONDS


def test_the_lease_of_a_speaker_goes_with_its_node(lab: Lab) -> None:
    for node in lab.topology.nodes:
        lease = lab.get_json(f"{objects.collection('Lease', PRODUCT_NAMESPACE)}/speaker-{node.name}")
        (owner,) = lease["metadata"]["ownerReferences"]
        assert owner["uid"] == lab.get_json(f"/api/v1/nodes/{node.name}")["metadata"]["uid"]
        assert lease["spec"]["holderIdentity"].startswith(f"{node.name}/")


def test_the_user_is_told_who_announces(sandbox: Sandbox, client: Vantage) -> None:
    """One Event for each address, from its holder."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    events = wait_for("an Event for each address", partial(service.events, "Announced"), lambda seen: len(seen) == 2)
    messages = {event["message"] for event in events}
    assert messages == {f"node {_holder(client, address)} announces {address} on eth0" for address in addresses}
    assert {event["type"] for event in events} == {"Normal"}


def test_the_user_is_told_that_there_is_no_endpoint(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    service = sandbox.request_service("web", {"app": "nobody"})
    addresses = service.assigned()
    events = wait_for("an Event for each address", partial(service.events, "NoEndpoint"), lambda seen: len(seen) == 2)
    assert {event["type"] for event in events} == {"Warning"}
    assert not service.events("Announced")
    for address in addresses:
        assert client.announcers(address) == set()


def test_the_user_is_told_that_no_node_has_the_interface(sandbox: Sandbox, client: Vantage) -> None:
    """And when one has, it announces."""
    pool, advertisement = sandbox.name("pool"), sandbox.name("l2")
    sandbox.create(objects.pool(pool, sandbox.block.ranges()))
    sandbox.create(objects.advertisement(advertisement, [pool], interfaces=["eth9"]))
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    event, *_ = wait_for("an Event", partial(service.events, "NoEligibleNode"))
    assert "NoInterface: node1, node2, node3" in event["message"]
    sandbox.patch("L2Advertisement", advertisement, {"spec": {"interfaces": ["eth9", "eth0"]}})
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))


def test_a_speaker_that_is_cut_off_lives_but_is_not_ready(client: Vantage, lab: Lab) -> None:
    """A restart would cost it what it announces, so liveness must not ask for one."""
    node = lab.topology.nodes[0]
    ask = partial(client.fetch, node.addresses[0], SPEAKER_PORT)
    assert ask("/readyz").status == 200
    lab.fail("partition", node.name)
    refusal = wait_for("not ready", partial(ask, "/readyz"), lambda page: page.status == 503)
    assert "Lease" in refusal.body
    assert ask("/healthz").status == 200
    lab.heal("partition", node.name)
    wait_for("ready again", partial(ask, "/readyz"), lambda page: page.status == 200)


def _speakers(lab: Lab) -> list[Object]:
    selector = "labelSelector=app.kubernetes.io/component=speaker"
    pods: list[Object] = lab.get_json(f"{objects.collection('Pod', PRODUCT_NAMESPACE)}?{selector}")["items"]
    return pods


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _holder(client: Vantage, address: Address) -> str:
    (node,) = wait_for(
        f"one node announces {address}", partial(client.announcers, address), lambda seen: len(seen) == 1
    )
    return node
