"""Who talks to a lab's API server with a token of its own: administrator, control plane, kubelets, kube-proxies."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who talks to the API server with a token."""

    name: str
    groups: tuple[str, ...]
    kubeconfig: str


ADMIN = User("admin", ("system:masters",), "admin")
CONTROLLER_MANAGER = User("system:kube-controller-manager", (), "controller-manager")
SCHEDULER = User("system:kube-scheduler", (), "scheduler")


def kubelet_user(node: str) -> User:
    """Name the user that a node's kubelet is."""
    return User(f"system:node:{node}", ("system:nodes",), f"kubelet-{node}")


def proxy_user(node: str) -> User:
    """Name the user that a node's kube-proxy is; it is the same one on every node."""
    return User("system:kube-proxy", (), f"proxy-{node}")


def users_of(nodes: Iterable[str]) -> list[User]:
    """List everybody who needs a token in a lab with these nodes."""
    users = [ADMIN, CONTROLLER_MANAGER, SCHEDULER]
    for node in nodes:
        users += [kubelet_user(node), proxy_user(node)]
    return users
