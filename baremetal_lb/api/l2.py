"""L2Advertisement: which pools are announced on the local network, from which nodes and interfaces."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from baremetal_lb.api.base import (
    AGE_COLUMN,
    NAME_MAX,
    READY_COLUMN,
    SET_OF_OBJECTS,
    SET_OF_TEXTS,
    ApiModel,
    Conditions,
    CustomResource,
    Names,
    PrinterColumn,
    Set,
)
from baremetal_lb.api.selector import SELECTORS_MAX, LabelSelector

POOLS_MAX = 256
PREFERENCES_MAX = 16
INTERFACES_MAX = 64
PREEMPTION_DELAY_MAX_SECONDS = 86_400

PoolName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_MAX)]
InterfaceName = Annotated[str, StringConstraints(pattern="^[!-.0-9;-~]{1,15}$")]
"""What Linux takes as a name: up to 15 printable characters without slash, colon and blank."""
MACAddress = Annotated[str, StringConstraints(pattern="^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]


class Preemption(StrEnum):
    """Whether a better node takes an address from a holder that does its work."""

    NEVER = "Never"
    DELAYED = "Delayed"


class Segment(StrEnum):
    """On which of a node's segments an address may be announced."""

    ANY = "Any"
    ON_LINK = "OnLink"


class CordonedNodes(StrEnum):
    """What follows for a node that is cordoned."""

    STAY = "Stay"
    LEAVE = "Leave"


class PreferredNodes(ApiModel):
    """Nodes that are preferred, and how much."""

    weight: int = Field(ge=1, le=100)
    """How much these nodes are preferred: the weights of all that match a node add up, and the highest sum wins."""
    preference: LabelSelector
    """A selector of the nodes, by their labels."""


class L2AdvertisementSpec(ApiModel):
    """Which pools are announced, and from where. Every part is optional: an empty one announces all from everywhere."""

    ip_address_pools: Set[PoolName] = Field(default=(), max_length=POOLS_MAX, json_schema_extra=SET_OF_TEXTS)
    """Names of the pools to announce, next to those that ipAddressPoolSelectors match. Without either, all pools."""
    ip_address_pool_selectors: Set[LabelSelector] = Field(
        default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Selectors of pools by their labels. A pool that any of them matches is announced."""
    node_selectors: Set[LabelSelector] = Field(default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS)
    """Selectors of the nodes that may announce, by their labels. A node that any of them matches may. Without any,
    every node may."""
    preferred_node_selectors: Set[PreferredNodes] = Field(
        default=(), max_length=PREFERENCES_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Which of the nodes that may announce should. Another does only while no preferred one can."""
    preemption: Preemption = Preemption.DELAYED
    """Whether an address moves to a node that is preferred more than its holder: Delayed (once that node could
    announce for preemptionDelaySeconds) or Never (only when the holder can't any more)."""
    preemption_delay_seconds: int = Field(default=30, ge=0, le=PREEMPTION_DELAY_MAX_SECONDS)
    """For how long a node that is preferred more must have been able to announce before an address moves to it."""
    service_selectors: Set[LabelSelector] = Field(
        default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Selectors of Services by their labels. An address is announced if any of them matches a Service that has it.
    Without any, every Service's is."""
    interfaces: Set[InterfaceName] = Field(default=(), max_length=INTERFACES_MAX, json_schema_extra=SET_OF_TEXTS)
    """Names of the network interfaces to announce on. Without any, every suitable interface of the node."""
    segment: Segment = Segment.ANY
    """Where to announce an address: on any interface (Any), or only on interfaces of which the node has an address
    itself in a network that the announced one is in, too (OnLink)."""
    answer_ping: bool = False
    """Whether the node that announces an address answers to ping for it. It stops with the announcement, so where no
    endpoint is ready there is no answer. One advertisement of the address that says so is enough."""
    cordoned_nodes: CordonedNodes = CordonedNodes.STAY
    """What follows for a node that is cordoned, as kubectl drain does first: it goes on announcing (Stay), or another
    node takes its addresses over while there is one (Leave)."""


class L2AdvertisementStatus(ApiModel):
    """Whether the advertisement is in force."""

    conditions: Conditions = ()
    """Whether the advertisement is in force (type Ready), and why not."""


class L2Advertisement(CustomResource):
    """Announces the addresses of pools on the local network with ARP (IPv4) and NDP (IPv6)."""

    names: ClassVar = Names("l2advertisements", "l2advertisement", ("l2ad",))
    printer_columns: ClassVar = (
        PrinterColumn("Pools", "string", ".spec.ipAddressPools", "The pools announced by name"),
        PrinterColumn("Interfaces", "string", ".spec.interfaces", "The interfaces it is limited to"),
        PrinterColumn("Pool Selectors", "string", ".spec.ipAddressPoolSelectors", "The pools by label", 1),
        PrinterColumn("Service Selectors", "string", ".spec.serviceSelectors", "The Services by label", 1),
        PrinterColumn("Segment", "string", ".spec.segment", "On which segments", 1),
        PrinterColumn("Node Selectors", "string", ".spec.nodeSelectors", "The nodes by label", 1),
        READY_COLUMN,
        AGE_COLUMN,
    )

    spec: L2AdvertisementSpec = L2AdvertisementSpec()
    status: L2AdvertisementStatus = L2AdvertisementStatus()
