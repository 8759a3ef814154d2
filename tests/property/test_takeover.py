"""Several takeover machines on one segment: after any turmoil one of them holds the address, and peace lasts."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baremetal_lb.addresses import Address
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.matters import INSIST_SECONDS, LOOK_AGAIN_SECONDS
from baremetal_lb.l2.segment import Announce, Ask, Began, Ended, Stance, TakeoverEffect, Wish
from baremetal_lb.l2.takeover import ASK_SECONDS, Takeover

ANNOUNCED_AT = (0.0, 0.1, 0.5, 1.1, 2.0)
DELAY = 0.004
ETH0 = 2
SETTLED_SECONDS = 3 * (LOOK_AGAIN_SECONDS + ASK_SECONDS)
NODES = range(4)


@dataclass
class Station:
    """A node. Its rank is its number, whatever its MAC."""

    number: int
    mac: bytes
    machine: Takeover
    holds: bool = False
    asleep_until: float = 0.0
    inbox: list[Callable[[], None]] = field(default_factory=list)
    begun: int = 0


class Segment:
    """A cable with delays, on which frames get lost and nodes are cut off; and a client that believes what it hears.

    Frames of one node to another keep their order, as on Ethernet.
    """

    def __init__(self, address: Address, macs: Sequence[int], seed: int) -> None:
        self.address = address
        self.now = 0.0
        self.random = Random(seed)
        self.loss = 0.0
        self.side = dict.fromkeys(NODES, 0)
        self.believed: int | None = None
        self.arrival: dict[tuple[int, int], float] = {}
        self.log: list[tuple[float, int, TakeoverEffect]] = []
        self.holderless_since: float | None = 0.0
        self.longest_gap = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.stations = [self._station(number, bytes([2, 0, 0, 0, 0, macs[number]])) for number in NODES]
        by_mac = {one.mac: one for one in self.stations}
        for station in self.stations:
            others = {mac: str(one.number) for mac, one in by_mac.items() if one is not station}
            station.machine.set_speakers(others, 0)
            station.machine.interfaces_changed({ETH0: Interface(ETH0, "eth0", station.mac)}, 0)

    def _station(self, number: int, mac: bytes) -> Station:
        return Station(number, mac, Takeover(lambda _, node: int(node) < number))

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._numbers), do))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, do = heapq.heappop(self._queue)
            do()
        self.now = until
        if self.holderless_since is not None:
            self.longest_gap = max(self.longest_gap, self.now - self.holderless_since)

    def want(self, number: int, wish: Wish | None) -> None:
        wishes = {self.address: wish} if wish else {}
        self.do(number, lambda machine: machine.set_wishes(wishes, self.now))

    def ask_again(self, number: int) -> None:
        self.do(number, lambda machine: machine.ask_again(None, self.now))

    def do(self, number: int, call: Callable[[Takeover], list[TakeoverEffect]]) -> None:
        """Have a node do something: now, or when it is awake again."""
        station = self.stations[number]
        if station.asleep_until > self.now:
            station.inbox.append(lambda: self.do(number, call))
            return
        for effect in call(station.machine):
            self.log.append((self.now, number, effect))
            self._perform(station, effect)
        station.machine.check_invariants()
        if (deadline := station.machine.next_deadline()) is not None:
            self.at(max(deadline, self.now), lambda: self.do(number, lambda machine: machine.tick(self.now)))

    def sleep(self, number: int, seconds: float) -> None:
        """Freeze a node; when it awakes it reads what came in meanwhile, finds out that it was away, and asks."""
        station = self.stations[number]
        station.asleep_until = max(station.asleep_until, self.now + seconds)
        self.at(station.asleep_until, lambda: self._awake(station))

    def _awake(self, station: Station) -> None:
        if station.asleep_until <= self.now:
            waiting, station.inbox = station.inbox, []
            for do in waiting:
                do()
            self.ask_again(station.number)

    def _perform(self, station: Station, effect: TakeoverEffect) -> None:
        match effect:
            case Began():
                station.holds = True
                station.begun += 1
                begun = station.begun
                for after in ANNOUNCED_AT:
                    self.at(self.now + after, lambda: self._announce_round(station, begun))
            case Ended():
                station.holds = False
            case Announce():
                self._broadcast(station, Takeover.announcement_heard, is_claim=True)
            case Ask():
                self._broadcast(station, Takeover.probe_heard, is_claim=False)
        if not any(one.holds for one in self.stations):
            self.holderless_since = self.now if self.holderless_since is None else self.holderless_since
        elif self.holderless_since is not None:
            self.longest_gap = max(self.longest_gap, self.now - self.holderless_since)
            self.holderless_since = None

    def _announce_round(self, station: Station, begun: int) -> None:
        if station.asleep_until > self.now:
            station.inbox.append(lambda: self._announce_round(station, begun))
        elif station.holds and station.begun == begun:
            self._broadcast(station, Takeover.announcement_heard, is_claim=True)

    def _broadcast(self, sender: Station, heard: Callable[..., list[TakeoverEffect]], *, is_claim: bool) -> None:
        for receiver in self.stations:
            if receiver is not sender:
                self._send(sender, receiver, heard)
        if is_claim:
            self.at(self.now + DELAY, lambda: setattr(self, "believed", sender.number))

    def _send(self, sender: Station, receiver: Station, heard: Callable[..., list[TakeoverEffect]]) -> None:
        if self.side[sender.number] != self.side[receiver.number] or self.random.random() < self.loss:
            return
        way = (sender.number, receiver.number)
        arrival = max(self.now + self.random.uniform(DELAY / 10, DELAY), self.arrival.get(way, 0.0))
        self.arrival[way] = arrival
        self.at(arrival, lambda: self._receive(sender, receiver, heard))

    def _receive(self, sender: Station, receiver: Station, heard: Callable[..., list[TakeoverEffect]]) -> None:
        if receiver.asleep_until > self.now:
            receiver.inbox.append(lambda: self._receive(sender, receiver, heard))
            return
        if heard is Takeover.probe_heard and receiver.holds:
            if self.address.version == 4:
                self._send(receiver, sender, Takeover.answer_heard)
            else:
                self._broadcast(receiver, Takeover.announcement_heard, is_claim=True)
        self.do(receiver.number, lambda machine: heard(machine, self.address, sender.mac, ETH0, self.now))

    def holders(self) -> list[int]:
        return [station.number for station in self.stations if station.holds]


numbers = st.sampled_from(NODES)
turmoil = st.lists(
    st.tuples(
        st.floats(0, 6),
        st.one_of(
            st.tuples(st.just("want"), numbers, st.floats(0, 0.5)),
            st.tuples(st.just("hand over"), numbers, st.floats(0.1, 2)),
            st.tuples(st.just("forget"), numbers, st.just(0.0)),
            st.tuples(st.just("sleep"), numbers, st.floats(0.01, 4)),
            st.tuples(st.just("cut"), numbers, st.just(0.0)),
            st.tuples(st.just("ask again"), numbers, st.just(0.0)),
            st.tuples(st.just("lose"), numbers, st.floats(0, 1)),
        ),
    ),
    max_size=25,
)
addresses = st.sampled_from([IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")])
macs = st.permutations([1, 2, 3, 4])


def strike(segment: Segment, kind: str, number: int, amount: float) -> None:
    match kind:
        case "want":
            segment.want(number, Wish(begin_at=segment.now + amount))
        case "hand over":
            segment.want(number, Wish(stance=Stance.HAND_OVER, until=segment.now + amount))
        case "forget":
            segment.want(number, None)
        case "sleep":
            segment.sleep(number, amount)
        case "cut":
            segment.side[number] ^= 1
        case "ask again":
            segment.ask_again(number)
        case "lose":
            segment.loss = amount


@given(addresses, macs, st.integers(0, 2**32), turmoil, st.sets(numbers, min_size=1))
@settings(deadline=None, max_examples=100)
def test_after_any_turmoil_one_of_those_that_want_it_holds_it_and_nothing_moves_any_more(
    address: Address,
    order: list[int],
    seed: int,
    strikes: list[tuple[float, tuple[str, int, float]]],
    wanting: set[int],
) -> None:
    segment = Segment(address, order, seed)
    for when, what in strikes:
        segment.at(when, lambda what=what: strike(segment, *what))  # type: ignore[misc]  # binds its argument
    segment.run(11)
    segment.loss, segment.side = 0.0, dict.fromkeys(NODES, 0)
    for number in NODES:
        segment.want(number, Wish() if number in wanting else None)
        segment.at(11 + segment.random.uniform(0, 0.2), lambda number=number: segment.ask_again(number))  # type: ignore[misc]
    segment.run(11 + SETTLED_SECONDS)
    [holder] = segment.holders()
    assert holder in wanting
    assert segment.longest_gap < 11 + LOOK_AGAIN_SECONDS + ASK_SECONDS + 0.3
    segment.log.clear()
    segment.run(60)
    assert segment.holders() == [holder]
    assert not [entry for entry in segment.log if isinstance(entry[2], Began | Ended)]
    announced = [entry for entry in segment.log if isinstance(entry[2], Announce)]
    assert len(announced) <= (60 - 11) / INSIST_SECONDS
    assert {number for _, number, _ in announced} <= {holder}
    # Where one that held it was told to forget it, the elections make the other announce it again.
    assert segment.believed == holder or len(wanting) < len(NODES)


@given(addresses, macs, st.integers(0, 2**32), st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.5))
@settings(deadline=None, max_examples=60)
def test_a_planned_move_leaves_no_moment_without_a_holder(
    address: Address, order: list[int], seed: int, told_old_at: float, told_new_at: float, until: float
) -> None:
    """D28. Each of the two is told at its own time; the old one waits longer than they differ."""
    old, new = 3, 0
    segment = Segment(address, order, seed)
    segment.want(old, Wish())
    segment.run(30)
    segment.longest_gap = 0.0
    give_up = Wish(stance=Stance.HAND_OVER, until=30 + told_old_at + 2.1 + until)
    segment.at(30 + told_old_at, lambda: segment.want(old, give_up))
    segment.at(30 + told_new_at, lambda: segment.want(new, Wish(replacing=frozenset({str(old)}))))
    segment.run(40)
    assert segment.holders() == [new]
    assert segment.longest_gap == 0
    assert segment.believed == new


@given(addresses, macs, st.integers(0, 2**32), st.floats(0, 0.02))
@settings(deadline=None, max_examples=60)
def test_two_holders_that_both_ask_again_do_not_both_yield(
    address: Address, order: list[int], seed: int, apart: float
) -> None:
    segment = Segment(address, order, seed)
    segment.side[1] = 1
    for number in (0, 1):
        segment.want(number, Wish())
    segment.run(10)
    assert segment.holders() == [0, 1]
    segment.longest_gap, segment.side[1] = 0.0, 0
    segment.ask_again(0)
    segment.at(10 + apart, lambda: segment.ask_again(1))
    segment.run(10.5)
    assert len(segment.holders()) == 1
    assert segment.longest_gap == 0


@pytest.mark.parametrize("wanted", [2, 3, 4])
@given(addresses, macs, st.integers(0, 2**32), st.lists(st.floats(0, 0.08), min_size=4, max_size=4))
@settings(deadline=None, max_examples=30)
def test_of_those_that_want_it_at_once_one_begins_within_a_look_and_nobody_else(
    wanted: int, address: Address, order: list[int], seed: int, starts: list[float]
) -> None:
    segment = Segment(address, order, seed)
    for number, start in list(enumerate(starts))[:wanted]:
        segment.at(start, lambda number=number: segment.want(number, Wish()))  # type: ignore[misc]
    segment.run(5)
    assert len([entry for entry in segment.log if isinstance(entry[2], Began)]) == 1
    assert segment.longest_gap <= min(starts) + LOOK_AGAIN_SECONDS + 2 * ASK_SECONDS + 0.1
