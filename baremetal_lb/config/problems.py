"""What is wrong with a custom resource: found all at once, told where the user looks."""

from dataclasses import dataclass

from baremetal_lb.reasons import Reason


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one object. A `fatal` one leaves the object out of the Config; the others work on either way."""

    kind: str
    name: str
    reason: Reason
    message: str
    fatal: bool = True
