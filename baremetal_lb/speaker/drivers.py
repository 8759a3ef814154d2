"""What a speaker acts through: one driver for the segments of its node, one for the beats."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from baremetal_lb.addresses import Address
from baremetal_lb.election.io.driver import PeerView
from baremetal_lb.election.messages import NO_FLAG, Flag
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.io import FrameCounts
from baremetal_lb.l2.segment import Wish


class SegmentDriver(Protocol):
    """What asks, answers and announces; `l2.io.L2Driver`, or a simulated segment."""

    counts: FrameCounts

    def set_wishes(self, wishes: Mapping[Address, Wish]) -> None:
        """Want these addresses, and no others."""

    def set_speakers(self, speakers: Mapping[bytes, str]) -> None:
        """Know the MACs of all other speakers, by node."""

    def ask_again(self, addresses: Collection[Address] | None = None) -> None:
        """Ask for all that is held, while answering: we were away for a moment."""

    def announce_again(self) -> None:
        """Announce all that is held as if it were new."""

    def interfaces(self) -> tuple[Interface, ...]:
        """Give the interfaces that can carry announcements now."""

    def holdings(self) -> Iterator[Holding]:
        """Give what is announced where."""


class BeatDriver(Protocol):
    """What beats; `election.io.driver.BeatProcess`, or a simulated network."""

    counts: Counter[str]
    restarts: int
    has_reported: bool

    def tell(self, peers: Mapping[str, Address], keys: Mapping[int, bytes], flags: Flag = NO_FLAG) -> None:
        """Beat with these other nodes, at these addresses."""

    def view_of(self, node: str) -> PeerView:
        """Tell what the beats say of a node."""

    async def run(self) -> None:
        """Beat until cancelled."""


class Drivers(NamedTuple):
    """Both."""

    segment: SegmentDriver
    beats: BeatDriver
