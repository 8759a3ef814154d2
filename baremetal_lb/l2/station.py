"""This node as a station on its segments: the takeover machine and the responder, on the two sides of the Ethernet.

What is heard goes to both: a question is answered for what we hold, and who claims or wants an address that is wished
here is the takeover machine's business. What that decides, the responder makes frames of.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import Claim, ClaimKind, Malformed, MalformedPacket, Question, parse_heard
from baremetal_lb.l2.ping import PingResponder
from baremetal_lb.l2.responder import Effect, Responder
from baremetal_lb.l2.segment import Ask, ForeignHost, HeldBy, SegmentEvent, TakeoverEffect, Wish
from baremetal_lb.l2.takeover import Takeover


@dataclass(slots=True)
class FrameCounts:
    """What metrics say about frames as a whole; each holding counts its own."""

    received: int = 0
    malformed: Counter[Malformed] = field(default_factory=Counter)
    send_failures: Counter[str] = field(default_factory=Counter)
    probes: int = 0
    """Sent to ask for an address."""
    deferrals: int = 0
    """How often another of our nodes turned out to have an address that this one wanted."""
    conflicts: int = 0
    """How often a foreign host turned out to have one."""


class Station:
    """Frames, wishes, interfaces and time go in; frames and events come out."""

    def __init__(self, responder: Responder, outranks: Callable[[Address, str], bool], counts: FrameCounts) -> None:
        self._takeover = Takeover(outranks)
        self._responder = responder
        self._pings = PingResponder()
        self._counts = counts

    def set_wishes(self, wishes: Mapping[Address, Wish], now: float) -> list[Effect | SegmentEvent]:
        """Want these addresses and no others."""
        self._pings.set_wishes(wishes)
        steps = self._takeover.set_wishes(wishes, now)
        return self._told(steps, self._responder.set_wishes(wishes, steps, now))

    def set_speakers(self, speakers: Mapping[bytes, str], now: float) -> list[Effect | SegmentEvent]:
        """Know the MACs of our other nodes."""
        return self._do(self._takeover.set_speakers(speakers, now), now)

    def interfaces_changed(self, interfaces: Mapping[int, Interface], now: float) -> list[Effect | SegmentEvent]:
        """Use these interfaces, by index, and no others."""
        steps = self._takeover.interfaces_changed(interfaces, now)
        return self._told(steps, self._responder.interfaces_changed(interfaces, steps, now))

    def ask_again(self, addresses: Collection[Address] | None, now: float) -> list[Effect | SegmentEvent]:
        """Ask for these (None: all) as far as they are held, while answering."""
        return self._do(self._takeover.ask_again(addresses, now), now)

    def announce_again(self, now: float) -> list[Effect]:
        """Announce all that is announced as if it were new."""
        return self._responder.announce_again(now)

    def tick(self, now: float) -> list[Effect | SegmentEvent]:
        """Let time pass."""
        return self._do(self._takeover.tick(now), now)

    def next_deadline(self) -> float | None:
        """When `tick` is to be called."""
        deadlines = (self._takeover.next_deadline(), self._responder.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def holdings(self) -> Iterator[Holding]:
        """Every address on every interface, with what was sent for it. Read only."""
        return self._responder.holdings()

    def frame_received(self, interface_index: int, frame: bytes, now: float) -> list[Effect | SegmentEvent]:
        """Answer a question, heed a claim. What is malformed is counted."""
        try:
            heard = parse_heard(frame)
        except MalformedPacket as malformed:
            self._counts.malformed[malformed.reason] += 1
            return []
        if isinstance(heard, Question):
            return self._question_received(interface_index, frame, heard, now)
        return self._claim_received(interface_index, frame, heard, now) if heard is not None else []

    def ping_received(self, interface_index: int, frame: bytes, now: float) -> list[Effect | SegmentEvent]:
        """Answer a ping."""
        mac = self._responder.mac_on(interface_index)
        return [*self._pings.frame_received(interface_index, mac, frame, now)] if mac is not None else []

    def check_invariants(self) -> None:
        """Fail where takeover machine and responder don't agree, or one of them is not sound."""
        self._takeover.check_invariants()
        self._responder.check_invariants()
        assert {holding.address for holding in self.holdings()} == set(self._takeover.held())

    def _question_received(
        self, interface_index: int, frame: bytes, question: Question, now: float
    ) -> list[Effect | SegmentEvent]:
        """Answer. Who asks in the name of an address claims it (RFC 5227, 2.4); who asks in nobody's name wants it."""
        answer = self._responder.answer(interface_index, frame, question)
        effects: list[Effect | SegmentEvent] = [answer] if answer is not None else []
        if question.is_probe():
            address = self._responder.address_heard(interface_index, frame, question.target)
            take_in = self._takeover.probe_heard
        else:
            address = self._responder.address_heard(interface_index, frame, question.sender)
            take_in = self._takeover.answer_heard
        if address is None:
            return effects
        return effects + self._do(take_in(address, question.sender_mac, interface_index, now), now)

    def _claim_received(
        self, interface_index: int, frame: bytes, claim: Claim, now: float
    ) -> list[Effect | SegmentEvent]:
        address = self._responder.address_heard(interface_index, frame, claim.target)
        if address is None:
            return []
        is_announcement = claim.kind is ClaimKind.ANNOUNCEMENT
        take_in = self._takeover.announcement_heard if is_announcement else self._takeover.answer_heard
        return self._do(take_in(address, claim.mac, interface_index, now), now)

    def _do(self, steps: list[TakeoverEffect], now: float) -> list[Effect | SegmentEvent]:
        return self._told(steps, self._responder.do(steps, now))

    def _told(self, steps: list[TakeoverEffect], effects: list[Effect]) -> list[Effect | SegmentEvent]:
        """Count, and add the events to the effects."""
        events: list[Effect | SegmentEvent] = [*effects, *self._pings.held(self.holdings())]
        for step in steps:
            self._count(step)
            if isinstance(step, SegmentEvent):
                events.append(step)
        return events

    def _count(self, step: TakeoverEffect) -> None:
        match step:
            case Ask():
                self._counts.probes += 1
            case HeldBy():
                self._counts.deferrals += 1
            case ForeignHost():
                self._counts.conflicts += 1
