"""A Namespace, reduced to what decides which pools its Services may use, and how much of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUOTA_ANNOTATION = "baremetal-lb.io/address-quota"
"""On a Namespace: how many addresses of each family its Services may have in all."""


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """What we use of a Namespace. `unreadable_quota` holds a quota that is no number, word for word."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    quota: int | None = None
    unreadable_quota: str = ""


def parse_namespace(raw: Mapping[str, Any]) -> NamespaceView:
    """Reduce an API server's Namespace."""
    metadata = raw["metadata"]
    quota = (metadata.get("annotations") or {}).get(QUOTA_ANNOTATION, "").strip()
    is_number = quota.isascii() and quota.isdigit()
    return NamespaceView(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        quota=int(quota) if is_number else None,
        unreadable_quota="" if is_number else quota,
    )
