"""A container's securityContext as the identity of its process."""

from typing import Any

import pytest

from baremetal_lb.lab.capabilities import NAMES, RUNTIME_DEFAULT, granted
from baremetal_lb.lab.container import Identity
from baremetal_lb.lab.kubelet.environment import ConfigError
from baremetal_lb.lab.kubelet.security import resolve_identity

EVERY = frozenset(NAMES)


@pytest.mark.parametrize(
    ("add", "drop", "privileged", "expected"),
    [
        pytest.param([], [], False, RUNTIME_DEFAULT, id="nothing said: the runtime's default"),
        pytest.param([], ["ALL"], False, frozenset(), id="all dropped"),
        pytest.param(["NET_RAW"], ["ALL"], False, {"NET_RAW"}, id="all dropped but one"),
        pytest.param(["NET_ADMIN"], [], False, RUNTIME_DEFAULT | {"NET_ADMIN"}, id="one more than the default"),
        pytest.param(["cap_net_admin"], ["ALL"], False, {"NET_ADMIN"}, id="any spelling"),
        pytest.param(["NET_RAW"], ["NET_RAW"], False, RUNTIME_DEFAULT - {"NET_RAW"}, id="a single drop wins"),
        pytest.param(["ALL"], ["CHOWN"], False, EVERY - {"CHOWN"}, id="all added but one"),
        pytest.param(["ALL"], ["ALL"], False, frozenset(), id="all added and all dropped is none"),
        pytest.param([], ["ALL"], True, EVERY, id="privileged has everything"),
    ],
)
def test_capabilities(add: list[str], drop: list[str], privileged: bool, expected: set[str]) -> None:
    assert {NAMES[number] for number in granted(add=add, drop=drop, privileged=privileged)} == expected


def test_numbers_are_the_kernels() -> None:
    assert [NAMES.index(name) for name in ("NET_RAW", "SYS_ADMIN", "CHECKPOINT_RESTORE")] == [13, 21, 40]


def identity(pod: dict[str, Any], container: dict[str, Any], image_user: int = 0) -> Identity:
    return resolve_identity(pod, {"capabilities": {"drop": ["ALL"]}, **container}, image_user)


@pytest.mark.parametrize(
    ("pod", "container", "image_user", "expected"),
    [
        pytest.param({}, {}, 0, Identity(), id="the image's user"),
        pytest.param({}, {}, 101, Identity(user=101), id="an image that is not root's"),
        pytest.param({"runAsUser": 5, "runAsGroup": 6}, {}, 0, Identity(user=5, group=6), id="the Pod's user"),
        pytest.param({"runAsUser": 5}, {"runAsUser": 0}, 0, Identity(), id="the container's word counts first"),
        pytest.param(
            {"fsGroup": 9, "supplementalGroups": [7]}, {}, 0, Identity(groups=(7, 9)), id="more groups, and fsGroup"
        ),
        pytest.param({"runAsNonRoot": True}, {}, 101, Identity(user=101), id="runAsNonRoot with another user"),
        pytest.param(
            {"runAsNonRoot": True}, {"runAsNonRoot": False}, 0, Identity(), id="runAsNonRoot taken back for one"
        ),
        pytest.param({}, {"allowPrivilegeEscalation": False}, 0, Identity(no_new_privileges=True), id="no escalation"),
    ],
)
def test_identity(pod: dict[str, Any], container: dict[str, Any], image_user: int, expected: Identity) -> None:
    assert identity(pod, container, image_user) == expected


@pytest.mark.parametrize(
    ("pod", "container", "complaint"),
    [
        pytest.param({"runAsNonRoot": True}, {}, "run as root", id="runAsNonRoot and root's image"),
        pytest.param({}, {"runAsNonRoot": True, "runAsUser": 0}, "run as root", id="runAsNonRoot and user 0"),
        pytest.param({}, {"capabilities": {"add": ["FLY"]}}, "FLY", id="no such capability"),
    ],
)
def test_refused_identity(pod: dict[str, Any], container: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        identity(pod, container)
