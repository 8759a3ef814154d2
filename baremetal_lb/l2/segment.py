"""What this node may want with an address on its segments, and what it can learn there: the words of `takeover.py`."""

from dataclasses import dataclass
from enum import StrEnum, auto
from math import inf

from baremetal_lb.addresses import Address
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.l2.interfaces import Interface


class Stance(StrEnum):
    """What this node wants with an address."""

    HOLD = auto()
    HAND_OVER = auto()
    """Answer for it, if it does, until another has begun."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What this node wants with an address on its segments. Times are the loop's, in seconds."""

    interfaces: frozenset[str] = frozenset()
    """The names of those to use; if there is none, every suitable one."""
    stance: Stance = Stance.HOLD
    begin_at: float = -inf
    """Not to ask or answer before."""
    replacing: frozenset[str] = frozenset()
    """Nodes that are giving the address up to us: their claims don't count, and nothing is asked before beginning."""
    until: float = inf
    """When HAND_OVER ends, even if no other node was heard to begin."""
    on_conflict: ConflictPolicy = ConflictPolicy.DEFEND
    answers_ping: bool = False

    def covers(self, interface: Interface) -> bool:
        """Whether the address is wished on this interface."""
        return interface.is_meant_by(self.interfaces)


@dataclass(frozen=True, slots=True)
class Began:
    """This node answers for the address from now on, and announces it."""

    address: Address


@dataclass(frozen=True, slots=True)
class Ended:
    """This node doesn't answer for the address any more."""

    address: Address


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Another of our nodes was heard to have the address. Said once, until it turns out to be another node."""

    address: Address
    node: str


@dataclass(frozen=True, slots=True)
class ForeignHost:
    """A host that is none of ours has the address. Said once, until it is gone."""

    address: Address
    mac: bytes
    interface: str


@dataclass(frozen=True, slots=True)
class ForeignHostGone:
    """It was not heard any more for a while."""

    address: Address


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a probe for the address."""

    interface_index: int
    address: Address


@dataclass(frozen=True, slots=True)
class Announce:
    """Announce the address once more, on each of its interfaces.

    `Began` goes for several announcements, and so does this after `StopAnnouncing`.
    """

    address: Address


@dataclass(frozen=True, slots=True)
class StopAnnouncing:
    """Go on answering for the address, but announce it no more."""

    address: Address


SegmentEvent = Began | Ended | HeldBy | ForeignHost | ForeignHostGone
TakeoverEffect = Ask | Announce | StopAnnouncing | SegmentEvent
