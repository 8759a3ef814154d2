"""What is installed in a cluster: complete, consistent with the project, and with no more power than the code uses."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from baremetal_lb.admission.review import REVIEWS
from baremetal_lb.api.annotations import Annotation
from baremetal_lb.controller.certificate_keeper import CONFIGURATION_PATH, SECRET_PATH, SERVER_NAME
from baremetal_lb.settings import BEAT_PORT, CONTROLLER_PORT, SPEAKER_PORT, SYSTEM_NAMESPACE, WEBHOOK_PORT
from baremetal_lb.speaker.beat_keys import SECRET

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
    assert {"name": "metrics", "containerPort": port} in container(process)["ports"]
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
            "speaker",
            {"drop": ["ALL"], "add": ["NET_RAW", "SYS_NICE"]},
            id="the speaker has raw sockets and urgent beats, and nothing else",
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


def webhooks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = find("ValidatingWebhookConfiguration", "baremetal-lb")["webhooks"]
    return found


def test_every_kind_that_we_review_has_its_webhook_and_path() -> None:
    asked = {(one["clientConfig"]["service"]["path"], *one["rules"][0]["resources"]) for one in webhooks()}
    assert asked == {(f"/{plural}", plural) for plural in REVIEWS}


def test_no_webhook_can_stop_a_cluster() -> None:
    assert {(one["failurePolicy"], one["sideEffects"], one["timeoutSeconds"]) for one in webhooks()} == {
        ("Ignore", "None", 3)
    }
    assert all("/status" not in resource for one in webhooks() for resource in one["rules"][0]["resources"])


def test_what_the_controller_fills_in_is_not_in_the_manifests() -> None:
    """Else applying them again would take it away."""
    assert all("caBundle" not in one["clientConfig"] for one in webhooks())
    assert "data" not in find("Secret", "controller-webhook")


def test_what_the_speakers_fill_in_is_not_in_the_manifests() -> None:
    assert not {"data", "stringData"} & find("Secret", SECRET).keys()


def test_the_beats_are_where_a_firewall_is_told_that_they_are() -> None:
    assert {"name": "beats", "containerPort": BEAT_PORT, "protocol": "UDP"} in container("speaker")["ports"]


def test_every_annotation_by_which_a_service_asks_makes_it_known_to_the_webhook() -> None:
    (services,) = (one for one in webhooks() if one["name"].startswith("services."))
    named = set(re.findall(r"'([\w.-]+/[\w.-]+)'", services["matchConditions"][1]["expression"]))
    asking = set(Annotation) - {Annotation.FROM_POOL}
    assert named == {spelling for annotation in asking for spelling in annotation.spellings}


def test_the_webhook_is_where_the_controller_serves_it() -> None:
    service = find("Service", "controller-webhook")
    (port,) = service["spec"]["ports"]
    assert {"name": port["targetPort"], "containerPort": WEBHOOK_PORT} in container("controller")["ports"]
    labels = find("Deployment", "controller")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert f"{service['metadata']['name']}.{SYSTEM_NAMESPACE}.svc" == SERVER_NAME
    for one in webhooks():
        asked = one["clientConfig"]["service"]
        assert (asked["name"], asked["namespace"]) == (service["metadata"]["name"], SYSTEM_NAMESPACE)


def test_each_process_may_touch_its_own_secret_and_configuration_only() -> None:
    rules = [rule for one in ALL if one["kind"] in {"Role", "ClusterRole"} for rule in one["rules"]]
    named = {
        (resource, *rule.get("resourceNames", ()))
        for rule in rules
        for resource in rule["resources"]
        if resource in {"secrets", "validatingwebhookconfigurations"}
    }
    assert named == {
        ("secrets", SECRET_PATH.rpartition("/")[2]),
        ("secrets", SECRET),
        ("validatingwebhookconfigurations", CONFIGURATION_PATH.rpartition("/")[2]),
    }
