"""SpeakerStatus: which addresses a node holds, and on what. Its speaker writes it, for the others and for people."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, StringConstraints

from baremetal_lb.api.base import (
    AGE_COLUMN,
    SET_OF_TEXTS,
    ApiModel,
    CustomResource,
    Names,
    PrinterColumn,
    Set,
)
from baremetal_lb.api.entry import ADDRESS_LENGTH_MAX
from baremetal_lb.api.l2 import InterfaceName

HELD_MAX = 6000
"""A node says of so many addresses that it holds them: in their longest form, less than the 1.5 MB that etcd takes."""

SHOWN_INTERFACES_MAX = 4
"""So many of an address's interfaces are shown."""

OFFERED_MAX = 256
"""So many of the node's interfaces are shown."""

_WRITTEN_AS_A_WHOLE: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}
"""One process writes all of it; for a list that several share, Kubernetes would note down the owner of each item."""


class HeldAddress(ApiModel):
    """An address that the node holds."""

    address: Annotated[str, StringConstraints(max_length=ADDRESS_LENGTH_MAX)]
    """The address."""
    term: int = Field(ge=1)
    """Counts the holders that the address has had. Where two nodes say that they hold it, the higher term counts."""
    since: datetime
    """Since when."""
    interfaces: Set[InterfaceName] = Field(default=(), max_length=SHOWN_INTERFACES_MAX, json_schema_extra=SET_OF_TEXTS)
    """The interfaces on which it is announced, or the first of them."""


class OfferedInterface(ApiModel):
    """An interface that can carry announcements."""

    name: InterfaceName
    """Its name."""
    mac: Annotated[str, StringConstraints(pattern="^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
    """The MAC address with which it answers."""


class SpeakerStatusStatus(ApiModel):
    """What the speaker says."""

    addresses: tuple[HeldAddress, ...] = Field(default=(), max_length=HELD_MAX, json_schema_extra=_WRITTEN_AS_A_WHOLE)
    """The addresses that the node holds."""
    address_count: int = Field(default=0, ge=0)
    """How many they are."""
    interfaces: tuple[OfferedInterface, ...] = Field(
        default=(), max_length=OFFERED_MAX, json_schema_extra=_WRITTEN_AS_A_WHOLE
    )
    """The interfaces that can carry announcements."""


class SpeakerStatus(CustomResource):
    """What the speaker of the node of the same name does. Nobody else writes here."""

    names: ClassVar = Names("speakerstatuses", "speakerstatus", ("lbspeaker",))
    printer_columns: ClassVar = (
        PrinterColumn("Addresses", "integer", ".status.addressCount", "How many addresses the node holds"),
        AGE_COLUMN,
    )

    status: SpeakerStatusStatus = SpeakerStatusStatus()
