"""IPAddressClaim: addresses that are kept for one Service, or for something outside of the cluster."""

from typing import Annotated, ClassVar

from pydantic import Field

from baremetal_lb.api.base import (
    AGE_COLUMN,
    READY,
    READY_COLUMN,
    SET_OF_TEXTS,
    ApiModel,
    Conditions,
    CustomResource,
    DNSLabel,
    Names,
    PrinterColumn,
    Set,
    at_least_one,
)
from baremetal_lb.api.entry import SingleAddress

ADDRESSES_MAX = 16
DESCRIPTION_LENGTH_MAX = 256


class ServiceReference(ApiModel):
    """A Service by its name, whether it exists or not."""

    namespace: DNSLabel
    """The namespace of the Service."""
    name: DNSLabel
    """The name of the Service."""


class IPAddressClaimSpec(ApiModel):
    """Which addresses are kept, and for whom."""

    addresses: Annotated[Set[SingleAddress], at_least_one("address")] = Field(
        max_length=ADDRESSES_MAX, json_schema_extra={"minItems": 1, **SET_OF_TEXTS}
    )
    """Single addresses, IPv4 or IPv6, without a prefix length. Nobody else gets them of any pool."""
    service: ServiceReference | None = None
    """The Service that gets the addresses, without asking for them, if the rules of their pool admit it. It need not
    exist yet. Without it no Service gets them."""
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH_MAX)
    """What the addresses are kept for, in words for people."""


class IPAddressClaimStatus(ApiModel):
    """Whether the addresses are kept."""

    conditions: Conditions = ()
    """Whether all the addresses are kept for, or held by, the Service (type Ready), and why not."""


class IPAddressClaim(CustomResource):
    """Keeps addresses for one Service, before it exists and after it is gone, or for something outside the cluster."""

    names: ClassVar = Names("ipaddressclaims", "ipaddressclaim", ("lbclaim",))
    printer_columns: ClassVar = (
        PrinterColumn("Addresses", "string", ".spec.addresses", "The addresses that are kept"),
        PrinterColumn("Namespace", "string", ".spec.service.namespace", "The namespace of the Service"),
        PrinterColumn("Service", "string", ".spec.service.name", "The Service that they are kept for"),
        READY_COLUMN,
        PrinterColumn("Reason", "string", f'.status.conditions[?(@.type=="{READY}")].reason', "Why"),
        AGE_COLUMN,
        PrinterColumn("Description", "string", ".spec.description", "What they are kept for", 1),
    )

    spec: IPAddressClaimSpec
    status: IPAddressClaimStatus = IPAddressClaimStatus()
