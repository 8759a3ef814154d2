"""docs/howto/migrate-from-metallb.md, word for word: its commands run here, forth and back, with clients connecting.

What is in `metallb/` has the shapes of MetalLB's documentation. MetalLB itself is played by a controller that does
nothing and a speaker that answers.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab import objects
from baremetal_lb.lab.api import MERGE_PATCH
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import ASSIGNED_CONDITION
from baremetal_lb.lab.waiting import wait_for

ROOT = Path(__file__).parents[3]
HOWTO = ROOT / "docs/howto/migrate-from-metallb.md"
METALLB = Path(__file__).with_name("metallb")
METALLBS_NODE = "node1"
STEP_SECONDS = 240
LONGEST_GAP_SECONDS = 1.0
KINDS = {
    "ipaddresspools": "IPAddressPool",
    "addresspools": "AddressPool",
    "l2advertisements": "L2Advertisement",
    "bgpadvertisements": "BGPAdvertisement",
    "bgppeers": "BGPPeer",
    "bfdprofiles": "BFDProfile",
    "communities": "Community",
}
ONE_LINE_EACH = r'{.metadata.namespace}/{.metadata.name}={.status.loadBalancer.ingress[*].ip}{"\n"}'


def documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((METALLB / name).read_text()))


def ingress(service: Object) -> list[Address]:
    return [parse_address(one["ip"]) for one in service["status"]["loadBalancer"]["ingress"]]


SERVICES = documents("services.yaml")
ADDRESSES = sorted({address for service in SERVICES for address in ingress(service)}, key=str)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab without the product in the place of the one that all others share."""
    with Lab("moving", nodes=2, clients=1) as own:
        yield own


@pytest.fixture(scope="module")
def metallb(lab: Lab) -> None:
    """A cluster that MetalLB serves."""
    apply(lab, [custom_resource_definition(*names) for names in KINDS.items()])
    apply(lab, [objects.namespace("metallb-system"), objects.namespace("shop"), objects.namespace("bank")])
    lab.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    apply(lab, documents("resources.yaml"))
    apply(lab, workloads())
    for node in lab.topology.nodes:
        start(lab, "shop", objects.echo(f"echo-{node.name}", {"app": "echo"}, node=node.name))
    start(lab, "shop", objects.echo("local", {"app": "local"}, node=METALLBS_NODE))
    start(lab, "bank", objects.echo("echo", {"app": "echo"}))
    for service in SERVICES:
        apply(lab, [{key: value for key, value in service.items() if key != "status"}])
        status = {"status": service["status"]}
        lab.request("PATCH", f"{objects.path(service)}/status", status, content_type=MERGE_PATCH)
    for namespace in ("metallb-system", "shop", "bank"):
        lab.kubectl(
            "wait", "pod", "--all", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=60s", timeout=90
        )


def apply(lab: Lab, things: list[Object]) -> None:
    lab.apply(yaml.safe_dump_all(things))


def start(lab: Lab, namespace: str, deployment: Object) -> None:
    apply(lab, [{**deployment, "metadata": {**deployment["metadata"], "namespace": namespace}}])
    lab.kubectl(
        "rollout", "status", f"deployment/{deployment['metadata']['name']}", f"--namespace={namespace}", timeout=90
    )


def custom_resource_definition(plural: str, kind: str) -> Object:
    takes_anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = "v1beta2" if kind == "BGPPeer" else "v1beta1"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.metallb.io"},
        "spec": {
            "group": "metallb.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": takes_anything}}
            ],
        },
    }


def workloads() -> list[Object]:
    things = documents("workloads.yaml")
    (speaker,) = (one for one in things if one["kind"] == "DaemonSet")
    (container,) = speaker["spec"]["template"]["spec"]["containers"]
    container["command"] = [sys.executable, str(METALLB / "speaker.py"), "eth0", *map(str, ADDRESSES)]
    return things


@dataclass(frozen=True, slots=True)
class Desk:
    """Where somebody who moves types: kubectl and baremetal-lb reach the cluster, the checkout's folders are there."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def furnish(cls, lab: Lab, folder: Path) -> "Desk":
        commands = folder / "bin"
        commands.mkdir()
        to_cluster = lab.kubectl_command()
        ours = [*to_cluster[:-1], sys.executable, "-m", "baremetal_lb.cli.main"]
        for name, command in (("kubectl", to_cluster), ("baremetal-lb", ours)):
            (commands / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            (commands / name).chmod(0o755)
        for name in ("crds", "manifests"):
            (folder / name).symlink_to(ROOT / name)
        path = f"{commands}:{os.environ['PATH']}"
        return cls(folder, {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)})

    def step(self, number: int) -> str:
        """Run a step of the how-to; answer what appears on the terminal."""
        return self.type_in(commands_of(number))

    def type_in(self, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n\n{done.stdout}"
        return done.stdout


def commands_of(number: int) -> str:
    sections = re.split(r"^## (\d+)\. .*$", HOWTO.read_text(), flags=re.MULTILINE)
    text = dict(zip(sections[1::2], sections[2::2], strict=True))[str(number)]
    return "\n".join(line.strip() for line in text.splitlines() if line.startswith("    "))


@pytest.fixture
def desk(lab: Lab, metallb: None, tmp_path: Path) -> Desk:  # noqa: ARG001 - MetalLB has to be there
    return Desk.furnish(lab, tmp_path)


@contextmanager
def everything_written_down(lab: Lab, file: Path) -> Iterator[None]:
    """Follow every Service; each of its states becomes a line of the file."""
    arguments = ("get", "services", "--all-namespaces", "--watch", f"--output=jsonpath={ONE_LINE_EACH}")
    with file.open("w") as output:
        follower = subprocess.Popen(lab.kubectl_command(*arguments), stdout=output)
    try:
        wait_for("every Service is followed", lambda: set(expected()) <= set(file.read_text().splitlines()))
        yield
        assert follower.poll() is None
    finally:
        follower.kill()
        follower.wait()


def expected() -> list[str]:
    """The line of every Service of ours, if nothing happens to its addresses."""
    return [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}={' '.join(map(str, ingress(one)))}"
        for one in SERVICES
    ]


def assert_all_served(client: Vantage, *, by: Callable[[set[str]], bool]) -> None:
    """Every Service is served at its address, and those nodes answer for it that should."""
    for service in SERVICES:
        for address in ingress(service):
            client.forget(address)
            port = service["spec"]["ports"][0]["port"]
            wait_for(f"a page from {address} port {port}", partial(client.reaches, address, port))
    for address in ADDRESSES:
        wait_for(f"the right ones answer for {address}", partial(client.announcers, address), by)


def metallb_alone(nodes: set[str]) -> bool:
    return nodes == {METALLBS_NODE}


def metallb_and_one_of_ours(nodes: set[str]) -> bool:
    return METALLBS_NODE in nodes and len(nodes) <= 2


def one_of_ours(nodes: set[str]) -> bool:
    return len(nodes) == 1


def reasons(lab: Lab) -> set[str]:
    """What the controller says on the Services."""
    conditions = [lab.get_json(objects.path(one))["status"]["conditions"] for one in SERVICES]
    return {one["reason"] for several in conditions for one in several if one["type"] == ASSIGNED_CONDITION}


def test_every_service_keeps_its_addresses_and_is_served_all_the_time(
    lab: Lab, desk: Desk, client: Vantage, tmp_path: Path
) -> None:
    states = tmp_path / "states"
    assert_all_served(client, by=metallb_alone)
    with ExitStack() as all_the_time:
        all_the_time.enter_context(everything_written_down(lab, states))
        web = [all_the_time.enter_context(client.traffic(address)) for address in ingress(SERVICES[0])]

        notes = desk.step(1)
        advice = [line.strip() for line in notes.splitlines() if line.startswith("    kubectl ")]
        assert "error   Service" in notes
        desk.type_in("\n".join(advice))
        assert "error   " not in desk.step(1)

        desk.step(2)
        desk.step(3)
        desk.step(4)
        desk.step(5)
        assert_all_served(client, by=metallb_and_one_of_ours)
        desk.step(6)
        assert_all_served(client, by=one_of_ours)
        assert "floor" in desk.step(7)
        assert reasons(lab) == {"Assigned"}

        desk.step(8)
        assert_all_served(client, by=metallb_alone)
        for number in (4, 5, 6, 7, 9):
            desk.step(number)
        assert_all_served(client, by=one_of_ours)
    for traffic in web:
        assert traffic.longest_gap_seconds < LONGEST_GAP_SECONDS
    ours = {line for line in states.read_text().splitlines() if line.startswith(("shop/", "bank/"))}
    assert ours == set(expected())
    assert "metallb" not in lab.kubectl("get", "namespaces,crd,validatingwebhookconfigurations", "--output=name")


def test_a_new_service_is_served_from_the_converted_pools(lab: Lab, client: Vantage) -> None:
    """And the tenants' pool still serves those first for whom it is."""
    for namespace, address in (("shop", "192.0.2.101"), ("bank", "192.0.2.112")):
        service = objects.service("new", selector={"app": "echo"}, families=("IPv4",))
        service["metadata"] |= {"namespace": namespace, "labels": {"tier": "front"}}
        apply(lab, [service])
        wait_for(f"a page from {address}", partial(client.reaches, parse_address(address)))


def test_the_pool_that_nobody_announced_stays_silent(lab: Lab, client: Vantage) -> None:
    service = objects.service(
        "silent", selector={"app": "echo"}, families=("IPv4",), annotations={"metallb.io/address-pool": "spare"}
    )
    service["metadata"]["namespace"] = "shop"
    apply(lab, [service])
    wait_for(
        "it has an address",
        lambda: lab.get_json(objects.path(service))["status"]["loadBalancer"].get("ingress"),
        lambda seen: seen and seen[0]["ip"] == "192.0.2.150",
    )
    assert client.announcers(parse_address("192.0.2.150")) == set()


@pytest.mark.parametrize("file", ["older.yaml", "oldest-kind.yaml"])
def test_what_is_made_of_an_older_configuration_is_accepted(desk: Desk, file: str) -> None:
    desk.type_in(f"baremetal-lb migrate metallb --filename {METALLB / file} | kubectl apply --dry-run=server -f -")
