"""What the takeover machine does in every state with everything that it may hear, be told, or wait for."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.matters import LONGEST_DISPUTE_SECONDS, LOOK_AGAIN_SECONDS, QUIET_SECONDS
from baremetal_lb.l2.pace import MAX_BURST, MAX_PER_SECOND
from baremetal_lb.l2.reactions import HELD, REACTIONS, Heard, State
from baremetal_lb.l2.segment import (
    Announce,
    Ask,
    Began,
    Ended,
    ForeignHost,
    ForeignHostGone,
    HeldBy,
    Stance,
    StopAnnouncing,
    TakeoverEffect,
    Wish,
)
from baremetal_lb.l2.takeover import ASK_SECONDS, DEFEND_SECONDS, Takeover

START = 1_000.0
V4, V6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
LOW, OWN, OWN_TOO, HIGH, FOREIGN = (bytes([2, 0, 0, 0, 0, last]) for last in (1, 5, 6, 9, 99))
ETH0 = Interface(2, "eth0", OWN)
ETH1 = Interface(3, "eth1", OWN_TOO)
VETH = Interface(4, "veth1", bytes([2, 0, 0, 0, 1, 0]), only_by_name=True)
SPEAKERS = {LOW: "low", HIGH: "high"}
HOLD = Wish()
REPLACE = Wish(replacing=frozenset({"high"}))
HAND_OVER = Wish(stance=Stance.HAND_OVER)

both_families = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


class Node:
    """A machine with time. It outranks everybody but those in `betters`."""

    def __init__(self, *interfaces: Interface) -> None:
        self.betters: set[str] = set()
        self.machine = Takeover(lambda _, node: node in self.betters)
        self.now = START
        self.log: list[TakeoverEffect] = []
        self.machine.set_speakers(SPEAKERS, START)
        self.use(*(interfaces or (ETH0,)))

    def use(self, *interfaces: Interface) -> list[TakeoverEffect]:
        return self.take(self.machine.interfaces_changed({one.index: one for one in interfaces}, self.now))

    def want(self, wish: Wish | None, *addresses: Address) -> list[TakeoverEffect]:
        """Have the same wish for each of these (or the usual) addresses, and no other wish."""
        wishes = dict.fromkeys(addresses or (V4,), wish) if wish else {}
        return self.take(self.machine.set_wishes(wishes, self.now))

    def hear(self, heard: Heard, mac: bytes = HIGH, address: Address = V4, index: int = 2) -> list[TakeoverEffect]:
        take_in = {
            Heard.ANSWER: self.machine.answer_heard,
            Heard.ANNOUNCEMENT: self.machine.announcement_heard,
            Heard.PROBE: self.machine.probe_heard,
        }
        return self.take(take_in[heard](address, mac, index, self.now))

    def ask_again(self, *addresses: Address) -> list[TakeoverEffect]:
        return self.take(self.machine.ask_again(addresses or None, self.now))

    def pass_time(self, seconds: float) -> list[TakeoverEffect]:
        """Wake the machine whenever it asks for it."""
        end, effects = self.now + seconds, []
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            effects += self.take(self.machine.tick(self.now))
        self.now = end
        return effects

    def take(self, effects: Iterable[TakeoverEffect]) -> list[TakeoverEffect]:
        taken = list(effects)
        self.machine.check_invariants()
        self.log += taken
        return taken

    def state(self, address: Address = V4) -> State | None:
        return self.machine.state_of(address)


def waiting(wish: Wish = HOLD) -> Node:
    node = Node()
    node.want(replace(wish, begin_at=START + 0.15))
    return node


def asking(wish: Wish = HOLD) -> Node:
    """Asking; with nodes to replace only because yet another one was heard."""
    node = Node()
    node.want(HOLD)
    if wish.replacing:
        node.hear(Heard.ANSWER, LOW)
        node.want(wish)
        node.pass_time(LOOK_AGAIN_SECONDS)
    return node


def deferring(wish: Wish = HOLD) -> Node:
    node = asking()
    node.hear(Heard.ANSWER, LOW)
    node.want(wish)
    return node


def disputed(wish: Wish = HOLD) -> Node:
    node = asking()
    node.hear(Heard.ANSWER, FOREIGN)
    node.want(wish)
    return node


def holding(wish: Wish = HOLD) -> Node:
    """Holding since long."""
    node = asking()
    node.pass_time(20)
    node.want(wish)
    return node


def checking(wish: Wish = HOLD) -> Node:
    """Checking, with both probes sent."""
    node = holding(wish)
    node.ask_again()
    node.pass_time(0.03)
    return node


def handing_over(_: Wish = HOLD) -> Node:
    return holding(HAND_OVER)


def over(_: Wish = HOLD) -> Node:
    node = Node()
    node.want(HAND_OVER)
    return node


REACH: dict[State, Callable[[Wish], Node]] = {
    State.WAITING: waiting,
    State.ASKING: asking,
    State.DEFERRING: deferring,
    State.DISPUTED: disputed,
    State.HOLDING: holding,
    State.CHECKING: checking,
    State.HANDING_OVER: handing_over,
    State.OVER: over,
}

HELD_BY = HeldBy(V4, "high")
STRANGER = ForeignHost(V4, FOREIGN, "eth0")
_NOTHING: list[TakeoverEffect] = []


def at_once(**outcomes: tuple[State, list[TakeoverEffect]]) -> dict[State, tuple[State, list[TakeoverEffect]]]:
    """Say what happens in each state; where nothing is said, nothing does."""
    return {state: outcomes.get(state, (state, [])) for state in State}


_ONE_OF_OURS_HAS_IT = at_once(
    waiting=(State.DEFERRING, [HELD_BY]),
    asking=(State.DEFERRING, [HELD_BY]),
    deferring=(State.DEFERRING, [HELD_BY]),  # it was "low" before
    disputed=(State.DEFERRING, [HELD_BY]),
    holding=(State.HOLDING, [Announce(V4)]),  # we outrank it
    checking=(State.DEFERRING, [Ended(V4), HELD_BY]),
)
EXPECTED: dict[Heard, dict[State, tuple[State, list[TakeoverEffect]]]] = {
    Heard.ANSWER: _ONE_OF_OURS_HAS_IT,
    Heard.ANNOUNCEMENT: {**_ONE_OF_OURS_HAS_IT, State.HANDING_OVER: (State.OVER, [Ended(V4), HELD_BY])},
    Heard.REPLACED: at_once(
        holding=(State.HOLDING, [Announce(V4)]),
        checking=(State.CHECKING, [Announce(V4)]),
        handing_over=(State.OVER, [Ended(V4), HELD_BY]),  # who hands over replaces nobody
    ),
    Heard.PROBE: at_once(holding=(State.HOLDING, [Announce(V4)])),
    Heard.FOREIGN: at_once(
        asking=(State.DISPUTED, [STRANGER]),
        holding=(State.HOLDING, [STRANGER, Announce(V4)]),
        checking=(State.CHECKING, [STRANGER, Announce(V4)]),
    ),
}


class TestWhatIsHeard:
    def test_every_state_knows_what_to_do_with_everything(self) -> None:
        assert REACTIONS.keys() == {(state, heard) for state in State for heard in Heard}

    @pytest.mark.parametrize("state", State)
    @pytest.mark.parametrize("heard", Heard)
    def test_one_frame(self, state: State, heard: Heard) -> None:
        node = REACH[state](REPLACE if heard is Heard.REPLACED else HOLD)
        assert node.state() is state
        said = Heard.ANNOUNCEMENT if heard in {Heard.FOREIGN, Heard.REPLACED} else heard
        effects = node.hear(said, FOREIGN if heard is Heard.FOREIGN else HIGH)
        assert (node.state(), effects) == EXPECTED[heard][state]

    @pytest.mark.parametrize("state", State)
    @pytest.mark.parametrize(
        ("mac", "address", "index"),
        [
            pytest.param(OWN, V4, 2, id="our own frame"),
            pytest.param(HIGH, V6, 2, id="about an address that is not wished"),
            pytest.param(HIGH, V4, 3, id="on an interface that the wish does not cover"),
        ],
    )
    @pytest.mark.parametrize("heard", [Heard.ANSWER, Heard.ANNOUNCEMENT, Heard.PROBE])
    def test_what_is_none_of_our_business(
        self, state: State, heard: Heard, mac: bytes, address: Address, index: int
    ) -> None:
        node = REACH[state](HOLD)
        assert node.hear(heard, mac, address, index) == []
        assert node.state() is state

    @pytest.mark.parametrize("state", State)
    def test_a_foreign_host_may_ask(self, state: State) -> None:
        """It is answered like anybody, and learns that the address is taken."""
        node = REACH[state](HOLD)
        assert node.hear(Heard.PROBE, FOREIGN) == []
        assert node.state() is state


class TestBeginning:
    @both_families
    def test_it_asks_twice_and_begins_when_nobody_has_answered(self, address: Address) -> None:
        node = Node()
        assert node.want(HOLD, address) == [Ask(2, address)]
        assert node.pass_time(0.03) == [Ask(2, address)]
        assert node.pass_time(ASK_SECONDS - 0.031) == []
        assert not node.machine.holds(address)
        assert node.pass_time(0.002) == [Began(address)]
        assert node.machine.holds(address)
        assert (list(node.machine.held()), node.machine.next_deadline()) == ([address], None)

    def test_it_asks_on_every_interface_that_the_wish_covers(self) -> None:
        node = Node(ETH0, ETH1, VETH)
        assert node.want(HOLD) == [Ask(2, V4), Ask(3, V4)]
        assert node.want(Wish(interfaces=frozenset({"veth1"})), V6) == [Ask(4, V6)]

    def test_it_does_nothing_before_its_time(self) -> None:
        node = waiting()
        assert node.pass_time(0.149) == []
        assert node.pass_time(0.002) == [Ask(2, V4)]

    def test_its_time_may_be_put_off_while_it_asks(self) -> None:
        node = asking()
        node.want(Wish(begin_at=START + 5))
        assert node.pass_time(4.9) == []
        assert node.pass_time(0.2)[-1] == Began(V4)

    @pytest.mark.parametrize("state", [State.DEFERRING, State.DISPUTED])
    def test_its_time_may_be_put_off_while_another_has_it(self, state: State) -> None:
        node = REACH[state](HOLD)
        node.want(Wish(begin_at=START + 5))
        assert node.pass_time(4.9) == []
        assert Began(V4) in node.pass_time(0.2)

    def test_what_others_give_up_is_begun_without_asking(self) -> None:
        """D28: the new holder announces first."""
        node = Node()
        assert node.want(REPLACE) == [Began(V4)]

    def test_its_time_counts_there_too(self) -> None:
        node = waiting(REPLACE)
        assert node.pass_time(0.149) == []
        assert node.pass_time(0.002) == [Began(V4)]

    @pytest.mark.parametrize("state", [State.WAITING, State.ASKING])
    def test_while_it_waits_or_asks_the_other_may_give_up(self, state: State) -> None:
        assert REACH[state](HOLD).want(REPLACE) == [Began(V4)]

    def test_the_node_it_defers_to_may_give_up(self) -> None:
        node = asking()
        node.hear(Heard.ANSWER, HIGH)
        assert node.want(REPLACE) == [Began(V4)]

    def test_the_node_it_defers_to_may_be_another_than_the_one_that_gives_up(self) -> None:
        node = deferring(REPLACE)
        assert node.log[-1] == HeldBy(V4, "low")
        assert node.pass_time(LOOK_AGAIN_SECONDS) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER, HIGH) == []
        assert node.pass_time(ASK_SECONDS)[-1] == Began(V4)

    def test_an_answer_that_may_not_have_been_read_yet_is_waited_for(self) -> None:
        node = asking()
        node.now += 5
        assert node.take(node.machine.tick(node.now)) == [Ask(2, V4)]
        node.now += 5
        assert node.take(node.machine.tick(node.now)) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER) == [HELD_BY]

    def test_a_node_that_is_always_late_begins_all_the_same(self) -> None:
        node = asking()
        for _ in range(4):
            node.now += 1
            node.take(node.machine.tick(node.now))
        assert node.log == [*[Ask(2, V4)] * 4, Began(V4)]


class TestTwoThatAskAtOnce:
    def test_the_lower_mac_goes_on(self) -> None:
        node = asking()
        node.hear(Heard.PROBE, HIGH)
        assert node.pass_time(ASK_SECONDS)[-1] == Began(V4)

    def test_the_higher_one_looks_again_a_second_later(self) -> None:
        node = asking()
        node.hear(Heard.PROBE, LOW)
        node.hear(Heard.PROBE, HIGH)
        assert node.pass_time(ASK_SECONDS) == [Ask(2, V4)]
        assert node.state() is State.DEFERRING
        assert node.pass_time(LOOK_AGAIN_SECONDS) == [Ask(2, V4)]
        assert node.pass_time(ASK_SECONDS)[-1] == Began(V4)

    def test_the_lowest_of_all_macs_counts(self) -> None:
        node = Node(replace(ETH0, mac=HIGH[:5] + b"\x63"), replace(ETH1, mac=LOW[:5] + b"\x00"))
        node.want(HOLD)
        node.hear(Heard.PROBE, LOW)
        assert node.pass_time(ASK_SECONDS)[-1] == Began(V4)


class TestDeferring:
    def test_it_looks_each_second_and_says_once_who_has_it(self) -> None:
        node = asking()
        assert node.hear(Heard.ANSWER) == [HELD_BY]
        for _ in range(5):
            assert node.pass_time(LOOK_AGAIN_SECONDS) == [Ask(2, V4)]
            assert node.hear(Heard.ANSWER) == []
        assert node.pass_time(LOOK_AGAIN_SECONDS) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER, LOW) == [HeldBy(V4, "low")]

    def test_it_begins_when_the_other_is_silent(self) -> None:
        assert deferring().pass_time(LOOK_AGAIN_SECONDS + ASK_SECONDS) == [Ask(2, V4), Ask(2, V4), Began(V4)]

    def test_claims_do_not_put_off_the_next_look(self) -> None:
        node = deferring()
        node.pass_time(0.9)
        node.hear(Heard.ANNOUNCEMENT)
        assert node.pass_time(0.11) == [Ask(2, V4)]


class TestTwoHolders:
    """D12 and D22: a holder that hears another does something about it."""

    def test_one_that_is_outranked_yields_and_looks_again(self) -> None:
        node = holding()
        node.betters = {"high"}
        assert node.hear(Heard.ANNOUNCEMENT) == [Ended(V4), HELD_BY]
        assert node.pass_time(LOOK_AGAIN_SECONDS) == [Ask(2, V4)]

    def test_one_that_is_not_has_the_last_word(self) -> None:
        node = holding()
        assert node.hear(Heard.ANNOUNCEMENT) == [Announce(V4)]

    @pytest.mark.parametrize("heard", [Heard.ANNOUNCEMENT, Heard.PROBE])
    def test_it_says_so_once_a_second_but_never_leaves_anything_unsaid(self, heard: Heard) -> None:
        node = holding()
        for _ in range(9):
            node.hear(heard)
            node.pass_time(0.1)
        assert node.log.count(Announce(V4)) == 1
        assert node.pass_time(0.2) == [Announce(V4)]
        assert node.pass_time(60) == []

    def test_one_that_has_just_begun_is_announced_several_times_anyway(self) -> None:
        node = Node()
        node.want(REPLACE)
        assert node.hear(Heard.ANNOUNCEMENT) == []
        assert node.pass_time(1) == [Announce(V4)]

    @pytest.mark.parametrize(("other", "stays"), [(LOW, False), (HIGH, True)])
    def test_where_each_takes_itself_for_the_first_the_lower_mac_stays(self, other: bytes, stays: bool) -> None:
        node = holding()
        for _ in range(4):
            node.hear(Heard.ANNOUNCEMENT, other)
            node.pass_time(0.6)
        assert (Ended(V4) not in node.log) is stays

    def test_a_burst_of_claims_is_one_round(self) -> None:
        """A node that was frozen says everything at once."""
        node = holding()
        for _ in range(20):
            node.hear(Heard.ANNOUNCEMENT, LOW)
        assert node.machine.holds(V4)

    def test_an_old_contest_counts_for_nothing(self) -> None:
        node = holding()
        for _ in range(20):
            node.hear(Heard.ANNOUNCEMENT, LOW)
            node.pass_time(3.1)
        assert node.machine.holds(V4)

    def test_nothing_is_said_any_more_once_it_has_ended(self) -> None:
        node = holding()
        node.hear(Heard.PROBE)
        node.hear(Heard.PROBE)
        node.want(None)
        assert node.pass_time(60) == []


class TestForeignHosts:
    def test_while_it_answers_the_looks_get_seldom(self) -> None:
        node = asking()
        gaps, looked_at = [], node.now
        for _ in range(8):
            node.hear(Heard.ANSWER, FOREIGN)
            while node.state() is State.DISPUTED:
                node.pass_time(0.25)
            gaps.append(round(node.now - looked_at))
            looked_at = node.now
        assert gaps == [1, 2, 4, 8, 16, 30, 30, LONGEST_DISPUTE_SECONDS]
        assert node.log.count(STRANGER) == 1

    def test_when_it_is_silent_the_address_is_taken_and_a_minute_later_it_is_gone(self) -> None:
        node = disputed()
        assert node.pass_time(59.9)[-1] == Began(V4)
        assert node.pass_time(0.2) == [Ask(2, V4), Ask(2, V4)]
        assert node.pass_time(LOOK_AGAIN_SECONDS) == [ForeignHostGone(V4)]
        assert node.machine.next_deadline() is None

    def test_it_is_gone_only_when_it_was_quiet(self) -> None:
        node = holding()
        for _ in range(4):
            node.hear(Heard.ANNOUNCEMENT, FOREIGN)
            node.pass_time(50)
        assert ForeignHostGone(V4) not in node.log
        assert node.pass_time(12) == [Ask(2, V4), Ask(2, V4), ForeignHostGone(V4)]
        assert STRANGER in node.hear(Heard.ANNOUNCEMENT, FOREIGN)

    def test_one_that_only_answers_when_it_is_asked_is_not_gone(self) -> None:
        """Most hosts tell the segment once that they have an address."""
        node = holding()
        node.hear(Heard.ANNOUNCEMENT, FOREIGN)
        for _ in range(3):
            assert Ask(2, V4) in node.pass_time(QUIET_SECONDS + 0.01)
            node.hear(Heard.ANSWER, FOREIGN)
        assert ForeignHostGone(V4) not in node.log
        assert node.pass_time(QUIET_SECONDS + LOOK_AGAIN_SECONDS + 0.01)[-1] == ForeignHostGone(V4)
        assert node.log.count(STRANGER) == 1

    def test_defending_is_announcing_every_ten_seconds_at_most(self) -> None:
        node = holding()
        for _ in range(305):
            node.hear(Heard.ANNOUNCEMENT, FOREIGN)
            node.hear(Heard.ANSWER, FOREIGN)
            node.pass_time(0.1)
        assert node.log.count(Announce(V4)) == 1 + int(30 / DEFEND_SECONDS)
        assert node.log.count(STRANGER) == 1
        assert node.machine.holds(V4)

    @pytest.mark.parametrize("policy", [ConflictPolicy.YIELD, ConflictPolicy.QUARANTINE])
    @pytest.mark.parametrize("state", [State.HOLDING, State.CHECKING])
    def test_other_policies_give_it_up_until_the_host_is_silent(self, policy: ConflictPolicy, state: State) -> None:
        node = REACH[state](Wish(on_conflict=policy))
        assert node.hear(Heard.ANNOUNCEMENT, FOREIGN) == [Ended(V4), STRANGER]
        assert node.pass_time(1) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER, FOREIGN) == []
        assert node.pass_time(3)[-1] == Began(V4)

    def test_a_node_that_was_not_known_yet_is_no_stranger(self) -> None:
        node = disputed()
        news = node.take(node.machine.set_speakers({**SPEAKERS, FOREIGN: "new"}, node.now))
        assert news == [ForeignHostGone(V4), Ask(2, V4)]
        assert node.hear(Heard.ANSWER, FOREIGN) == [HeldBy(V4, "new")]

    def test_speakers_that_come_and_go_end_no_other_dispute(self) -> None:
        node = disputed()
        assert node.take(node.machine.set_speakers({b"\2\0\0\0\0\7": "another"}, node.now)) == []
        assert node.state() is State.DISPUTED
        assert node.hear(Heard.ANSWER, HIGH) == []


class TestHandingOver:
    """A planned move has no gap: D28."""

    def test_it_answers_but_announces_no_more_until_it_hears_the_new_holder(self) -> None:
        node = holding()
        assert node.want(HAND_OVER) == [StopAnnouncing(V4)]
        assert node.pass_time(100) == []
        assert node.machine.holds(V4)
        assert node.hear(Heard.ANNOUNCEMENT) == [Ended(V4), HELD_BY]
        assert node.hear(Heard.ANNOUNCEMENT, LOW) == []

    def test_it_ends_in_time_even_if_nobody_was_heard(self) -> None:
        node = holding()
        node.want(replace(HAND_OVER, until=node.now + 3))
        assert node.pass_time(2.9) == []
        assert node.want(replace(HAND_OVER, until=node.now + 1)) == []
        assert node.pass_time(0.9) == []
        assert node.pass_time(0.2) == [Ended(V4)]

    @pytest.mark.parametrize("state", [State.WAITING, State.ASKING, State.DEFERRING, State.DISPUTED, State.OVER])
    def test_what_is_not_held_is_not_handed_over(self, state: State) -> None:
        node = REACH[state](HOLD)
        assert node.want(HAND_OVER) == []
        assert node.state() is State.OVER
        assert ForeignHostGone(V4) not in node.pass_time(QUIET_SECONDS / 2)

    def test_it_may_be_wished_again_meanwhile(self) -> None:
        node = handing_over()
        assert node.want(HOLD) == [Announce(V4)]
        assert node.state() is State.HOLDING

    def test_it_may_be_wished_again_afterwards(self) -> None:
        node = handing_over()
        node.hear(Heard.ANNOUNCEMENT)
        assert node.want(HOLD) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER) == [HELD_BY]


class TestAskingAgain:
    """It was away for a moment; another may have taken over."""

    def test_it_answers_while_it_asks_and_goes_on_when_nobody_else_does(self) -> None:
        node = holding()
        assert node.ask_again() == [Ask(2, V4)]
        assert node.machine.holds(V4)
        assert node.pass_time(60) == [Ask(2, V4)]
        assert node.state() is State.HOLDING

    @pytest.mark.parametrize("heard", [Heard.ANSWER, Heard.ANNOUNCEMENT])
    def test_it_yields_even_to_a_node_that_it_outranks(self, heard: Heard) -> None:
        node = checking()
        assert node.hear(heard) == [Ended(V4), HELD_BY]

    def test_of_two_holders_that_both_ask_the_higher_mac_yields_at_once(self) -> None:
        node = holding()
        node.ask_again()
        assert node.hear(Heard.ANSWER, LOW) == [Ended(V4), HeldBy(V4, "low")]

    def test_the_lower_one_hears_by_its_second_probe_whether_the_other_did(self) -> None:
        node = holding()
        node.ask_again()
        assert node.hear(Heard.ANSWER, HIGH) == []
        assert node.pass_time(60) == [Ask(2, V4)]
        assert node.state() is State.HOLDING

    def test_the_lower_one_yields_to_what_answers_its_second_probe(self) -> None:
        """What is heard before may be old: it waited to be read while this node stood still."""
        node = holding()
        node.ask_again()
        node.hear(Heard.PROBE, HIGH)
        node.hear(Heard.ANNOUNCEMENT, HIGH)
        node.pass_time(0.03)
        assert node.hear(Heard.ANSWER, HIGH) == [Ended(V4), HELD_BY]

    def test_only_these_addresses_are_asked_for(self) -> None:
        node = Node()
        node.want(HOLD, V4, V6)
        node.pass_time(1)
        assert node.ask_again(V6, ip_address("192.0.2.99")) == [Ask(2, V6)]

    @pytest.mark.parametrize("state", sorted(set(State) - {State.HOLDING, State.CHECKING}))
    def test_what_is_not_held_for_good_is_left_alone(self, state: State) -> None:
        node = REACH[state](HOLD)
        assert node.ask_again() == []
        assert node.state() is state

    def test_a_last_word_that_is_due_is_not_lost(self) -> None:
        node = holding()
        node.hear(Heard.PROBE)
        node.hear(Heard.PROBE)
        node.ask_again()
        assert node.pass_time(1.01) == [Ask(2, V4), Announce(V4)]


class TestWishes:
    @pytest.mark.parametrize("state", State)
    def test_what_is_not_wished_any_more_ends_at_once(self, state: State) -> None:
        node = REACH[state](HOLD)
        assert node.want(None) == ([Ended(V4)] if state in HELD else [])
        assert (node.state(), node.machine.next_deadline()) == (None, None)

    @pytest.mark.parametrize("state", State)
    def test_the_same_wish_again_changes_nothing(self, state: State) -> None:
        node = REACH[state](HOLD)
        before = node.machine.next_deadline()
        wish = HAND_OVER if state in {State.HANDING_OVER, State.OVER} else HOLD
        if state is State.WAITING:
            wish = replace(HOLD, begin_at=START + 0.15)
        assert node.want(wish) == []
        assert (node.state(), node.machine.next_deadline()) == (state, before)

    def test_one_address_knows_nothing_of_another(self) -> None:
        node = Node()
        node.want(HOLD, V4, V6)
        node.hear(Heard.ANSWER, address=V4)
        assert node.pass_time(ASK_SECONDS) == [Ask(2, V6), Began(V6)]


class TestInterfaces:
    def test_without_one_it_waits_for_one(self) -> None:
        node = Node(VETH)
        assert node.want(HOLD) == []
        assert node.use(ETH0) == [Ask(2, V4)]

    def test_when_the_last_one_goes_it_ends_and_when_it_is_back_it_asks_anew(self) -> None:
        node = holding()
        assert node.use(VETH) == [Ended(V4)]
        assert node.pass_time(60) == []
        assert node.use(ETH0) == [Ask(2, V4)]
        assert node.hear(Heard.ANSWER) == [HELD_BY]

    def test_who_is_known_to_have_it_is_said_anew_after_that(self) -> None:
        node = deferring()
        node.use(VETH)
        node.use(ETH0)
        assert node.hear(Heard.ANSWER, LOW) == [HeldBy(V4, "low")]

    def test_when_the_last_one_goes_the_handing_over_is_over(self) -> None:
        node = handing_over()
        assert node.use(VETH) == [Ended(V4)]
        assert node.use(ETH0) == []

    def test_one_more_or_less_changes_nothing_else(self) -> None:
        node = holding()
        assert node.use(ETH0, ETH1) == []
        assert node.use(ETH1) == []
        assert node.hear(Heard.PROBE, index=3) == [Announce(V4)]

    def test_a_line_that_was_cut_for_a_moment_makes_it_ask(self) -> None:
        node = holding()
        assert node.use(replace(ETH0, carrier_changes=2)) == [Ask(2, V4)]
        assert node.machine.holds(V4)

    def test_a_line_that_carries_nothing_of_it_does_not(self) -> None:
        node = Node(ETH0, ETH1)
        node.want(Wish(interfaces=frozenset({"eth0"})))
        node.pass_time(1)
        assert node.use(ETH0, replace(ETH1, carrier_changes=2)) == []

    def test_wishing_for_another_interface_is_beginning_anew_there(self) -> None:
        node = Node(ETH0, ETH1)
        node.want(Wish(interfaces=frozenset({"eth0"})))
        node.pass_time(1)
        assert node.want(Wish(interfaces=frozenset({"eth1"}))) == [Ended(V4), Ask(3, V4)]


class TestPace:
    ADDRESSES = tuple(ip_address(f"198.51.{number // 250}.{number % 250}") for number in range(1000))

    def test_a_thousand_addresses_are_asked_for_at_a_pace_and_begin_one_after_the_other(self) -> None:
        node = Node()
        assert len(node.want(HOLD, *self.ADDRESSES)) == MAX_BURST
        began: list[float] = []
        while len(began) < 1000:
            before = node.now
            effects = node.pass_time(0.05)
            asks = sum(isinstance(effect, Ask) for effect in effects)
            assert asks <= MAX_BURST + 0.06 * MAX_PER_SECOND
            began += [before] * sum(isinstance(effect, Began) for effect in effects)
        assert began[0] < START + 0.1
        assert began[500] < START + 0.5
        assert began[-1] < START + 2 * 1000 / MAX_PER_SECOND + ASK_SECONDS + 0.1

    def test_the_loop_is_woken_a_hundred_times_a_second_not_more(self) -> None:
        node = Node()
        node.want(HOLD, *self.ADDRESSES)
        wakes = 0
        while node.now < START + 0.5 and (deadline := node.machine.next_deadline()) is not None:
            wakes += 1
            node.now = max(node.now, deadline)
            node.take(node.machine.tick(node.now))
        assert wakes < 150

    def test_what_is_given_up_does_not_use_up_the_pace(self) -> None:
        node = Node()
        node.want(HOLD, *self.ADDRESSES)
        node.want(HOLD, V6)
        assert Began(V6) in node.pass_time(ASK_SECONDS + 0.03)


@pytest.mark.parametrize("state", State)
def test_a_flood_of_forged_frames_leaves_no_trace_and_takes_nothing_that_is_defended(state: State) -> None:
    node = REACH[state](HOLD)
    held = node.machine.holds(V4)
    heap = node.machine._matters.alarms._heap
    for number in range(3000):
        mac = bytes([2, 9, 9, 9, number >> 8, number & 255])
        for heard in (Heard.ANSWER, Heard.ANNOUNCEMENT, Heard.PROBE):
            node.hear(heard, mac)
    assert node.machine.holds(V4) is held
    assert len(heap) < 10
    assert len(node.log) < 10
