"""A Node, reduced to what decides whether it may announce, or to the addresses that it uses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, AddressRange, parse_address
from baremetal_lb.cluster.conditions import condition_of
from baremetal_lb.cluster.ranges import parse_ranges

OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"
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


def parse_node(raw: Mapping[str, Any]) -> NodeView:
    """Reduce an API server's Node."""
    labels = raw["metadata"].get("labels") or {}
    taints = (raw.get("spec") or {}).get("taints") or ()
    return NodeView(
        name=raw["metadata"]["name"],
        labels=labels,
        excluded=EXCLUDE_LABEL in labels,
        network_unavailable=condition_of(raw, "NetworkUnavailable").get("status") == "True",
        not_ready=condition_of(raw, "Ready").get("status", "True") != "True",
        out_of_service=any(one.get("key") == OUT_OF_SERVICE_TAINT for one in taints),
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
        addresses=tuple(_parse_addresses(status)),
        pod_ranges=parse_ranges(spec.get("podCIDRs") or ()),
    )


def _parse_addresses(status: Mapping[str, Any]) -> Iterator[Address]:
    for entry in status.get("addresses") or ():
        if entry.get("type") in {"InternalIP", "ExternalIP"}:
            try:
                yield parse_address(entry.get("address", ""))
            except ValueError:
                continue
