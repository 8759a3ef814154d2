"""A Node, reduced to what decides whether it may announce, or to the addresses that it uses."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, AddressRange, parse_address
from baremetal_lb.cluster.conditions import condition_of
from baremetal_lb.cluster.ranges import parse_ranges

OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"
TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"
"""By this the cluster autoscaler says, before it drains a node, that it will remove the machine. Kubernetes takes the
node out of cloud load balancers by it, and kube-proxy's health port says so, too (KEP-3836)."""

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True, slots=True)
class NodeView:
    """What we use of a Node. One that says nothing about being ready is not `not_ready`."""

    name: str
    labels: Mapping[str, str]
    excluded: bool
    network_unavailable: bool
    not_ready: bool = False
    out_of_service: bool = False
    cordoned: bool = False
    leaving: bool = False
    """Whether the Node is being deleted, or its machine is about to be."""

    addresses: tuple[Address, ...] = ()
    """Where the other nodes reach it, the first by IPv4 if there is one."""


def parse_node(raw: Mapping[str, Any]) -> NodeView:
    """Reduce an API server's Node."""
    labels = raw["metadata"].get("labels") or {}
    spec = raw.get("spec") or {}
    taints = {one.get("key") for one in spec.get("taints") or ()}
    return NodeView(
        name=raw["metadata"]["name"],
        labels=labels,
        excluded=EXCLUDE_LABEL in labels,
        network_unavailable=condition_of(raw, "NetworkUnavailable").get("status") == "True",
        not_ready=condition_of(raw, "Ready").get("status", "True") != "True",
        out_of_service=OUT_OF_SERVICE_TAINT in taints,
        cordoned=bool(spec.get("unschedulable")),
        leaving=TO_BE_DELETED_TAINT in taints or "deletionTimestamp" in raw["metadata"],
        addresses=tuple(sorted(_parse_addresses(raw.get("status") or {}, {"InternalIP"}), key=lambda one: one.version)),
    )


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The addresses of a Node itself, and those of its Pods as far as Kubernetes gives them out."""

    name: str
    addresses: tuple[Address, ...]
    pod_ranges: tuple[AddressRange, ...]


def parse_node_network(raw: Mapping[str, Any]) -> NodeNetwork:
    """Reduce an API server's Node. Host names, and what is no address, are passed over."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return NodeNetwork(
        name=raw["metadata"]["name"],
        addresses=tuple(_parse_addresses(status, {"InternalIP", "ExternalIP"})),
        pod_ranges=parse_ranges(spec.get("podCIDRs") or ()),
    )


def _parse_addresses(status: Mapping[str, Any], kinds: Collection[str]) -> Iterator[Address]:
    for entry in status.get("addresses") or ():
        if entry.get("type") in kinds:
            try:
                yield parse_address(entry.get("address", ""))
            except ValueError:
                continue
