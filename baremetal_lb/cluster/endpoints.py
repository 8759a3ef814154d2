"""An EndpointSlice, reduced to which nodes have endpoints that serve."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any

from baremetal_lb.cluster.service import ServiceKey

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
MAX_REMEMBERED_SETS = 1024


@dataclass(frozen=True, slots=True)
class EndpointSliceView:
    """The serving endpoints of one slice: `nodes` names each node once, `anywhere` counts endpoints without one too."""

    namespace: str
    name: str
    service: ServiceKey | None
    nodes: frozenset[str]
    anywhere: bool


def parse_endpoint_slice(raw: Mapping[str, Any]) -> EndpointSliceView:
    """Reduce an API server's EndpointSlice."""
    metadata = raw["metadata"]
    owner = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
    serving = [endpoint for endpoint in raw.get("endpoints") or () if _is_serving(endpoint)]
    return EndpointSliceView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        service=ServiceKey(metadata["namespace"], owner) if owner else None,
        nodes=_once(frozenset(intern(node) for endpoint in serving if (node := endpoint.get("nodeName")))),
        anywhere=bool(serving),
    )


@dataclass(frozen=True, slots=True)
class EndpointsView:
    """Where a Service is served, over all its slices."""

    nodes: frozenset[str] = frozenset()
    anywhere: bool = False


def merge_slices(slices: Iterable[EndpointSliceView]) -> EndpointsView:
    """Add up the slices of one Service."""
    kept = list(slices)
    if len(kept) == 1:
        return EndpointsView(kept[0].nodes, kept[0].anywhere)
    return EndpointsView(
        nodes=frozenset().union(*(one.nodes for one in kept)), anywhere=any(one.anywhere for one in kept)
    )


@lru_cache(maxsize=MAX_REMEMBERED_SETS)
def _once(nodes: frozenset[str]) -> frozenset[str]:
    """Keep one of many equal sets: thousands of Services have their endpoints on the same few nodes."""
    return nodes


def _is_serving(endpoint: Mapping[str, Any]) -> bool:
    """Ready (unset means ready), or terminating but still serving (KEP-1669): kube-proxy uses just these."""
    conditions = endpoint.get("conditions") or {}
    if not endpoint.get("addresses"):
        return False
    return conditions.get("ready") is not False or conditions.get("serving") is True
