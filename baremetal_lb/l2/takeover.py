"""Who does hold an address: the machine that asks the segment before this node answers for anything.

Theory of operation. The elections say what this node should hold (`Wish`). They go by what the API server and the beats
tell, and for a moment each node may believe something else. The segment itself cannot be mistaken about who answers
there. So a node asks for an address, twice within 60 ms, before it begins to answer for it, as RFC 5227 wants of any
host. If another of our nodes has it, this one defers and looks again each second; if a foreign host has it, it looks
again ever more seldom. A move that both sides know of needs no asking: the new holder announces first, and the old
one answers until it has heard that.

While it holds an address it hears who else claims it. Two of ours settle by rank: one yields, the other announces
once more, so that the last word is its own. Against a foreign host the policy of the address's pool says what to do.
A node that was away for a moment cannot go by what it knew, and asks again while it answers.

The states and what is heard in each are a table, in `reactions.py`; the steps between them are in `matters.py`. No
Ethernet is known here: addresses and MACs go in, effects come out. Whatever is heard costs a bounded amount of memory
for each wish, and frames at a bounded pace.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from baremetal_lb.addresses import Address
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.l2.alarms import Alarm
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.matters import ANSWER_SECONDS, LOOK_AGAIN_SECONDS, QUIET_SECONDS, Matter, Matters, Sighting
from baremetal_lb.l2.reactions import HELD, LOOKING, REACTIONS, Heard, Reaction, State
from baremetal_lb.l2.segment import Stance, StopAnnouncing, TakeoverEffect, Wish

PROBES = 2
ASK_SECONDS = PROBES * ANSWER_SECONDS
"""How long it takes to find out that nobody has an address."""

DEFEND_SECONDS = 10.0
"""Between two announcements against a foreign host (DEFEND_INTERVAL of RFC 5227, 2.4 c)."""

CONTEST_SECONDS = 3.0
"""Where another of ours was not heard to announce an address of ours for so long, it is no contest any more."""

MOST_IN_VAIN = 2
"""So often an address is announced against another of ours that does not give way."""

STALL_SECONDS = 0.05
"""Where this machine is called so much later than it asked for, answers may still wait to be read."""

MAX_PROBES = 4
"""With those that are sent again after a stall."""


class Takeover:
    """The machine of one node. `outranks` tells whether another node's claim to an address goes before ours."""

    def __init__(self, outranks: Callable[[Address, str], bool]) -> None:
        self._outranks = outranks
        self._matters = Matters()
        self._speakers: dict[bytes, str] = {}
        self._interfaces: dict[int, Interface] = {}
        self._own_macs: frozenset[bytes] = frozenset()
        self._covered: dict[frozenset[str], frozenset[int]] = {}
        """Which interfaces the names in a wish cover; few wishes differ in that."""

    def set_wishes(self, wishes: Mapping[Address, Wish], now: float) -> list[TakeoverEffect]:
        """Want these addresses and no others; what is not wished any more ends at once."""
        known = self._matters.by_address
        for address in known.keys() - wishes.keys():
            self._matters.forget(known[address])
        for address, wish in wishes.items():
            matter = known.get(address)
            if matter is None:
                matter = known[address] = Matter(address, wish)
            elif matter.wish == wish:
                continue
            matter.wish = wish
            self._wish_changed(matter, now)
        return self._effects_until(now)

    def set_speakers(self, speakers: Mapping[bytes, str], now: float) -> list[TakeoverEffect]:
        """Take these MACs, by node, for those of our other nodes; all others but our own are foreign.

        A dispute may have been with one that we did not know yet.
        """
        news = speakers.keys() - self._speakers.keys()
        self._speakers = dict(speakers)
        for matter in self._matters.by_address.values() if news else ():
            if matter.foreign is not None and matter.foreign.mac in news:
                self._matters.forget_foreign(matter)
                if matter.state is State.DISPUTED:
                    self._matters.look(matter, State.ASKING)
        return self._effects_until(now)

    def interfaces_changed(self, interfaces: Mapping[int, Interface], now: float) -> list[TakeoverEffect]:
        """Use these interfaces, by index, and no others. Where a line was cut for a moment, ask again."""
        before, self._interfaces = self._interfaces, dict(interfaces)
        self._own_macs = frozenset(one.mac for one in interfaces.values())
        self._covered.clear()
        interrupted = {
            index
            for index, one in interfaces.items()
            if index in before and before[index].carrier_changes != one.carrier_changes
        }
        for matter in self._matters.by_address.values():
            self._find_carriers(matter, now)
            if matter.state is State.HOLDING and not interrupted.isdisjoint(matter.carriers):
                self._matters.look(matter, State.CHECKING)
        return self._effects_until(now)

    def answer_heard(self, address: Address, mac: bytes, interface_index: int, now: float) -> list[TakeoverEffect]:
        """Take in that a station said that it has an address, because it was asked."""
        return self._heard(Heard.ANSWER, address, (mac, interface_index), now)

    def announcement_heard(
        self, address: Address, mac: bytes, interface_index: int, now: float
    ) -> list[TakeoverEffect]:
        """Take in that a station told everybody that it has an address."""
        return self._heard(Heard.ANNOUNCEMENT, address, (mac, interface_index), now)

    def probe_heard(self, address: Address, mac: bytes, interface_index: int, now: float) -> list[TakeoverEffect]:
        """Take in that a station asked for an address because it wants to have it."""
        return self._heard(Heard.PROBE, address, (mac, interface_index), now)

    def ask_again(self, addresses: Collection[Address] | None, now: float) -> list[TakeoverEffect]:
        """Ask for these addresses (None: all) as far as they are held, while answering: we were away."""
        for address in self._matters.by_address if addresses is None else addresses:
            matter = self._matters.by_address.get(address)
            if matter is not None and matter.state in {State.HOLDING, State.CHECKING}:
                self._matters.look(matter, State.CHECKING)
        return self._effects_until(now)

    def tick(self, now: float) -> list[TakeoverEffect]:
        """Let time pass."""
        return self._effects_until(now)

    def next_deadline(self) -> float | None:
        """When `tick` is to be called; None if there is nothing to wait for."""
        return self._matters.next_deadline()

    def holds(self, address: Address) -> bool:
        """Whether this node answers for the address."""
        matter = self._matters.by_address.get(address)
        return matter is not None and matter.state in HELD

    def held(self) -> Iterator[Address]:
        """The addresses that this node answers for."""
        return (address for address, matter in self._matters.by_address.items() if matter.state in HELD)

    def state_of(self, address: Address) -> State | None:
        """How it stands with an address; None if it is not wished."""
        matter = self._matters.by_address.get(address)
        return matter.state if matter is not None else None

    def check_invariants(self) -> None:
        """Hold after every call."""
        for address, matter in self._matters.by_address.items():
            look_at, quiet_at = (self._matters.alarms.at(address, alarm) for alarm in (Alarm.LOOK, Alarm.QUIET))
            assert matter.address == address
            assert matter.carriers == self._carriers(matter.wish)
            assert matter.carriers or matter.state in {State.WAITING, State.OVER}
            assert (matter.wish.stance is Stance.HAND_OVER) == (matter.state in {State.HANDING_OVER, State.OVER})
            assert not matter.is_queued or matter.state in LOOKING
            assert matter.state not in LOOKING or matter.is_queued or look_at is not None
            assert matter.state not in {State.DEFERRING, State.DISPUTED} or look_at is not None
            assert (matter.foreign is None) == (quiet_at is None)

    def _carriers(self, wish: Wish) -> frozenset[int]:
        covered = self._covered.get(wish.interfaces)
        if covered is None:
            covered = frozenset(index for index, one in self._interfaces.items() if wish.covers(one))
            self._covered[wish.interfaces] = covered
        return covered

    def _find_carriers(self, matter: Matter, now: float) -> None:
        """Find its interfaces. Where none is left of those that it was on, it begins anew."""
        was_on, matter.carriers = matter.carriers, self._carriers(matter.wish)
        if was_on == matter.carriers or not was_on.isdisjoint(matter.carriers) or matter.state is State.OVER:
            return
        if matter.wish.stance is Stance.HAND_OVER:
            self._matters.enter(matter, State.OVER)
        else:
            self._matters.wait(matter, now)

    def _wish_changed(self, matter: Matter, now: float) -> None:
        self._find_carriers(matter, now)
        if matter.wish.stance is Stance.HAND_OVER:
            self._hand_over(matter)
            return
        match matter.state:
            case State.HANDING_OVER:
                self._matters.enter(matter, State.HOLDING)
                self._matters.insist(matter, now)
            case State.OVER | State.WAITING:
                self._matters.wait(matter, now)
            case State.ASKING if matter.wish.begin_at > now or _needs_no_asking(matter):
                self._matters.wait(matter, now)
            case State.DEFERRING if _needs_no_asking(matter):
                self._matters.wait(matter, now)

    def _hand_over(self, matter: Matter) -> None:
        if matter.state not in HELD:
            self._matters.enter(matter, State.OVER)
            return
        if matter.state is not State.HANDING_OVER:
            self._matters.enter(matter, State.HANDING_OVER)
            self._matters.do(StopAnnouncing(matter.address))
        self._matters.alarms.set(matter.address, Alarm.LOOK, matter.wish.until)

    def _heard(self, heard: Heard, address: Address, where: tuple[bytes, int], now: float) -> list[TakeoverEffect]:
        mac, interface_index = where
        matter = self._matters.by_address.get(address)
        if matter is None or mac in self._own_macs or interface_index not in matter.carriers:
            return []
        node = self._speakers.get(mac, "")
        if not node and heard is Heard.PROBE:  # it is answered like any other question
            return []
        if not node:
            heard = Heard.FOREIGN
        elif node in matter.wish.replacing and heard is not Heard.PROBE:
            heard = Heard.REPLACED
        sighting = Sighting(mac, node, self._interfaces[interface_index], now)
        self._react(REACTIONS[matter.state, heard], matter, sighting)
        return self._effects_until(now)

    def _react(self, reaction: Reaction, matter: Matter, sighting: Sighting) -> None:
        match reaction:
            case Reaction.DEFER:
                self._matters.defer(matter, sighting.now, sighting.node)
            case Reaction.NOTE_HOLDER:
                self._matters.note_holder(matter, sighting.node)
            case Reaction.NOTE_RIVAL:
                matter.rival = min(sighting.mac, matter.rival or sighting.mac)
            case Reaction.SETTLE:
                self._settle(matter, sighting, is_ours=self._goes_first(matter, sighting))
            case Reaction.STEP_DOWN:
                self._step_down(matter, sighting)
            case Reaction.INSIST:
                self._matters.insist(matter, sighting.now)
            case Reaction.RESIST:
                self._resist(matter, sighting)
            case Reaction.DISPUTE:
                self._matters.dispute(matter, sighting)
            case Reaction.END:
                self._matters.enter(matter, State.OVER)
                self._matters.note_holder(matter, sighting.node)

    def _settle(self, matter: Matter, sighting: Sighting, *, is_ours: bool) -> None:
        if is_ours:
            self._matters.insist(matter, sighting.now)
        else:
            self._matters.defer(matter, sighting.now, sighting.node)

    def _step_down(self, matter: Matter, sighting: Sighting) -> None:
        """Leave it to the other, whatever the rank: we were away, it was not.

        But it may ask for the same reason. Of two that do, the one with the higher MAC yields at once, and the other
        finds that out by its second probe.
        """
        if sighting.mac < sighting.interface.mac or matter.probes >= PROBES:
            self._matters.defer(matter, sighting.now, sighting.node)

    def _goes_first(self, matter: Matter, sighting: Sighting) -> bool:
        """Whether we go before another of ours that holds the address, too.

        By rank; but nodes that don't know the same may each take itself for the first. After some rounds it is the one
        with the lower MAC.
        """
        if sighting.now > matter.contested_at + CONTEST_SECONDS:
            matter.in_vain = 0
        matter.contested_at = sighting.now
        if matter.in_vain >= MOST_IN_VAIN:
            return sighting.interface.mac < sighting.mac
        return not self._outranks(matter.address, sighting.node)

    def _loses_draw(self, matter: Matter) -> bool:
        """Whether another of ours asked meanwhile whose MAC is lower than all of ours.

        Each compares its own lowest MAC with the lowest that it heard, so two can never both lose.
        """
        own = min(self._interfaces[index].mac for index in matter.carriers)
        return matter.rival is not None and matter.rival < own

    def _resist(self, matter: Matter, sighting: Sighting) -> None:
        if matter.wish.on_conflict is not ConflictPolicy.DEFEND:
            self._matters.dispute(matter, sighting)
            return
        self._matters.note_foreign(matter, sighting)
        if sighting.now >= matter.defended_at + DEFEND_SECONDS:
            matter.defended_at = sighting.now
            self._matters.announce(matter, sighting.now)

    def _effects_until(self, now: float) -> list[TakeoverEffect]:
        """Do all that is due, and hand out what is to be done outside."""
        while (due := self._matters.alarms.take_due(now)) is not None:
            address, alarm, at = due
            matter = self._matters.by_address[address]
            match alarm:
                case Alarm.LOOK:
                    self._time_is_over(matter, at, now)
                case Alarm.INSIST:
                    matter.in_vain += 1
                    self._matters.announce(matter, now)
                case Alarm.QUIET:
                    self._quiet(matter, now)
        self._matters.send_probes(now)
        return self._matters.take_effects()

    def _time_is_over(self, matter: Matter, at: float, now: float) -> None:
        """Do what the state of a matter has waited for."""
        match matter.state:
            case State.WAITING | State.DEFERRING | State.DISPUTED if matter.wish.begin_at > now:
                self._matters.alarms.set(matter.address, Alarm.LOOK, matter.wish.begin_at)
            case State.WAITING | State.DEFERRING if _needs_no_asking(matter):
                self._matters.begin(matter, now)
            case State.WAITING | State.DEFERRING | State.DISPUTED:
                self._matters.look(matter, State.ASKING)
            case State.ASKING | State.CHECKING:
                self._answer_is_due(matter, at, now)
            case State.HANDING_OVER:
                self._matters.enter(matter, State.OVER)

    def _answer_is_due(self, matter: Matter, at: float, now: float) -> None:
        was_away = now - at > STALL_SECONDS
        if matter.probes < (MAX_PROBES if was_away else PROBES):
            self._matters.look_on(matter)
        elif matter.state is State.CHECKING:
            self._matters.enter(matter, State.HOLDING)
        elif self._loses_draw(matter):
            self._matters.defer(matter, now)
        else:
            self._matters.begin(matter, now)

    def _quiet(self, matter: Matter, now: float) -> None:
        """Forget a foreign host that is silent. Whoever defends an address asks first: most say nothing unasked."""
        foreign = matter.foreign
        assert foreign is not None
        quiet_at = foreign.heard_at + QUIET_SECONDS
        if now < quiet_at:
            self._matters.alarms.set(matter.address, Alarm.QUIET, quiet_at)
        elif matter.state is State.HOLDING and not foreign.was_asked:
            foreign.was_asked = True
            self._matters.look(matter, State.CHECKING)
            self._matters.alarms.set(matter.address, Alarm.QUIET, now + LOOK_AGAIN_SECONDS)
        else:
            self._matters.forget_foreign(matter)


def _needs_no_asking(matter: Matter) -> bool:
    """Whether those who may have it are known to be giving it up."""
    replacing = matter.wish.replacing
    return bool(replacing) and (matter.holder is None or matter.holder in replacing)
