"""What a container's process is given: command, arguments and environment."""

from typing import Any

import pytest

from baremetal_lb.lab.images import Image
from baremetal_lb.lab.kubelet.environment import (
    ConfigError,
    Objects,
    Place,
    expand,
    field_value,
    object_names,
    resolve_arguments,
    resolve_environment,
)
from baremetal_lb.lab.kubelet.podview import PodView, parse_pod

IMAGE = Image(entrypoint=("entry",), command=("default",))
PLACE = Place("node1", ("192.0.2.11", "2001:db8:0:2::11"), ("10.244.1.2", "fd00:10:244:1::2"))
OBJECTS = Objects(config_maps={"conf": {"k": b"v", "l": b"w"}}, secrets={"sec": {"key": b"s3cret"}})


def pod_with(**container: Any) -> PodView:
    return parse_pod(
        {
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "uid": "0d489320-b230-4054-9ec8-e651e426d382",
                "labels": {"app": "web", "tier": 'a"b'},
                "annotations": {"note": "x"},
            },
            "spec": {"serviceAccountName": "robot", "containers": [{"name": "main", "image": "echo", **container}]},
        }
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)", "1", id="a known name is replaced"),
        pytest.param("x$(A)y$(B)", "x1y2", id="several in one text"),
        pytest.param("$(C)", "$(C)", id="an unknown name stays"),
        pytest.param("$$(A)", "$(A)", id="a doubled dollar keeps the reference"),
        pytest.param("$$$(A)", "$1", id="an escaped dollar before a reference"),
        pytest.param("$A ${A} $", "$A ${A} $", id="shell syntax is nothing special"),
        pytest.param("$(A", "$(A", id="an open bracket stays"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({}, ("entry", "default"), id="neither: the image's two"),
        pytest.param({"args": ["a"]}, ("entry", "a"), id="args replace the image's command"),
        pytest.param({"command": ["c"]}, ("c",), id="command replaces both"),
        pytest.param({"command": ["c"], "args": ["a"]}, ("c", "a"), id="both replace both"),
        pytest.param({"command": ["c"], "args": ["$(V)"]}, ("c", "value"), id="variables are expanded"),
    ],
)
def test_arguments(container: dict[str, Any], expected: tuple[str, ...]) -> None:
    view = pod_with(**container).containers[0]
    assert resolve_arguments(IMAGE, view, {"V": "value"}) == expected


def test_no_command_anywhere_is_refused() -> None:
    with pytest.raises(ConfigError, match="no command"):
        resolve_arguments(Image(), pod_with().containers[0], {})


def environment(**container: Any) -> dict[str, str]:
    pod = pod_with(**container)
    return resolve_environment(pod.containers[0], pod, PLACE, OBJECTS, {"PATH": "/bin"})


def variable(**source: Any) -> list[dict[str, Any]]:
    return [{"name": "X", "valueFrom": source}]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({}, {}, id="nothing asked for"),
        pytest.param({"env": [{"name": "X", "value": "1"}]}, {"X": "1"}, id="a plain value"),
        pytest.param({"env": [{"name": "X"}]}, {"X": ""}, id="no value is an empty one"),
        pytest.param(
            {"env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "$(X)$(Z)"}, {"name": "Z", "value": "3"}]},
            {"X": "1", "Y": "1$(Z)", "Z": "3"},
            id="only earlier variables are expanded",
        ),
        pytest.param({"env": [{"name": "PATH", "value": "/own"}]}, {"PATH": "/own"}, id="env beats the image"),
        pytest.param(
            {"envFrom": [{"configMapRef": {"name": "conf"}, "prefix": "P_"}], "env": [{"name": "P_l", "value": "own"}]},
            {"P_k": "v", "P_l": "own"},
            id="env beats envFrom",
        ),
        pytest.param({"envFrom": [{"secretRef": {"name": "sec"}}]}, {"key": "s3cret"}, id="a whole Secret"),
        pytest.param({"envFrom": [{"secretRef": {"name": "no", "optional": True}}]}, {}, id="optional, not there"),
        pytest.param(
            {"env": variable(configMapKeyRef={"name": "conf", "key": "k"})}, {"X": "v"}, id="a key of a ConfigMap"
        ),
        pytest.param(
            {"env": variable(secretKeyRef={"name": "sec", "key": "no", "optional": True})},
            {},
            id="an optional key that is not there sets nothing",
        ),
        pytest.param({"env": variable(fieldRef={"fieldPath": "status.podIP"})}, {"X": "10.244.1.2"}, id="a field"),
    ],
)
def test_environment(container: dict[str, Any], expected: dict[str, str]) -> None:
    assert environment(**container) == {"PATH": "/bin", **expected}


@pytest.mark.parametrize(
    ("container", "complaint"),
    [
        pytest.param({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found', id="no ConfigMap"),
        pytest.param(
            {"env": variable(secretKeyRef={"name": "no", "key": "k"})}, 'secret "no" not found', id="no Secret"
        ),
        pytest.param({"env": variable(secretKeyRef={"name": "sec", "key": "k"})}, "couldn't find key k", id="no key"),
        pytest.param({"env": variable(resourceFieldRef={"resource": "limits.cpu"})}, "not supported", id="a resource"),
        pytest.param({"env": variable(fieldRef={"fieldPath": "spec.x"})}, "unsupported fieldPath", id="no such field"),
    ],
)
def test_environment_that_leads_nowhere(container: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        environment(**container)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "0d489320-b230-4054-9ec8-e651e426d382"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['note']", "x"),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
        ("spec.nodeName", "node1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.0.2.11"),
        ("status.hostIPs", "192.0.2.11,2001:db8:0:2::11"),
        ("status.podIP", "10.244.1.2"),
        ("status.podIPs", "10.244.1.2,fd00:10:244:1::2"),
    ],
)
def test_downward_api_fields(path: str, expected: str) -> None:
    assert field_value(path, pod_with(), PLACE) == expected


def test_names_of_all_objects_that_environments_need() -> None:
    pod = pod_with(
        env=[*variable(configMapKeyRef={"name": "a", "key": "k"}), {"name": "Y", "value": "1"}],
        envFrom=[{"secretRef": {"name": "b"}}],
    )
    assert object_names(pod) == (frozenset({"a"}), frozenset({"b"}))
