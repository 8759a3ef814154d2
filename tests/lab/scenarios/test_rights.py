"""Both processes may do what they do, and no more than that; the API server's audit log is the witness."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from baremetal_lb.lab.controlplane import AUDIT_LOG
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


def used(audit_log: Path, process: str) -> set[Right]:
    return {
        (event["verb"], reference.get("apiGroup", ""), resource_of(reference))
        for event in events(audit_log)
        if event["user"]["username"].endswith(f":{process}") and (reference := event.get("objectRef"))
    }


def resource_of(reference: dict[str, str]) -> str:
    return "/".join(filter(None, (reference["resource"], reference.get("subresource"))))


def events(audit_log: Path) -> Iterator[dict[str, Any]]:
    """Read what is written so far; the last line may be half there."""
    return (json.loads(line) for line in audit_log.read_text().splitlines(keepends=True) if line.endswith("\n"))


@pytest.mark.parametrize("process", ["controller", "speaker"])
def test_every_right_that_is_granted_is_used(lab: Lab, sandbox: Sandbox, process: str) -> None:
    sandbox.offer()
    sandbox.request_service("web", {"app": "echo"})
    wait_for(
        f"the {process} has used every right of it",
        lambda: granted(process) - used(lab.paths.log(AUDIT_LOG), process),
        lambda unused: not unused,
    )


@pytest.mark.parametrize("process", ["controller", "speaker"])
def test_nothing_is_tried_without_a_right(lab: Lab, process: str) -> None:
    assert used(lab.paths.log(AUDIT_LOG), process) <= granted(process)
