"""L2Advertisement: which pools are announced on the local network, from which nodes and interfaces."""

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
INTERFACES_MAX = 64

PoolName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_MAX)]
InterfaceName = Annotated[str, StringConstraints(pattern="^[!-.0-9;-~]{1,15}$")]
"""What Linux takes as a name: up to 15 printable characters without slash, colon and blank."""


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
    service_selectors: Set[LabelSelector] = Field(
        default=(), max_length=SELECTORS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Selectors of Services by their labels. An address is announced if any of them matches a Service that has it.
    Without any, every Service's is."""
    interfaces: Set[InterfaceName] = Field(default=(), max_length=INTERFACES_MAX, json_schema_extra=SET_OF_TEXTS)
    """Names of the network interfaces to announce on. Without any, every suitable interface of the node."""


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
        PrinterColumn("Node Selectors", "string", ".spec.nodeSelectors", "The nodes by label", 1),
        READY_COLUMN,
        AGE_COLUMN,
    )

    spec: L2AdvertisementSpec = L2AdvertisementSpec()
    status: L2AdvertisementStatus = L2AdvertisementStatus()
