"""What is installed in a cluster: complete, consistent with the project, and with no more power than the code uses."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from baremetal_lb.settings import CONTROLLER_PORT, SPEAKER_PORT, SYSTEM_NAMESPACE

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
PROCESSES = ("controller", "speaker")


def resources(kustomization: Path) -> Iterator[dict[str, Any]]:
    """Every object that `kubectl apply -k` would read, the generated CRDs included."""
    for name in yaml.safe_load((kustomization / "kustomization.yaml").read_text())["resources"]:
        path = (kustomization / name).resolve()
        if path.is_dir():
            yield from resources(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


ALL = list(resources(MANIFESTS))


def find(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in ALL if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def pod(process: str) -> dict[str, Any]:
    workload = find("Deployment" if process == "controller" else "DaemonSet", process)
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(process: str) -> dict[str, Any]:
    (only,) = pod(process)["containers"]
    assert isinstance(only, dict)
    return only


def test_everything_lies_in_our_namespace_or_in_none() -> None:
    assert {one["metadata"].get("namespace", SYSTEM_NAMESPACE) for one in ALL} == {SYSTEM_NAMESPACE}


def test_every_file_is_installed() -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert files <= set(listed)


def test_every_custom_resource_definition_is_installed() -> None:
    installed = {one["metadata"]["name"] for one in ALL if one["kind"] == "CustomResourceDefinition"}
    generated = {path.name for path in (ROOT / "crds").glob("*.yaml")} - {"kustomization.yaml"}
    assert len(installed) == len(generated) > 0


@pytest.mark.parametrize("process", PROCESSES)
def test_the_image_is_this_version(process: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container(process)["image"] == f"baremetal-lb:{version}"
    assert container(process)["args"] == [process]


@pytest.mark.parametrize(("process", "port"), [("controller", CONTROLLER_PORT), ("speaker", SPEAKER_PORT)])
def test_probes_ask_where_the_process_answers(process: str, port: int) -> None:
    assert container(process)["ports"] == [{"name": "metrics", "containerPort": port}]
    assert container(process)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    for probe in ("startupProbe", "livenessProbe"):
        assert container(process)[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_has_its_own_service_account(process: str) -> None:
    assert pod(process)["serviceAccountName"] == find("ServiceAccount", process)["metadata"]["name"]


@pytest.mark.parametrize(
    ("process", "capabilities"),
    [
        pytest.param("controller", {"drop": ["ALL"]}, id="the controller has no capability"),
        pytest.param(
            "speaker", {"drop": ["ALL"], "add": ["NET_RAW"]}, id="the speaker has raw sockets and nothing else"
        ),
    ],
)
def test_a_process_has_no_power_over_its_node_that_it_does_not_use(
    process: str, capabilities: dict[str, list[str]]
) -> None:
    security = container(process)["securityContext"]
    assert security["capabilities"] == capabilities
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert pod(process)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "volumes" not in pod(process)


def test_every_right_is_named() -> None:
    """That none is superfluous, or missing, is seen on a real API server: tests/lab/scenarios/test_rights.py."""
    rules = [rule for one in ALL if one["kind"] in {"Role", "ClusterRole"} for rule in one["rules"]]
    assert rules
    assert not [rule for rule in rules if "*" in {*rule["verbs"], *rule["apiGroups"], *rule["resources"]}]


def test_only_the_speaker_is_root_and_in_the_network_of_its_node() -> None:
    assert pod("controller")["securityContext"]["runAsNonRoot"] is True
    assert "hostNetwork" not in pod("controller")
    assert pod("speaker")["hostNetwork"] is True
    assert container("speaker")["securityContext"]["runAsUser"] == 0
