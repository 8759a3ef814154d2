"""A Node, reduced to what decides whether it may announce."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True, slots=True)
class NodeView:
    """What we use of a Node."""

    name: str
    labels: Mapping[str, str]
    excluded: bool
    network_unavailable: bool


def parse_node(raw: Mapping[str, Any]) -> NodeView:
    """Reduce an API server's Node."""
    labels = raw["metadata"].get("labels") or {}
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return NodeView(
        name=raw["metadata"]["name"],
        labels=labels,
        excluded=EXCLUDE_LABEL in labels,
        network_unavailable=any(
            one.get("type") == "NetworkUnavailable" and one.get("status") == "True" for one in conditions
        ),
    )
