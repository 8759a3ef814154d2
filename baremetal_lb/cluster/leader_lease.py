"""The Lease that says which replica of the controller leads.

It is written with merge patches that name a resourceVersion: of two that want it, the API server lets one have it, and
what others wrote there stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from baremetal_lb.cluster.lease import micro_time

LEADER_LEASE = "controller"


@dataclass(frozen=True, slots=True)
class LeaderLease:
    """Who leads, by the name of a run of the process; empty where nobody does."""

    holder: str
    version: int
    """The resourceVersion as a number: Kubernetes promises that it grows (KEP-5504)."""

    seconds: float
    """How long the holder may be silent, by its own word; 0 where it says nothing."""

    is_new: bool = False
    """Whether nobody has had it yet, in contrast to one that was let go."""


def parse_leader_lease(raw: Mapping[str, Any]) -> LeaderLease:
    """Reduce an API server's Lease."""
    spec = raw.get("spec") or {}
    return LeaderLease(
        holder=spec.get("holderIdentity") or "",
        version=int(raw["metadata"]["resourceVersion"]),
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        is_new=not spec.get("holderIdentity") and not spec.get("acquireTime"),
    )


def new_leader_lease(namespace: str, *, seconds: float) -> dict[str, Any]:
    """Make the Lease where there is none, held by nobody."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": LEADER_LEASE},
        "spec": {"leaseDurationSeconds": ceil(seconds)},
    }


def claim_patch(version: int, identity: str, *, at: datetime, seconds: float) -> dict[str, Any]:
    """Take the Lease."""
    return _patch(version, _spec(identity, at, seconds, is_claim=True))


def renewal_patch(version: int, identity: str, *, at: datetime, seconds: float) -> dict[str, Any]:
    """Keep the Lease."""
    return _patch(version, _spec(identity, at, seconds, is_claim=False))


def release_patch(version: int) -> dict[str, Any]:
    """Let the Lease go."""
    return _patch(version, {"holderIdentity": None})


def _patch(version: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "spec": dict(spec)}


def _spec(identity: str, at: datetime, seconds: float, *, is_claim: bool) -> dict[str, Any]:
    now = micro_time(at)
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": ceil(seconds),
        "renewTime": now,
        **({"acquireTime": now} if is_claim else {}),
    }
