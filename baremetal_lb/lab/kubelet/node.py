"""The Node object and its Lease: what keeps the control plane believing in this node."""

import asyncio
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.lab.binaries import KUBERNETES_VERSION
from baremetal_lb.lab.kubelet.status import timestamp

LEASE_SECONDS = 40
RENEW_SECONDS = 5.0
"""Well below the node controller's patience (40 s to 50 s), and below a shorter one that a lab may choose."""

MAX_PODS = 200
STRATEGIC_MERGE = "application/strategic-merge-patch+json"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What this node is."""

    name: str
    addresses: tuple[str, ...]
    pod_networks: tuple[str, ...]
    labels: Mapping[str, str]


def node_document(node: NodeSpec, now: float) -> dict[str, Any]:
    """Write the Node as it is registered, status included, so that it is Ready from the start."""
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        **node.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"podCIDR": node.pod_networks[0], "podCIDRs": list(node.pod_networks)},
        "status": node_status(node, now),
    }


def node_status(node: NodeSpec, now: float) -> dict[str, Any]:
    """Write the status: a healthy node with room for Pods."""
    room = {"cpu": str(os.cpu_count() or 1), "memory": "16Gi", "pods": str(MAX_PODS)}
    healthy = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
    return {
        "addresses": [*addresses, {"type": "Hostname", "address": node.name}],
        "capacity": room,
        "allocatable": room,
        "conditions": [
            {"type": kind, "status": status, "reason": "LabNode", "lastHeartbeatTime": timestamp(now)}
            for kind, status in healthy.items()
        ],
        "nodeInfo": {
            "architecture": _architecture(),
            "bootID": "",
            "containerRuntimeVersion": "lab://0.1.0",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": f"v{KUBERNETES_VERSION}",
            "machineID": node.name,
            "operatingSystem": "linux",
            "osImage": "baremetal-lb lab",
            "systemUUID": node.name,
        },
    }


def status_patch(node: NodeSpec, now: float) -> dict[str, Any]:
    """Write the patch of the status: its addresses as a whole, since merging by type would lose one of a family."""
    status = node_status(node, now)
    return {"status": status | {"addresses": [*status["addresses"], {"$patch": "replace"}]}}


def lease_document(node: NodeSpec, node_uid: str, now: float) -> dict[str, Any]:
    """Write the Lease, owned by its Node."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.name, "ownerReferences": [owner]},
        "spec": {
            "holderIdentity": node.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        },
    }


async def keep_node(client: KubeClient, node: NodeSpec) -> None:
    """Register the node and renew its status and Lease for ever, also where somebody deletes them meanwhile."""
    while True:
        try:
            uid = await _renew_node(client, node)
            await _renew_lease(client, node, uid)
        except ApiError as error:
            log.warning("node not renewed", error=str(error))
        await asyncio.sleep(RENEW_SECONDS)


async def _renew_node(client: KubeClient, node: NodeSpec) -> str:
    """Patch the Node's status and labels, or create it; answer its UID."""
    path, now = f"/api/v1/nodes/{node.name}", time.time()
    try:
        raw = await client.patch(f"{path}/status", status_patch(node, now), content_type=STRATEGIC_MERGE)
        wanted = node_document(node, now)["metadata"]["labels"]
        if not wanted.items() <= (raw["metadata"].get("labels") or {}).items():
            await client.patch(path, {"metadata": {"labels": wanted}})
    except ApiError as error:
        if error.status != 404:
            raise
        raw = await client.create("/api/v1/nodes", node_document(node, now))
        log.info("node registered", node=node.name)
    return str(raw["metadata"]["uid"])


async def _renew_lease(client: KubeClient, node: NodeSpec, node_uid: str) -> None:
    collection = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    lease = lease_document(node, node_uid, time.time())
    try:
        await client.patch(f"{collection}/{node.name}", lease)
    except ApiError as error:
        if error.status != 404:
            raise
        await client.create(collection, lease)


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
