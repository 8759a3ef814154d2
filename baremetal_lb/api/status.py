"""SpeakerStatus: which addresses a node holds, and on what. Its speaker writes it, for the others and for people."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from baremetal_lb.api.base import (
    AGE_COLUMN,
    SET_OF_TEXTS,
    WRITTEN_AS_A_WHOLE,
    ApiModel,
    CustomResource,
    Names,
    PrinterColumn,
    Set,
)
from baremetal_lb.api.entry import ADDRESS_LENGTH_MAX
from baremetal_lb.api.l2 import InterfaceName, MACAddress

HELD_MAX = 6000
"""A node says of so many addresses that it holds them: in their longest form, less than the 1.5 MB that etcd takes."""

SHOWN_INTERFACES_MAX = 4
"""So many of an address's interfaces are shown."""

OFFERED_MAX = 256
"""So many of a node's interfaces count, those that an advertisement names first."""

NETWORKS_MAX = 8
"""So many of an interface's networks count."""

CONFLICTS_MAX = 256
"""A node says of so many addresses that a foreign host uses them too."""


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
    mac: MACAddress
    """The MAC address with which it answers."""
    only_by_name: bool = False
    """Whether it carries only what an advertisement names it for."""
    networks: tuple[Annotated[str, StringConstraints(max_length=ADDRESS_LENGTH_MAX + 4)], ...] = Field(
        default=(), max_length=NETWORKS_MAX, json_schema_extra=WRITTEN_AS_A_WHOLE
    )
    """The networks on its segment, as the node's own addresses there tell."""


class AddressConflict(ApiModel):
    """An address of ours that a host which is none of our nodes uses too."""

    address: Annotated[str, StringConstraints(max_length=ADDRESS_LENGTH_MAX)]
    """The address."""
    mac: MACAddress
    """The MAC address of the host."""
    interface: InterfaceName
    """The interface on which the node heard it."""
    since: datetime
    """Since when."""


class SpeakerStatusStatus(ApiModel):
    """What the speaker says."""

    addresses: tuple[HeldAddress, ...] = Field(default=(), max_length=HELD_MAX, json_schema_extra=WRITTEN_AS_A_WHOLE)
    """The addresses that the node holds."""
    address_count: int = Field(default=0, ge=0)
    """How many they are."""
    interfaces: tuple[OfferedInterface, ...] = Field(
        default=(), max_length=OFFERED_MAX, json_schema_extra=WRITTEN_AS_A_WHOLE
    )
    """The interfaces that can carry announcements."""
    interface_names: Annotated[str, StringConstraints(max_length=OFFERED_MAX * 16)] = ""
    """Their names alone."""
    proxy_answers: bool = True
    """Whether kube-proxy answers on the node, if its speaker asks it at all."""
    conflicts: tuple[AddressConflict, ...] = Field(
        default=(), max_length=CONFLICTS_MAX, json_schema_extra=WRITTEN_AS_A_WHOLE
    )
    """The addresses that a foreign host uses too, as far as this node hears of it."""
    conflict_count: int = Field(default=0, ge=0)
    """How many they are."""


class SpeakerStatus(CustomResource):
    """What the speaker of the node of the same name does. Nobody else writes here."""

    names: ClassVar = Names("speakerstatuses", "speakerstatus", ("lbspeaker",))
    printer_columns: ClassVar = (
        PrinterColumn("Addresses", "integer", ".status.addressCount", "How many addresses the node holds"),
        PrinterColumn("Interfaces", "string", ".status.interfaceNames", "The interfaces that can carry announcements"),
        PrinterColumn("Conflicts", "integer", ".status.conflictCount", "How many addresses a foreign host uses too"),
        AGE_COLUMN,
    )

    status: SpeakerStatusStatus = SpeakerStatusStatus()
