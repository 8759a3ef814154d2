"""A Service, reduced to what decides its addresses and who announces them.

There are thousands, and JSON makes every text anew for each: what many have in common is kept once (`intern`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from sys import intern
from typing import Any, NamedTuple

from baremetal_lb.addresses import Address, Family, parse_address

LOAD_BALANCER_CLASS = "baremetal-lb.io/load-balancer"
"""The `spec.loadBalancerClass` that is ours; Services without any class are ours too."""

ANNOUNCED_CONDITION = "baremetal-lb.io/Announced"
"""The condition by which speakers tell a Service's user who announces its addresses."""


class ServiceKey(NamedTuple):
    """Namespace and name of a Service."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class FamilyPolicy(StrEnum):
    """`spec.ipFamilyPolicy` (KEP-563)."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


class TrafficPolicy(StrEnum):
    """`spec.externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class Port(NamedTuple):
    """What two Services on one address may not both have."""

    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What we use of a Service. `ingress` holds the addresses of its status; `names_a_host`: a host name is there."""

    key: ServiceKey
    uid: str
    resource_version: str
    created_at: datetime
    is_load_balancer: bool
    load_balancer_class: str | None
    families: tuple[Family, ...]
    family_policy: FamilyPolicy
    has_cluster_ip: bool
    traffic_policy: TrafficPolicy
    load_balancer_ip: str
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    ports: tuple[Port, ...]
    ingress: tuple[Address, ...]
    names_a_host: bool
    conditions: tuple[Mapping[str, Any], ...]
    deleting: bool

    @property
    def is_ours(self) -> bool:
        """Whether it wants a load balancer and leaves the choice open or names us; pools may serve more classes."""
        return self.is_load_balancer and self.load_balancer_class in {None, LOAD_BALANCER_CLASS}


OUR_ANNOTATION_PREFIXES = ("baremetal-lb.io/", "metallb.io/", "metallb.universe.tf/")


def parse_service(raw: Mapping[str, Any]) -> ServiceView:
    """Reduce an API server's Service; what a field's absence means follows the API's defaults."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    cluster_ips = [ip for ip in spec.get("clusterIPs") or [] if ip and ip != "None"]
    return ServiceView(
        key=ServiceKey(intern(metadata["namespace"]), metadata["name"]),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        created_at=parse_time(metadata.get("creationTimestamp")),
        is_load_balancer=spec.get("type") == "LoadBalancer",
        load_balancer_class=spec.get("loadBalancerClass"),
        families=tuple(Family(word) for word in spec.get("ipFamilies") or ()),
        family_policy=FamilyPolicy(spec.get("ipFamilyPolicy") or FamilyPolicy.SINGLE_STACK),
        has_cluster_ip=bool(cluster_ips),
        traffic_policy=TrafficPolicy(spec.get("externalTrafficPolicy") or TrafficPolicy.CLUSTER),
        load_balancer_ip=spec.get("loadBalancerIP") or "",
        annotations={
            _once(name): value
            for name, value in (metadata.get("annotations") or {}).items()
            if name.startswith(OUR_ANNOTATION_PREFIXES)
        },
        labels=_interned(metadata.get("labels") or {}),
        selector=_interned(spec.get("selector") or {}),
        ports=tuple(Port(port.get("protocol", "TCP"), port["port"]) for port in spec.get("ports") or ()),
        ingress=_parse_ingress(status),
        names_a_host=any(entry.get("hostname") for entry in _ingress(status)),
        conditions=tuple(map(_interned, status.get("conditions") or ())),
        deleting="deletionTimestamp" in metadata,
    )


def parse_time(text: str | None) -> datetime:
    """Parse an API server's timestamp; an object without one counts as the oldest possible."""
    return datetime.fromisoformat(text or "1970-01-01T00:00:00+00:00")


def _interned(texts: Mapping[str, Any]) -> Mapping[str, Any]:
    return {_once(name): _once(value) for name, value in texts.items()}


def _once(value: Any) -> Any:
    """Keep one of many equal texts; whatever is no plain text stays as it is."""
    return intern(value) if type(value) is str else value


def _ingress(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (status.get("loadBalancer") or {}).get("ingress") or []


def _parse_ingress(status: Mapping[str, Any]) -> tuple[Address, ...]:
    """Take the addresses of a Service's status in the order written there.

    Others may have written there too: hostnames and what is no address are passed over.
    """
    addresses: dict[Address, None] = {}
    for entry in _ingress(status):
        try:
            addresses[parse_address(entry.get("ip", ""))] = None
        except ValueError:
            continue
    return tuple(addresses)
