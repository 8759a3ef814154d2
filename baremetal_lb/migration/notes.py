"""What a user must know about a conversion: one note for each thing that is not simply the same afterwards."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a note matters, the gravest first."""

    ERROR = "error"
    """Something is not converted, or a Service would not keep its address."""
    WARNING = "warning"
    """It is converted and means something else, or works less well than before."""
    INFO = "info"
    """It is converted, written in another way."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know; `commands` mend it."""

    severity: Severity
    subject: str
    """The object that it is about, such as `L2Advertisement metallb-system/lan`."""
    text: str
    commands: tuple[str, ...] = ()
