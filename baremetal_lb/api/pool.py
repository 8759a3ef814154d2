"""IPAddressPool: addresses that Services may get."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from baremetal_lb.addresses import AddressRange
from baremetal_lb.api.base import (
    AGE_COLUMN,
    READY_COLUMN,
    SET_OF_TEXTS,
    ApiModel,
    Conditions,
    CustomResource,
    Names,
    PrinterColumn,
    Set,
)
from baremetal_lb.api.entry import Entry

ENTRIES_MAX = 1000
COUNT_MAX = 2**63 - 1
"""The largest count that the API server can store; an IPv6 /64 has more addresses."""


def _refuse_none(entries: tuple[AddressRange, ...]) -> tuple[AddressRange, ...]:
    if not entries:
        raise ValueError("is empty; write at least one CIDR or range")
    return entries


class IPAddressPoolSpec(ApiModel):
    """Which addresses the pool has, and how they are given out."""

    addresses: Annotated[Set[Entry], AfterValidator(_refuse_none)] = Field(
        max_length=ENTRIES_MAX, json_schema_extra={"minItems": 1, **SET_OF_TEXTS}
    )
    """The addresses, each entry a CIDR (192.0.2.0/24) or a range (192.0.2.10-192.0.2.20). IPv4 and IPv6 may share a
    pool. One address is written with /32 or /128. No two pools may have an address in common."""
    auto_assign: bool = True
    """Whether a Service gets an address of this pool without asking for the pool or the address."""
    avoid_buggy_ips: bool = Field(default=False, alias="avoidBuggyIPs")
    """Whether IPv4 addresses that end in .0 or .255 stay unused, since some old equipment refuses them."""


Count = Annotated[int, Field(ge=0)]


class IPAddressPoolStatus(ApiModel):
    """How much of the pool is in use. A count of 9223372036854775807 means that many or more."""

    total_ipv4: Count | None = Field(default=None, alias="totalIPv4")
    """IPv4 addresses that the pool can give."""
    assigned_ipv4: Count | None = Field(default=None, alias="assignedIPv4")
    """IPv4 addresses that Services have."""
    available_ipv4: Count | None = Field(default=None, alias="availableIPv4")
    """IPv4 addresses that are free."""
    total_ipv6: Count | None = Field(default=None, alias="totalIPv6")
    """IPv6 addresses that the pool can give."""
    assigned_ipv6: Count | None = Field(default=None, alias="assignedIPv6")
    """IPv6 addresses that Services have."""
    available_ipv6: Count | None = Field(default=None, alias="availableIPv6")
    """IPv6 addresses that are free."""
    conditions: Conditions = ()
    """Whether the pool is in force (type Ready), and why not."""


class IPAddressPool(CustomResource):
    """A pool of addresses that Services of type LoadBalancer get their addresses from."""

    names: ClassVar = Names("ipaddresspools", "ipaddresspool", ("lbpool",))
    printer_columns: ClassVar = (
        PrinterColumn("Addresses", "string", ".spec.addresses", "The addresses of the pool"),
        PrinterColumn(
            "Auto Assign", "boolean", ".spec.autoAssign", "Whether Services get its addresses without asking"
        ),
        PrinterColumn("IPv4 Used", "integer", ".status.assignedIPv4", "IPv4 addresses that Services have"),
        PrinterColumn("IPv4 Free", "integer", ".status.availableIPv4", "IPv4 addresses that are free"),
        PrinterColumn("IPv6 Used", "integer", ".status.assignedIPv6", "IPv6 addresses that Services have"),
        PrinterColumn("IPv6 Free", "integer", ".status.availableIPv6", "IPv6 addresses that are free", 1),
        PrinterColumn("Avoid Buggy IPs", "boolean", ".spec.avoidBuggyIPs", "Whether .0 and .255 stay unused", 1),
        READY_COLUMN,
        AGE_COLUMN,
    )

    spec: IPAddressPoolSpec
    status: IPAddressPoolStatus = IPAddressPoolStatus()
