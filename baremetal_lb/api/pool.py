"""IPAddressPool: addresses that Services may get."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from baremetal_lb.api.base import (
    AGE_COLUMN,
    NAME_MAX,
    READY_COLUMN,
    SET_OF_OBJECTS,
    SET_OF_TEXTS,
    WRITTEN_AS_A_WHOLE,
    ApiModel,
    Conditions,
    CustomResource,
    DNSLabel,
    Names,
    PrinterColumn,
    Rule,
    Set,
    at_least_one,
    rules,
)
from baremetal_lb.api.entry import Entry, SingleAddress
from baremetal_lb.api.l2 import InterfaceName, MACAddress
from baremetal_lb.api.selector import SELECTORS_MAX, LabelKey, LabelSelector

ENTRIES_MAX = 1000
CLASSES_MAX = 16
NAMESPACES_MAX = 256
QUARANTINED_MAX = 256
"""A pool says of so many addresses that they are in quarantine; further ones are not."""
COUNT_MAX = 2**63 - 1
"""The largest count that the API server can store; an IPv6 /64 has more addresses."""


class AllocationOrder(StrEnum):
    """Which of a pool's free addresses a Service gets."""

    SEQUENTIAL = "Sequential"
    RANDOM = "Random"
    STICKY = "Sticky"


class ReclaimPolicy(StrEnum):
    """What follows for the Services whose address their pool no longer has."""

    RETAIN = "Retain"
    REASSIGN = "Reassign"


class ConflictPolicy(StrEnum):
    """What follows where a host that is none of ours uses an address of the pool."""

    DEFEND = "Defend"
    QUARANTINE = "Quarantine"
    YIELD = "Yield"


_EXCLUSIVE_NEEDS_A_RULE = (
    "an exclusive pool must say for whom it is; write namespaces, namespaceSelectors or serviceSelectors"
)


class ServiceAllocation(ApiModel):
    """For whom a pool is, and how much of it they get."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!self.exclusive || (has(self.namespaces) && size(self.namespaces) > 0)"
                " || (has(self.namespaceSelectors) && size(self.namespaceSelectors) > 0)"
                " || (has(self.serviceSelectors) && size(self.serviceSelectors) > 0)",
                _EXCLUSIVE_NEEDS_A_RULE,
            )
        )
    )

    priority: int = Field(default=0, ge=0)
    """Which pool is tried first: the lower number; 0 is tried last. Among equals the older pool is."""
    namespaces: Set[DNSLabel] = Field(default=(), max_length=NAMESPACES_MAX, json_schema_extra=SET_OF_TEXTS)
    """Names of the namespaces whose Services may use the pool, next to those that namespaceSelectors match. Without
    either, all namespaces."""
    namespace_selectors: Set[LabelSelector] = Field(
        default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Selectors of namespaces by their labels. The Services of a namespace that any of them matches may use the
    pool. Selectors that match no namespace admit nobody."""
    service_selectors: Set[LabelSelector] = Field(
        default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Selectors of Services by their labels. A Service that any of them matches may use the pool, if its namespace
    may. Without any, every Service may."""
    exclusive: bool = False
    """Whether the Services that may use this pool get their addresses of exclusive pools only."""
    namespace_quota: int | None = Field(default=None, ge=0)
    """How many addresses of each IP family the Services of one namespace may have of this pool."""

    @model_validator(mode="after")
    def _exclusive_for_somebody(self) -> Self:
        if self.exclusive and not (self.namespaces or self.namespace_selectors or self.service_selectors):
            raise ValueError(_EXCLUSIVE_NEEDS_A_RULE)
        return self


class IPAddressPoolSpec(ApiModel):
    """Which addresses the pool has, how they are given out, and to whom."""

    addresses: Annotated[Set[Entry], at_least_one("CIDR or range")] = Field(
        max_length=ENTRIES_MAX, json_schema_extra={"minItems": 1, **SET_OF_TEXTS}
    )
    """The addresses, each entry a CIDR (192.0.2.0/24) or a range (192.0.2.10-192.0.2.20). IPv4 and IPv6 may share a
    pool. One address is written with /32 or /128. No two pools may have an address in common."""
    excluded_addresses: Set[Entry] = Field(default=(), max_length=ENTRIES_MAX, json_schema_extra=SET_OF_TEXTS)
    """Addresses that no Service gets although they are the pool's, written in the same way."""
    auto_assign: bool = True
    """Whether a Service gets an address of this pool without asking for the pool or the address."""
    avoid_buggy_ips: bool = Field(default=False, alias="avoidBuggyIPs")
    """Whether IPv4 addresses that end in .0 or .255 stay unused, since some old equipment refuses them."""
    avoid_network_and_broadcast: bool = False
    """Whether the first and the last address of each IPv4 CIDR stay unused (/31 and /32 have none to spare), and the
    first of each IPv6 CIDR (not of /127 and /128). A range written as first-last is used whole."""
    allocation: AllocationOrder = AllocationOrder.SEQUENTIAL
    """Which free address a Service gets: the lowest (Sequential), any (Random), or one that follows from its name, so
    that a Service that is created again gets the one it had (Sticky)."""
    reclaim_policy: ReclaimPolicy = ReclaimPolicy.RETAIN
    """What follows for a Service whose address the pool no longer has: it keeps it (Retain), or it gets another as
    soon as one is free (Reassign)."""
    conflict_policy: ConflictPolicy = ConflictPolicy.DEFEND
    """What follows where a foreign host uses an address of the pool: we go on announcing it and say so on the segment
    (Defend), we fall silent until it is gone (Yield), or we fall silent and the Service gets another address while
    nobody gets this one for a time (Quarantine)."""
    load_balancer_classes: Set[LabelKey] = Field(default=(), max_length=CLASSES_MAX, json_schema_extra=SET_OF_TEXTS)
    """The loadBalancerClasses that the pool serves. Services without a class count as
    baremetal-lb.io/load-balancer, and that is what a pool without classes serves."""
    service_allocation: ServiceAllocation | None = None
    """For whom the pool is. Without it, for everyone; pools with it are tried first."""


Count = Annotated[int, Field(ge=0)]


class QuarantinedAddress(ApiModel):
    """An address that no Service gets, since a host that is none of ours uses it, or did a while ago."""

    address: SingleAddress
    """The address."""
    mac: MACAddress
    """The MAC address of the host."""
    node: str = Field(max_length=NAME_MAX)
    """The node that heard it."""
    interface: InterfaceName
    """The interface on which it was heard."""
    until: datetime | None = None
    """When the address may be given again; absent while the host is heard."""


class IPAddressPoolStatus(ApiModel):
    """How much of the pool is in use. A count of 9223372036854775807 means that many or more."""

    total_ipv4: Count | None = Field(default=None, alias="totalIPv4")
    """IPv4 addresses that the pool can give."""
    assigned_ipv4: Count | None = Field(default=None, alias="assignedIPv4")
    """IPv4 addresses that Services have."""
    reserved_ipv4: Count | None = Field(default=None, alias="reservedIPv4")
    """IPv4 addresses that are kept for a claim or used by a node, and that no Service has."""
    available_ipv4: Count | None = Field(default=None, alias="availableIPv4")
    """IPv4 addresses that are free."""
    total_ipv6: Count | None = Field(default=None, alias="totalIPv6")
    """IPv6 addresses that the pool can give."""
    assigned_ipv6: Count | None = Field(default=None, alias="assignedIPv6")
    """IPv6 addresses that Services have."""
    reserved_ipv6: Count | None = Field(default=None, alias="reservedIPv6")
    """IPv6 addresses that are kept for a claim or used by a node, and that no Service has."""
    available_ipv6: Count | None = Field(default=None, alias="availableIPv6")
    """IPv6 addresses that are free."""
    quarantined: tuple[QuarantinedAddress, ...] = Field(
        default=(), max_length=QUARANTINED_MAX, json_schema_extra=WRITTEN_AS_A_WHOLE
    )
    """The addresses in quarantine (conflictPolicy Quarantine). They are neither reserved nor available."""
    conditions: Conditions = ()
    """Whether the pool is in force (type Ready), and why not. Whether it has addresses that the cluster itself uses
    (type OverlapsCluster). Whether foreign hosts use any of its addresses now (type AddressConflict)."""


class IPAddressPool(CustomResource):
    """A pool of addresses that Services of type LoadBalancer get their addresses from."""

    names: ClassVar = Names("ipaddresspools", "ipaddresspool", ("lbpool",))
    printer_columns: ClassVar = (
        PrinterColumn("Addresses", "string", ".spec.addresses", "The addresses of the pool"),
        PrinterColumn(
            "Auto Assign", "boolean", ".spec.autoAssign", "Whether Services get its addresses without asking"
        ),
        PrinterColumn("IPv4 Total", "integer", ".status.totalIPv4", "IPv4 addresses that it can give"),
        PrinterColumn("IPv4 Used", "integer", ".status.assignedIPv4", "IPv4 addresses that Services have"),
        PrinterColumn("IPv4 Free", "integer", ".status.availableIPv4", "IPv4 addresses that are free"),
        PrinterColumn("IPv6 Total", "integer", ".status.totalIPv6", "IPv6 addresses that it can give"),
        PrinterColumn("IPv6 Used", "integer", ".status.assignedIPv6", "IPv6 addresses that Services have"),
        PrinterColumn("IPv6 Free", "integer", ".status.availableIPv6", "IPv6 addresses that are free"),
        PrinterColumn("Allocation", "string", ".spec.allocation", "Which free address a Service gets", 1),
        PrinterColumn("Reclaim Policy", "string", ".spec.reclaimPolicy", "What becomes of addresses it loses", 1),
        PrinterColumn(
            "Conflict Policy", "string", ".spec.conflictPolicy", "What follows where a host uses its address", 1
        ),
        PrinterColumn("Avoid Buggy IPs", "boolean", ".spec.avoidBuggyIPs", "Whether .0 and .255 stay unused", 1),
        READY_COLUMN,
        AGE_COLUMN,
    )

    spec: IPAddressPoolSpec
    status: IPAddressPoolStatus = IPAddressPoolStatus()
