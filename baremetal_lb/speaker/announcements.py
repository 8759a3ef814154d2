"""What becomes of our wishes on the segment: the driver is told what is wished, and what it tells is taken in.

The driver may tell in the middle of a call, so its events are only put down, and taken in with the next turn.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from baremetal_lb.addresses import Address
from baremetal_lb.announce.offer import Offer
from baremetal_lb.l2.segment import Began, Ended, ForeignHost, ForeignHostGone, HeldBy, SegmentEvent, Wish
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.speaker.conflicts import ConflictNews, Conflicts
from baremetal_lb.speaker.drivers import SegmentDriver
from baremetal_lb.speaker.succession import Again, Succession

log = structlog.get_logger()

Describe = Callable[[Address], Mapping[str, object]]
"""Names an address and its Services for the log, and says why it is ours, or is not."""


class Announcements:
    """The wishes of one node and their driver."""

    def __init__(
        self, node: str, driver: SegmentDriver, succession: Succession, metrics: SpeakerMetrics, describe: Describe
    ) -> None:
        self.conflicts = Conflicts(node)
        self._driver = driver
        self._succession = succession
        self._metrics = metrics
        self._describe = describe
        self._told: list[SegmentEvent] = []
        self._news: list[tuple[Address, ConflictNews]] = []
        self._wishes: dict[Address, Wish] = {}
        self._speakers: dict[bytes, str] = {}

    def put_down(self, events: list[SegmentEvent]) -> None:
        """Take note of what the driver tells."""
        self._told += events

    def take_in(self, now: float) -> set[Address]:
        """Take in what the driver told since the last turn; tell for which addresses there are news."""
        told, self._told = self._told, []
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        touched: set[Address] = set()
        for event in told:
            self._note(event, at)
            touched |= self._succession.segment_changed(event, at, now)
        return touched

    def take_news(self) -> list[tuple[Address, ConflictNews]]:
        """Give, once, what the users of addresses are to be told of foreign hosts."""
        news, self._news = self._news, []
        return news

    def know(self, offers: Mapping[str, Offer]) -> None:
        """Take the interfaces that the other nodes offer for those of their speakers."""
        speakers = {one.mac: node for node, offer in offers.items() for one in offer.interfaces}
        if speakers != self._speakers:
            self._speakers = speakers
            self._driver.set_speakers(speakers)

    def look_again(self) -> None:
        """Do what a partition that is over calls for."""
        match self._succession.look_again():
            case Again.ASK:
                log.info("this node was cut off: asking for all that it holds")
                self._driver.ask_again()
            case Again.ANNOUNCE:
                self._driver.announce_again()

    def apply(self) -> bool:
        """Hand over what we wish; nothing else changes what this node announces. Tell whether a conflict is over."""
        if self._succession.elections.rivals_gave_way():
            self._driver.announce_again()
        if self._succession.wishes == self._wishes:
            return False
        self._wishes = dict(self._succession.wishes)
        self._driver.set_wishes(self._wishes)
        return self.conflicts.keep_only(self._wishes)

    def was_away(self, why: str) -> None:
        """Ask for all that we hold: others may have taken it over while we noticed nothing."""
        log.info("this node was away: asking for all that it holds", why=why)
        self._driver.ask_again()

    def _note(self, event: SegmentEvent, at: str) -> None:
        described = dict(self._describe(event.address))
        wish = self._succession.wishes.get(event.address, Wish())
        match event:
            case Began(address):
                cause = self._succession.cause(address)
                self._metrics.takeovers.labels(cause.value).inc()
                log.info("address announced", **described, interfaces=sorted(wish.interfaces), cause=cause.value)
            case Ended():
                if described["reason"] == Reason.ELECTED:  # The segment has just overruled what was decided before.
                    described["reason"] = Reason.NOT_ELECTED.value
                log.info("address withdrawn", **described)
            case HeldBy(node=node):
                log.info("another node has the address", **described, holder=node)
            case ForeignHost(address=address):
                is_held = address in self._succession.held
                news = self.conflicts.began(event, wish.on_conflict, is_held=is_held, at=at)
                self._news.append((address, news))
            case ForeignHostGone(address=address):
                if (ended := self.conflicts.ended(event)) is not None:
                    self._news.append((address, ended))
