"""A Service whose failover is watched: one node announces an address of each family, and another one serves them.

So what is seen is the move of the addresses and nothing else. One client opens connections; who answers for the
addresses is asked by another one, since a host that asks learns the answer, and would not need to be told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

PATIENCE_SECONDS = 60.0
"""Against hanging. Kubernetes itself needs half a minute for new endpoints after its API server was away."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it happens."""

    lab: Lab
    corner: Sandbox
    client: Vantage
    observer: Vantage
    addresses: tuple[Address, ...]

    def holder(self) -> str:
        """Wait until one node announces all the addresses and the client is served, and name the node."""
        for address in self.addresses:
            self._wait_for(f"a page from {address}", lambda: self.client.reaches(address))  # noqa: B023
        (node,) = wait_for(
            "one node announces all", self.announcers, lambda seen: len(seen) == 1, within=PATIENCE_SECONDS
        )
        return node

    def announcers(self) -> set[str]:
        """Name the nodes that answer for any of the addresses; `nobody` among them where there is one without."""
        return {node for address in self.addresses for node in self.observer.announcers(address) or {"nobody"}}

    def wait_until_holder(self, node: str) -> None:
        """Wait until it alone announces all the addresses, and the client knows."""
        wait_for(f"{node} announces all", self.announcers, lambda seen: seen == {node}, within=PATIENCE_SECONDS)
        for address in self.addresses:
            self._wait_for(f"the client knows {node}", lambda: self.client.neighbour_node(address) == node)  # noqa: B023

    def wait_until_idle(self, node: str) -> None:
        """Wait until a node's speaker is ready and says that it holds none of the addresses."""
        self._wait_for(f"the speaker of {node} is ready", lambda: self._is_ready(node))
        self._wait_for(f"{node} says that it holds nothing", lambda: not self._said_by(node) & set(self.addresses))

    def advertise(self, **spec: Any) -> None:
        """Change the addresses' advertisement."""
        self.corner.patch("L2Advertisement", self.corner.name("stage"), {"spec": spec})

    def replace_speaker(self, node: str, grace_seconds: int | None = None) -> None:
        """Delete the speaker's Pod of a node; its DaemonSet makes a new one."""
        body = None if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        for pod in self._speaker_pods(node):
            path = f"{objects.collection('Pod', PRODUCT_NAMESPACE)}/{pod['metadata']['name']}"
            self.lab.request("DELETE", path, body)

    def _speaker_pods(self, node: str) -> list[Object]:
        query = f"labelSelector=app.kubernetes.io/component=speaker&fieldSelector=spec.nodeName={node}"
        pods: list[Object] = self.lab.get_json(f"{objects.collection('Pod', PRODUCT_NAMESPACE)}?{query}")["items"]
        return pods

    def _is_ready(self, node: str) -> bool:
        """Tell whether it has one speaker, which is ready and not on its way out."""
        pods = self._speaker_pods(node)
        conditions = [one for pod in pods for one in pod["status"].get("conditions", ()) if one["type"] == "Ready"]
        is_leaving = any("deletionTimestamp" in pod["metadata"] for pod in pods)
        return not is_leaving and [one["status"] for one in conditions] == ["True"]

    def _said_by(self, node: str) -> set[Address]:
        status = self.lab.get_json(f"{objects.collection('SpeakerStatus')}/{node}").get("status", {})
        return {parse_address(one["address"]) for one in status.get("addresses", ())}

    def _wait_for(self, what: str, look: Callable[[], object]) -> None:
        wait_for(what, look, within=PATIENCE_SECONDS)


def set_stage(lab: Lab, corner: Sandbox, selector: Mapping[str, str], announcers: Sequence[str]) -> Stage:
    """Make a dual-stack Service for Pods that are there. The first of the announcers holds its addresses."""
    name = corner.name("stage")
    corner.create(objects.pool(name, corner.block.ranges()))
    corner.create(objects.advertisement(name, [name], nodeSelectors=select_nodes(announcers[:1])))
    addresses = corner.request_service("stage", selector).assigned()
    client, observer = (Vantage(lab.paths, lab.topology, host) for host in ("client1", "client2"))
    stage = Stage(lab, corner, client, observer, addresses)
    stage.wait_until_holder(stage.holder())
    stage.advertise(nodeSelectors=select_nodes(announcers))
    return stage


def select_nodes(names: Iterable[str]) -> list[Object]:
    """Write the selectors of nodes by name."""
    return [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(names)}]}]


def prefer_nodes(weights: Mapping[str, int]) -> list[Object]:
    """Write the preferences of nodes by name."""
    labels = {node: {"kubernetes.io/hostname": node} for node in weights}
    return [{"weight": weight, "preference": {"matchLabels": labels[node]}} for node, weight in weights.items()]
