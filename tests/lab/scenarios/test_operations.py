"""What an operator relies on: metrics and health that tell the truth, and rights no wider than the work."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for
from baremetal_lb.settings import CONTROLLER_PORT, SPEAKER_PORT

ECHO = {"app": "echo"}
ANNOUNCED = "baremetal_lb_speaker_announced"


@pytest.fixture
def control_plane(lab: Lab) -> Vantage:
    """A host that reaches the Pods."""
    return Vantage(lab.paths, lab.topology, "cp")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_speaker_says_that_it_is_well(client: Vantage, lab: Lab, path: str) -> None:
    for node in lab.topology.nodes:
        for address in node.addresses:
            assert client.fetch(address, SPEAKER_PORT, path).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_controller_says_that_it_is_well(control_plane: Vantage, lab: Lab, path: str) -> None:
    for address in _controller_addresses(lab):
        assert control_plane.fetch(parse_address(address), CONTROLLER_PORT, path).status == 200


def test_the_speakers_count_what_the_client_sees(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    """Each node's gauge is the number of addresses at which the client finds that node."""
    sandbox.offer()
    services = [sandbox.request_service(f"web{number}", ECHO) for number in range(4)]
    addresses = [address for service in services for address in service.assigned()]
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    found = [client.announcers(address) for address in addresses]
    for node in lab.topology.nodes:
        count = sum(node.name in nodes for nodes in found)
        wait_for(
            f"{node.name} counts {count} announced addresses",
            partial(_value, client, node.addresses[0], SPEAKER_PORT, ANNOUNCED),
            lambda seen: seen == count,  # noqa: B023 - called at once
        )


def test_the_controller_counts_what_a_pool_gave(sandbox: Sandbox, control_plane: Vantage, lab: Lab) -> None:
    pool = sandbox.offer(count=3)
    sandbox.request_service("web", ECHO).assigned()
    for family in ("IPv4", "IPv6"):
        labels = f'{{family="{family}",pool="{pool}"}}'
        for metric, expected in (
            ("baremetal_lb_pool_addresses", 3.0),
            ("baremetal_lb_pool_addresses_assigned", 1.0),
            ("baremetal_lb_pool_addresses_available", 2.0),
        ):
            wait_for(
                f"{metric}{labels} is {expected}",
                partial(_controller_value, control_plane, lab, metric + labels),
                lambda seen: seen == expected,  # noqa: B023 - called at once
            )


@pytest.mark.parametrize(
    ("account", "verb", "resource"),
    [
        pytest.param("controller", "get", "secrets", id="the controller reads no Secret"),
        pytest.param("controller", "list", "pods", id="the controller lists no Pods"),
        pytest.param("controller", "update", "services", id="the controller changes no Service's spec"),
        pytest.param("controller", "patch", "services", id="nor patches it"),
        pytest.param("controller", "delete", "services", id="nor deletes it"),
        pytest.param("controller", "delete", "ipaddresspools.baremetal-lb.io", id="the controller deletes no pool"),
        pytest.param("controller", "create", "pods", id="the controller makes no Pods"),
        pytest.param("speaker", "get", "secrets", id="a speaker reads no Secret"),
        pytest.param("speaker", "patch", "services", id="a speaker changes no Service's spec"),
        pytest.param("speaker", "patch", "nodes", id="a speaker changes no Node"),
        pytest.param("speaker", "patch", "ipaddresspools.baremetal-lb.io", id="a speaker changes no pool"),
        pytest.param("speaker", "update", "leases.coordination.k8s.io", id="a speaker renews no kubelet's Lease"),
        pytest.param("speaker", "create", "pods", id="a speaker makes no Pods"),
    ],
)
def test_a_right_that_is_not_needed_is_not_given(lab: Lab, account: str, verb: str, resource: str) -> None:
    assert not _may(lab, account, verb, resource)


@pytest.mark.parametrize(
    ("account", "verb", "resource"),
    [
        pytest.param("controller", "patch", "services/status", id="the controller writes a Service's status"),
        pytest.param("controller", "patch", "ipaddresspools.baremetal-lb.io", id="and a pool's finalizer"),
        pytest.param("speaker", "watch", "services", id="a speaker watches Services"),
    ],
)
def test_a_right_that_is_needed_is_given(lab: Lab, account: str, verb: str, resource: str) -> None:
    """So the questions above are of the right form."""
    assert _may(lab, account, verb, resource)


def _may(lab: Lab, account: str, verb: str, resource: str) -> bool:
    """Ask what `kubectl auth can-i` asks, for a namespace that is not ours."""
    name, _, group = resource.partition(".")
    name, _, subresource = name.partition("/")
    attributes = {
        "namespace": "kube-node-lease",
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": subresource,
    }
    user = f"system:serviceaccount:{PRODUCT_NAMESPACE}:{account}"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = lab.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def _controller_addresses(lab: Lab) -> list[str]:
    pods = f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=controller"
    return [one["ip"] for pod in lab.get_json(pods)["items"] for one in pod["status"]["podIPs"]]


def _controller_value(control_plane: Vantage, lab: Lab, name: str) -> float:
    """Add up what both replicas say: the one that does not lead is silent."""
    addresses = [parse_address(one) for one in _controller_addresses(lab)]
    replicas = [one for one in addresses if one.version == 4]
    return sum(_value(control_plane, one, CONTROLLER_PORT, name) for one in replicas)


def _value(vantage: Vantage, address: Address, port: int, name: str) -> float:
    """Add up the samples of a metric, or of one with the labels given."""
    lines = vantage.fetch(address, port, "/metrics").body.splitlines()
    samples = [line.rpartition(" ") for line in lines]
    found = [float(value) for sample, _, value in samples if sample == name or sample.startswith(f"{name}{{")]
    return sum(found)
