"""`baremetal-lb explain service` beside what the controller decided: they say the same."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.users import ADMIN
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
SECONDS = 60


def run(lab: Lab, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as somebody would who is an administrator of the cluster."""
    to_cluster = lab.kubectl_command()[:-1]
    command = [*to_cluster, sys.executable, "-m", "baremetal_lb.cli.main", "explain", "service", name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def explained(lab: Lab, service: ServiceHandle, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run(lab, f"{service.sandbox.namespace}/{service.name}", "--output=json", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def verdicts(explanation: dict[str, Any], pool: str) -> list[tuple[bool, str]]:
    """What is said of a pool, for each family."""
    return [
        (one["taken"], one["reason"])
        for family in explanation["families"]
        for one in family["pools"]
        if one["pool"] == pool
    ]


def agrees(service: ServiceHandle, explanation: dict[str, Any]) -> bool:
    condition = service.condition()
    told = {key: condition[key] for key in ("reason", "message")}
    return bool(told == explanation["outcome"])


def test_a_service_that_is_served(sandbox: Sandbox, lab: Lab) -> None:
    pool = sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    wait_for("it is told", lambda: service.condition().get("reason"), lambda seen: seen == "Assigned")
    _, explanation = wait_for("it is announced", lambda: explained(lab, service), lambda seen: seen[0] == 0)
    assert explanation["has"] == [{"address": str(one), "pool": pool, "poolHasIt": True} for one in addresses]
    assert verdicts(explanation, pool) == [(True, "Assigned")] * 2
    assert explanation["notKnown"] == []
    assert agrees(service, explanation)
    text = run(lab, f"{sandbox.namespace}/{service.name}").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert f"> {pool}" in text


def test_a_service_that_finds_one_pool_full_and_another_closed(sandbox: Sandbox, lab: Lab) -> None:
    full = sandbox.offer(1)
    closed = sandbox.name("closed")
    ranges = [f"{sandbox.block.ipv4(4)}/32", f"{sandbox.block.ipv6(4)}/128"]
    sandbox.create(objects.pool(closed, ranges, serviceAllocation={"namespaces": ["somebody-else"]}))
    sandbox.request_service("first", ECHO).assigned()
    second = sandbox.request_service("second", ECHO)
    second.refused("PoolExhausted")
    code, explanation = explained(lab, second)
    assert code == 1
    assert verdicts(explanation, closed) == [(False, "PoolNotPermitted")] * 2
    assert verdicts(explanation, full) == [(False, "PoolExhausted")] * 2
    assert agrees(second, explanation)


@pytest.mark.usefixtures("webhook_away")
def test_a_pool_that_is_not_in_force_is_told(sandbox: Sandbox, lab: Lab) -> None:
    """One that the webhook would have refused, had it been asked."""
    older, younger = sandbox.name("a-first"), sandbox.name("b-second")
    sandbox.create(objects.pool(older, sandbox.block.ranges(2)))
    sandbox.create(objects.pool(younger, sandbox.block.ranges(1)))
    _, explanation = explained(lab, sandbox.request_service("web", ECHO))
    found = [(one["name"], one["reason"]) for one in explanation["notInForce"]]
    assert found == [(younger, "Conflict")]


def test_the_rights_of_the_controller_suffice(sandbox: Sandbox, lab: Lab, tmp_path: Path) -> None:
    """So it can be run in the controller's Pod; but who announces is the speakers' business, and theirs to know."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    service.assigned()
    with somebody_like_the_controller(lab, sandbox) as token:
        login = yaml.safe_load(lab.paths.kubeconfig(ADMIN.kubeconfig).read_text())
        login["users"] = [{"name": one["name"], "user": {"token": token}} for one in login["users"]]
        kubeconfig = tmp_path / "like-the-controller"
        kubeconfig.write_text(yaml.safe_dump(login))
        code, explanation = explained(lab, service, f"--kubeconfig={kubeconfig}")
    assert (code, explanation["announcing"]) == (0, None)
    (note,) = explanation["notKnown"]
    assert note.startswith("who announces the addresses: endpointslices.discovery.k8s.io is forbidden")


@contextmanager
def somebody_like_the_controller(lab: Lab, sandbox: Sandbox) -> Iterator[str]:
    """The token of an account with the controller's rights; of itself, test_rights wants to hear of no refusal."""
    name, namespace = sandbox.name("like-the-controller"), sandbox.namespace
    lab.kubectl("create", "serviceaccount", name, "-n", namespace)
    lab.kubectl(
        "create",
        "clusterrolebinding",
        name,
        "--clusterrole=baremetal-lb-controller",
        f"--serviceaccount={namespace}:{name}",
    )
    try:
        yield lab.kubectl("create", "token", name, "-n", namespace).strip()
    finally:
        lab.kubectl("delete", "clusterrolebinding", name)


def test_a_service_that_is_not_there(lab: Lab) -> None:
    done = run(lab, "nowhere/nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "there is no Service nowhere/nobody\n"
