"""What the scenarios share: a namespace with an echo on every node for each file, and a sandbox for each test."""

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from baremetal_lb.lab import objects
from baremetal_lb.lab.bringup import is_ready
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.stage import Stage, set_stage
from baremetal_lb.lab.waiting import wait_for

HEALTHY_WITHIN_SECONDS = 60.0
HEARD_WITHIN_SECONDS = 0.3
"""By then the controllers have heard of what was deleted."""
CONTROLLERS = 2
WEBHOOK_CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/baremetal-lb"

_numbers = itertools.count()


@pytest.fixture
def stage(lab: Lab, healthy_afterwards: Sandbox) -> Stage:
    """An address of each family that node1 holds, any node may announce, and a Pod on node3 serves."""
    announcers = [node.name for node in lab.topology.nodes]
    return set_stage(lab, healthy_afterwards, {"app": "echo", "on": announcers[-1]}, announcers)


@pytest.fixture
def healthy_afterwards(lab: Lab, sandbox: Sandbox) -> Iterator[Sandbox]:
    """Whatever a test broke is mended, and the product is complete, before its sandbox closes."""
    yield sandbox
    lab.heal_all()
    wait_for("the product is complete", lambda: _incomplete(lab), lambda seen: not seen, within=HEALTHY_WITHIN_SECONDS)
    _wait_until_controller_hears(sandbox)
    _wait_until_endpoints_follow(sandbox)


def _wait_until_endpoints_follow(sandbox: Sandbox) -> None:
    """Make sure that Kubernetes itself has noticed an API server that is back; its controllers back off for long."""
    name = sandbox.name("followed")
    spec = {"selector": {"app": "echo"}, "ports": [{"port": 80}]}
    sandbox.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    selector = f"kubernetes.io/service-name={name}"
    wait_for(
        "endpoints follow Services",
        lambda: [endpoint for one in sandbox.list("EndpointSlice", selector) for endpoint in one["endpoints"] or ()],
        within=120,
    )


def _wait_until_controller_hears(sandbox: Sandbox) -> None:
    """Make sure that it does not decide the next test's Services with the pools of this one."""
    pool = sandbox.name("hearing")
    sandbox.create(objects.pool(pool, ["198.51.100.200/32", "2001:db8:100::200/128"], autoAssign=False))
    wait_for("the controller judges a pool", lambda: sandbox.read("IPAddressPool", pool).get("status"), within=90)


def _incomplete(lab: Lab) -> list[str]:
    """Name the nodes and Pods that are not ready, and what is missing."""
    nodes = lab.get_json("/api/v1/nodes")["items"]
    pods = lab.get_json(f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods")["items"]
    missing = [] if len(pods) == len(nodes) + CONTROLLERS else [f"{len(pods)} Pods"]
    return missing + [one["metadata"]["name"] for one in (*nodes, *pods) if not is_ready(one)]


@pytest.fixture(scope="module")
def namespace(lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace with one echo Pod on every node: labels `app: echo` and `on: <node>`."""
    theme = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    made = lab.request("POST", objects.collection("Namespace"), objects.namespace(prefix=f"{theme}-"))
    name = made["metadata"]["name"]
    workload = Sandbox(lab.paths, name, next(_numbers))
    for node in lab.topology.nodes:
        workload.create(objects.echo(f"echo-{node.name}", {"app": "echo", "on": node.name}, node=node.name))
    for node in lab.topology.nodes:
        wait_for(f"echo on {node.name} is ready", lambda: _ready(workload, f"echo-{node.name}"), within=60)  # noqa: B023
    yield name
    workload.delete("Namespace", name)


def _ready(sandbox: Sandbox, deployment: str) -> bool:
    status = sandbox.read("Deployment", deployment)["status"]
    return bool(status.get("readyReplicas"))


@pytest.fixture
def sandbox(lab: Lab, namespace: str) -> Iterator[Sandbox]:
    """This test's own addresses and objects, in the namespace of its file."""
    corner = Sandbox(lab.paths, namespace, next(_numbers))
    yield corner
    corner.close()
    _wait_until_forgotten(corner)


def _wait_until_forgotten(corner: Sandbox) -> None:
    """Make sure that the next test's Services get nothing of this one's pools."""
    suffix = corner.name("")
    wait_for(
        "the pools are gone",
        lambda: [one["metadata"]["name"] for one in corner.list("IPAddressPool")],
        lambda names: not any(name.endswith(suffix) for name in names),
    )
    time.sleep(HEARD_WITHIN_SECONDS)


@pytest.fixture(scope="session")
def webhook_answers(lab: Lab) -> Callable[[], bool]:
    """Tells whether the API server asks the webhook and hears from it: it warns of an unknown pool."""
    argv = lab.kubectl_command("apply", "--dry-run=server", "--filename=-")
    probe = json.dumps(objects.advertisement("probe", ["atlantis"]))

    def answers() -> bool:
        ended = subprocess.run(argv, input=probe, capture_output=True, text=True, timeout=30, check=True)
        return "Warning: UnknownPool" in ended.stderr

    return answers


@pytest.fixture
def webhook_away(lab: Lab, webhook_answers: Callable[[], bool]) -> Iterator[None]:
    """Nothing is refused when it is written, so that the controller is seen to judge by itself."""
    configuration = lab.get_json(WEBHOOK_CONFIGURATION)
    lab.request("DELETE", WEBHOOK_CONFIGURATION)
    wait_for("nobody asks the webhook", webhook_answers, lambda answers: not answers)
    yield
    metadata = {key: configuration["metadata"][key] for key in ("name", "labels", "annotations")}
    lab.request("POST", WEBHOOK_CONFIGURATION.rpartition("/")[0], {**configuration, "metadata": metadata})


@pytest.fixture(scope="module")
def client(lab: Lab) -> Vantage:
    """A host on the segment that is no node."""
    return Vantage(lab.paths, lab.topology, "client1")


@pytest.fixture(scope="module")
def other_client(lab: Lab) -> Vantage:
    """Another one."""
    return Vantage(lab.paths, lab.topology, "client2")
