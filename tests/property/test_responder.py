"""Over any history of addresses, interfaces, frames and time, the kernel's state is the product of the two inputs."""

from ipaddress import ip_address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.gratuitous import GAPS_SECONDS
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import MalformedPacket, Question, parse_heard, solicited_node_group
from baremetal_lb.l2.responder import (
    Effect,
    JoinGroup,
    LeaveGroup,
    Listen,
    Responder,
    SendFrame,
)
from baremetal_lb.l2.segment import Announce, Began, Ended, StopAnnouncing, TakeoverEffect, Wish
from baremetal_lb.l2.templates import build_templates

TEMPLATES = build_templates()
ADDRESSES: list[Address] = [
    ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1", "2001:db8::2")
]
NAMES = ["eth0", "eth1", "veth0"]

wishes = st.builds(Wish, st.frozensets(st.sampled_from(NAMES), max_size=2))
interfaces = st.builds(
    Interface,
    index=st.integers(1, 3),
    name=st.sampled_from(NAMES),
    mac=st.integers(1, 3).map(lambda last: bytes([2, 0, 0, 0, 0, last])),
    only_by_name=st.booleans(),
    carrier_changes=st.integers(0, 2),
)


class ResponderHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.responder = Responder(TEMPLATES)
        self.wishes: dict[Address, Wish] = {}
        self.held: set[Address] = set()
        self.quiet: set[Address] = set()
        self.interfaces: dict[int, Interface] = {}
        self.heard: dict[tuple[int, Family], frozenset[bytes]] = {}
        self.joined: set[tuple[int, object]] = set()
        self.now = 0.0

    @rule(wished=st.dictionaries(st.sampled_from(ADDRESSES), wishes), choices=st.data())
    def want(self, wished: dict[Address, Wish], choices: st.DataObject) -> None:
        self.wishes = wished
        steps = self.choose_steps(choices)
        self.perform(self.responder.set_wishes(wished, steps, self.now))

    @rule(present=st.lists(interfaces, max_size=3, unique_by=lambda one: one.index), choices=st.data())
    def plug(self, present: list[Interface], choices: st.DataObject) -> None:
        self.interfaces = {one.index: one for one in present}
        steps = self.choose_steps(choices)
        self.perform(self.responder.interfaces_changed(self.interfaces, steps, self.now))

    @rule(choices=st.data())
    def hold(self, choices: st.DataObject) -> None:
        self.perform(self.responder.do(self.choose_steps(choices), self.now))

    def choose_steps(self, choices: st.DataObject) -> list[TakeoverEffect]:
        """Let some be held that are wished, and no others."""
        held = choices.draw(st.sets(st.sampled_from(sorted(self.wishes, key=str)))) if self.wishes else set()
        ended = [Ended(one) for one in self.held - held]
        begun = [Began(one) for one in held - self.held]
        quiet = choices.draw(st.sets(st.sampled_from(sorted(held, key=str)))) if held else set()
        hushed = [StopAnnouncing(one) for one in quiet]
        again = [Announce(one) for one in held - quiet]
        self.held, self.quiet = held, quiet
        return [*ended, *begun, *hushed, *again]

    @rule()
    def tell_again(self) -> None:
        self.perform(self.responder.announce_again(self.now))

    @rule(index=st.integers(1, 4), frame=st.binary(max_size=90))
    def hear(self, index: int, frame: bytes) -> None:
        try:
            heard = parse_heard(frame)
        except MalformedPacket:
            return
        if isinstance(heard, Question):
            self.responder.answer(index, frame, heard)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.responder.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.perform(self.responder.tick(self.now))
        self.now = end

    @invariant()
    def the_kernel_has_the_product(self) -> None:
        self.responder.check_invariants()
        product = {
            (index, address)
            for index, interface in self.interfaces.items()
            for address, wish in self.wishes.items()
            if wish.covers(interface)
        }
        held = {(one.interface_index, one.address) for one in self.responder.holdings()}
        assert held == {(index, address) for index, address in product if address in self.held}
        heard = {(index, target) for (index, _), targets in self.heard.items() for target in targets}
        assert heard == {(index, address.packed) for index, address in product}
        wanted = {(index, solicited_node_group(one)) for index, one in product if one.version == 6}
        assert self.joined == wanted

    @invariant()
    def deadlines_lie_within_the_schedule(self) -> None:
        deadline = self.responder.next_deadline()
        assert deadline is None or deadline <= self.now + max(GAPS_SECONDS)

    def teardown(self) -> None:
        self.wait(sum(GAPS_SECONDS) + 1)
        assert self.responder.next_deadline() is None
        for holding in self.responder.holdings():
            assert holding.announcements >= len(GAPS_SECONDS) or holding.address in self.quiet

    def sent_from(self, index: int, frame: bytes) -> bool:
        return index in self.interfaces and frame[6:12] == self.interfaces[index].mac

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendFrame(index, frame):
                    assert self.sent_from(index, frame)
                case Listen(index, family, targets):
                    self.heard[index, family] = targets
                case JoinGroup(index, group):
                    assert (index, group) not in self.joined
                    self.joined.add((index, group))
                case LeaveGroup(index, group):
                    self.joined.remove((index, group))


TestResponderHistories = ResponderHistories.TestCase
TestResponderHistories.settings = settings(deadline=None, stateful_step_count=30, max_examples=60)
