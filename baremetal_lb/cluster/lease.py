"""A speaker's Lease: how it says that it is alive.

The object belongs to its Node, so the garbage collector removes it with the Node.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LEASE_PREFIX = "speaker-"
COMPONENT_LABEL = "baremetal-lb.io/component"
SPEAKER_SELECTOR = f"{COMPONENT_LABEL}=speaker"


@dataclass(frozen=True, slots=True)
class LeaseView:
    """What a speaker says of itself.

    `identity` names the run of the process and is empty once it has let go; `renewed` is compared with itself only,
    never with a clock.
    """

    node: str
    identity: str
    renewed: str

    @property
    def released(self) -> bool:
        """Whether its speaker stopped on purpose."""
        return not self.identity


def lease_name(node: str) -> str:
    """Name the Lease of a node's speaker."""
    return LEASE_PREFIX + node


def node_of_lease(name: str) -> str:
    """Name the node whose speaker has the Lease."""
    return name.removeprefix(LEASE_PREFIX)


def parse_lease(raw: Mapping[str, Any]) -> LeaseView:
    """Reduce an API server's Lease."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    return LeaseView(
        node=node_of_lease(metadata["name"]),
        identity=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
    )


def new_lease(namespace: str, node: str, node_uid: str) -> dict[str, Any]:
    """Make the Lease of a node's speaker, held by nobody yet."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": lease_name(node),
            "labels": {COMPONENT_LABEL: "speaker"},
            "ownerReferences": [owner],
        },
        "spec": {},
    }


def held(lease: Mapping[str, Any], identity: str, *, at: datetime, seconds: float) -> dict[str, Any]:
    """Render the Lease as this run of the speaker renews it."""
    spec = lease.get("spec") or {}
    now = micro_time(at)
    same_holder = spec.get("holderIdentity") == identity
    return {
        **lease,
        "spec": {
            "holderIdentity": identity,
            "leaseDurationSeconds": max(1, round(seconds)),
            "acquireTime": spec.get("acquireTime", now) if same_holder else now,
            "renewTime": now,
        },
    }


def released(lease: Mapping[str, Any]) -> dict[str, Any]:
    """Render the Lease as a speaker leaves it that stops on purpose."""
    spec = {name: value for name, value in (lease.get("spec") or {}).items() if name != "holderIdentity"}
    return {**lease, "spec": spec}


def micro_time(at: datetime) -> str:
    """Write a time of UTC the way a Lease has it."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
