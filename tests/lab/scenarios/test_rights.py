"""Both processes may do what they do, and no more than that; the API server's audit log is the witness."""

import pytest
import yaml

from baremetal_lb.lab import objects
from baremetal_lb.lab.audit import requests_of, resource_of
from baremetal_lb.lab.lab import MANIFESTS, Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

Right = tuple[str, str, str]
"""Verb, API group, and resource with its subresource."""


def granted(process: str) -> set[Right]:
    roles = [one for one in yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text()) if "Role" in one["kind"]]
    return {
        (verb, group, resource)
        for role in roles
        if role["metadata"]["name"] in {process, f"baremetal-lb-{process}"}
        for rule in role.get("rules", ())
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def used(lab: Lab, process: str) -> set[Right]:
    return {
        (event["verb"], event["objectRef"].get("apiGroup", ""), resource_of(event))
        for event in requests_of(lab.paths, process)
    }


@pytest.mark.parametrize("process", ["controller", "speaker"])
def test_every_right_that_is_granted_is_used(lab: Lab, sandbox: Sandbox, process: str) -> None:
    sandbox.offer()
    sandbox.request_service("web", {"app": "echo"})
    sandbox.create(objects.claim(sandbox.name("printer"), [str(sandbox.block.ipv4(4))]))
    wait_for(
        f"the {process} has used every right of it",
        lambda: granted(process) - used(lab, process),
        lambda unused: not unused,
    )


@pytest.mark.parametrize("process", ["controller", "speaker"])
def test_nothing_is_tried_without_a_right(lab: Lab, process: str) -> None:
    assert used(lab, process) <= granted(process)
