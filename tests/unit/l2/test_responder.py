"""What the responder does as addresses and interfaces come and go, and which frames it answers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.l2.askers import MAX_ASKERS
from baremetal_lb.l2.gratuitous import GAPS_SECONDS
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import (
    ALL_NODES_MAC,
    BROADCAST,
    Claim,
    ClaimKind,
    Question,
    frames_for,
    parse_heard,
    solicited_node_group,
)
from baremetal_lb.l2.responder import (
    Effect,
    JoinGroup,
    LeaveGroup,
    Listen,
    Responder,
    SendFrame,
)
from baremetal_lb.l2.segment import Announce, Ask, Began, Ended, StopAnnouncing, TakeoverEffect, Wish
from baremetal_lb.l2.templates import build_templates

TEMPLATES = build_templates()
START = 1_000.0
ASKER = bytes.fromhex("02005e005302")
ETH0 = Interface(2, "eth0", bytes.fromhex("02005e005310"))
ETH1 = Interface(3, "eth1", bytes.fromhex("02005e005311"))
VETH = Interface(4, "veth1", bytes.fromhex("02005e005312"), only_by_name=True)
V4 = IPv4Address("192.0.2.10")
V6 = IPv6Address("2001:db8::10")
EVERYWHERE = Wish()
ROUNDS = len(GAPS_SECONDS)
BOTH: Mapping[Address, Wish] = {V4: EVERYWHERE, V6: EVERYWHERE}


class Node:
    """A responder of a node that holds all that it wishes for, and what a kernel would do with its effects."""

    def __init__(self, *interfaces: Interface, refresh_seconds: float = 0.0) -> None:
        self.responder = Responder(TEMPLATES, refresh_seconds=refresh_seconds)
        self.held: set[Address] = set()
        self.targets: dict[int, set[bytes]] = {}
        self.groups: dict[int, set[IPv6Address]] = {}
        self.now = START
        self.use(*interfaces)

    def use(self, *interfaces: Interface) -> list[SendFrame]:
        """Have these interfaces; answer the frames that leave at once."""
        by_index = {interface.index: interface for interface in interfaces}
        return self.perform(self.responder.interfaces_changed(by_index, [], self.now))

    def announce(self, wishes: Mapping[Address, Wish]) -> list[SendFrame]:
        return self.perform(self.announcing(wishes))

    def announcing(self, wishes: Mapping[Address, Wish]) -> list[Effect]:
        begun = [Began(one) for one in wishes if one not in self.held]
        ended = [Ended(one) for one in self.held if one not in wishes]
        self.held = set(wishes)
        return self.responder.set_wishes(wishes, [*ended, *begun], self.now)

    def do(self, *steps: TakeoverEffect) -> list[SendFrame]:
        return self.perform(self.responder.do(steps, self.now))

    def hear(self, interface: Interface, frame: bytes) -> list[SendFrame]:
        """Answer a question; nothing else is one."""
        heard = parse_heard(frame)
        answer = self.responder.answer(interface.index, frame, heard) if isinstance(heard, Question) else None
        return [answer] if answer else []

    def pass_time(self, seconds: float) -> list[SendFrame]:
        """Wake the machine whenever it asks for it."""
        end = self.now + seconds
        sent: list[SendFrame] = []
        while (deadline := self.responder.next_deadline()) is not None and deadline <= end:
            sent += self.perform(self.responder.tick(deadline))
        self.now = end
        return sent

    def perform(self, effects: Iterable[Effect]) -> list[SendFrame]:
        sent = []
        for effect in effects:
            match effect:
                case SendFrame():
                    sent.append(effect)
                case Listen(index, family, targets):
                    size = 4 if family is Family.IPV4 else 16
                    others = {one for one in self.targets.get(index, set()) if len(one) != size}
                    self.targets[index] = others | targets
                case JoinGroup(index, group):
                    assert group not in self.groups.setdefault(index, set())
                    self.groups[index].add(group)
                case LeaveGroup(index, group):
                    self.groups[index].remove(group)
        self.responder.check_invariants()
        return sent

    def heard_on(self, interface: Interface) -> set[bytes]:
        return self.targets.get(interface.index, set())

    def groups_on(self, interface: Interface) -> set[IPv6Address]:
        return self.groups.get(interface.index, set())


def gratuitous(interface: Interface, *addresses: Address) -> list[SendFrame]:
    return [
        SendFrame(interface.index, frame)
        for address in addresses
        for frame in frames_for(TEMPLATES, interface.mac, address).gratuitous()
    ]


def arp_request(
    target: IPv4Address, *, destination: bytes = BROADCAST, asker: bytes = ASKER, operation: int = 1
) -> bytes:
    head = destination + asker + bytes.fromhex("0806 0001 0800 06 04") + operation.to_bytes(2)
    return head + asker + b"\xc0\0\2\xc9" + bytes(6) + target.packed


def solicitation(target: IPv6Address, *, destination: bytes = b"\x33\x33\xff\0\0\x10", asker: bytes = ASKER) -> bytes:
    sender, group = IPv6Address("2001:db8::201").packed, solicited_node_group(target).packed
    body = b"\x87\0\0\0" + bytes(4) + target.packed + b"\x01\x01" + asker
    checksum = -int.from_bytes(sender + group + body + b"\0\x20\0\x3a") % 0xFFFF
    body = body[:2] + checksum.to_bytes(2) + body[4:]
    return destination + asker + b"\x86\xdd\x60\0\0\0\0\x20\x3a\xff" + sender + group + body


def question(target: Address, **how: bytes) -> bytes:
    ask: Callable[..., bytes] = arp_request if isinstance(target, IPv4Address) else solicitation
    return ask(target, **how)


class TestBecomingTheHolder:
    def test_it_listens_joins_and_announces_at_once_whichever_came_first(self) -> None:
        address_first, interface_first = Node(), Node(ETH0)
        address_first.announce(BOTH)
        assert address_first.use(ETH0) == interface_first.announce(BOTH) == gratuitous(ETH0, V4, V6)
        for node in (address_first, interface_first):
            assert node.heard_on(ETH0) == {V4.packed, V6.packed}
            assert node.groups_on(ETH0) == {solicited_node_group(V6)}

    def test_it_listens_before_it_announces(self) -> None:
        node = Node(ETH0)
        effects = node.announcing(BOTH)
        kinds = [type(effect) for effect in effects]
        assert kinds == [Listen, Listen, JoinGroup, *[SendFrame] * 3]

    def test_it_announces_in_all_rounds_and_then_no_more(self) -> None:
        node = Node(ETH0)
        at_once = node.announce({V4: EVERYWHERE})
        assert at_once + node.pass_time(60) == gratuitous(ETH0, V4) * ROUNDS
        assert node.responder.next_deadline() is None

    def test_being_told_the_same_again_sends_nothing(self) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        assert node.announcing(dict(BOTH)) == []
        assert node.use(ETH0) == []

    def test_announcing_again_is_like_becoming_the_holder_once_more(self) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        node.pass_time(1)
        again = node.perform(node.responder.announce_again(node.now))
        assert again == gratuitous(ETH0, V4, V6)
        assert node.pass_time(60) == gratuitous(ETH0, V4, V6) * (ROUNDS - 1)

    def test_a_steady_refresh_goes_on_after_the_rounds_until_the_address_is_given_up(self) -> None:
        node = Node(ETH0, refresh_seconds=100)
        node.announce(BOTH)
        node.pass_time(sum(GAPS_SECONDS) + 1)
        assert node.pass_time(300) == gratuitous(ETH0, V4, V6) * 3
        node.announce({V4: EVERYWHERE})
        assert node.pass_time(300) == gratuitous(ETH0, V4) * 3

    def test_a_second_family_leaves_the_first_in_peace(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        assert node.announce(BOTH) == gratuitous(ETH0, V6)


class TestLosingAnAddress:
    @pytest.mark.parametrize("address", [V4, V6])
    def test_nothing_is_heard_answered_or_announced_any_more(self, address: Address) -> None:
        """D21: repetitions that are still to come are left out."""
        node = Node(ETH0)
        node.announce({address: EVERYWHERE})
        node.announce({})
        assert node.heard_on(ETH0) == set()
        assert node.groups_on(ETH0) == set()
        assert node.hear(ETH0, question(address)) == []
        assert node.pass_time(60) == []

    def test_what_has_the_same_group_keeps_it(self) -> None:
        node = Node(ETH0)
        twin = IPv6Address("2001:db8:1::10")
        node.announce({V6: EVERYWHERE, twin: EVERYWHERE})
        node.announce({twin: EVERYWHERE})
        assert node.groups_on(ETH0) == {solicited_node_group(V6)}
        node.announce({})
        assert node.groups_on(ETH0) == set()

    def test_an_address_that_returns_is_announced_from_the_start(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        node.pass_time(0.3)
        node.announce({})
        assert node.announce({V4: EVERYWHERE}) + node.pass_time(60) == gratuitous(ETH0, V4) * ROUNDS


class TestInterfaces:
    """Most of these are something that MetalLB gets wrong, by the row of its inventory."""

    def test_one_that_appears_later_joins_and_announces(self) -> None:
        """D26: there it gets neither the groups nor the announcements of what is held already."""
        node = Node(ETH0)
        node.announce(BOTH)
        assert node.use(ETH0, ETH1) == gratuitous(ETH1, V4, V6)
        assert node.groups_on(ETH1) == {solicited_node_group(V6)}

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"mac": bytes.fromhex("02005e0053ee")}, id="its MAC changed"),
            pytest.param({"carrier_changes": 2}, id="its cable was out and in"),
        ],
    )
    def test_one_that_changed_announces_again(self, change: dict[str, object]) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        node.pass_time(60)
        changed = replace(ETH0, **change)  # type: ignore[arg-type]  # rows of several types
        assert node.use(changed) == gratuitous(changed, V4, V6)
        assert node.heard_on(ETH0) == {V4.packed, V6.packed}

    def test_old_and_new_mac_are_not_announced_side_by_side(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        changed = replace(ETH0, mac=ETH1.mac)
        assert node.use(changed) + node.pass_time(60) == gratuitous(changed, V4) * ROUNDS

    def test_answers_carry_the_new_mac(self) -> None:
        """D18: there the MAC is read once, when the interface is first seen."""
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        node.use(replace(ETH0, mac=ETH1.mac))
        [reply] = node.hear(ETH0, question(V4))
        assert reply.frame[6:12] == ETH1.mac

    def test_one_that_flaps_is_in_its_groups_afterwards(self) -> None:
        """D48: there a count of members falls below zero, and the next join is left out."""
        node = Node(ETH0)
        node.announce(BOTH)
        for _ in range(3):
            node.use()
            assert node.groups_on(ETH0) == set()
            assert node.use(ETH0) == gratuitous(ETH0, V4, V6)
            assert node.groups_on(ETH0) == {solicited_node_group(V6)}

    def test_one_that_is_made_anew_under_its_name_is_used(self) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        anew = replace(ETH0, index=9)
        assert node.use(anew) == gratuitous(anew, V4, V6)
        assert node.heard_on(ETH0) == set()

    def test_one_that_is_renamed_is_announced_where_the_new_name_is_wanted(self) -> None:
        node = Node(ETH0)
        node.announce({V4: Wish(frozenset({"eth0"})), V6: Wish(frozenset({"lan0"}))})
        renamed = replace(ETH0, name="lan0")
        assert node.use(renamed) == gratuitous(renamed, V6)
        assert node.heard_on(renamed) == {V6.packed}

    def test_another_address_of_the_node_itself_changes_nothing(self) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        node.pass_time(60)
        assert node.use(replace(ETH0, networks=(AddressRange.parse("192.0.2.0/24"),))) == []

    def test_losing_one_leaves_the_others_in_peace(self) -> None:
        """D27: there an error on one interface ends the look at all."""
        node = Node(ETH0, ETH1)
        node.announce(BOTH)
        assert node.use(ETH1) == []
        assert node.heard_on(ETH1) == {V4.packed, V6.packed}


@pytest.mark.parametrize(
    ("wish", "carriers"),
    [
        pytest.param(EVERYWHERE, [ETH0, ETH1], id="no name: every interface that is not another's"),
        pytest.param(Wish(frozenset({"eth1"})), [ETH1], id="a name: only that one"),
        pytest.param(Wish(frozenset({"veth1"})), [VETH], id="a name: even an excluded one"),
        pytest.param(Wish(frozenset({"eth0", "veth1"})), [ETH0, VETH], id="two names: both"),
        pytest.param(Wish(frozenset({"eth7"})), [], id="a name that is not there: none"),
    ],
)
@pytest.mark.parametrize("address", [V4, V6])
def test_where_an_address_is_announced(address: Address, wish: Wish, carriers: list[Interface]) -> None:
    """D22: there the gratuitous frames of an address go to the interfaces of one advertisement only."""
    node = Node(ETH0, ETH1, VETH)
    assert node.announce({address: wish}) == [
        frame for interface in carriers for frame in gratuitous(interface, address)
    ]
    answered = [one for one in (ETH0, ETH1, VETH) if node.hear(one, question(address))]
    assert answered == carriers


class TestAskers:
    """Who asked lately is told in person when the address is at another MAC."""

    @pytest.mark.parametrize("address", [V4, V6])
    def test_after_our_mac_changed(self, address: Address) -> None:
        node = Node(ETH0)
        node.announce({address: EVERYWHERE})
        node.hear(ETH0, question(address))
        changed = replace(ETH0, mac=ETH1.mac)
        told, *rest = node.use(changed)
        assert told.frame.startswith(ASKER + changed.mac)
        heard = parse_heard(told.frame)
        kind = ClaimKind.ANSWER if address == V4 else ClaimKind.ANNOUNCEMENT
        assert heard == Claim(address.packed, changed.mac, kind)
        assert rest == gratuitous(changed, address)
        assert node.pass_time(60) == gratuitous(changed, address) * (ROUNDS - 1)

    def test_only_the_last_few(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        askers = [bytes([2, 0, 0, 0, 1, number]) for number in range(MAX_ASKERS + 3)]
        for asker in [*askers, askers[-2]]:
            node.hear(ETH0, question(V4, asker=asker))
        told = node.use(replace(ETH0, mac=ETH1.mac))[: -len(gratuitous(ETH0, V4))]
        assert [one.frame[:6] for one in told] == [*askers[3:-2], askers[-1], askers[-2]]

    def test_whoever_only_probed_is_not_told(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        node.hear(ETH0, frames_for(TEMPLATES, ASKER, V4).probe())
        changed = replace(ETH0, mac=ETH1.mac)
        assert node.use(changed) == gratuitous(changed, V4)

    def test_they_are_forgotten_with_the_address(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        node.hear(ETH0, question(V4))
        node.announce({})
        assert node.announce({V4: EVERYWHERE}) == gratuitous(ETH0, V4)


def test_a_changed_advertisement_moves_the_announcement() -> None:
    node = Node(ETH0, ETH1)
    node.announce({V6: Wish(frozenset({"eth0"}))})
    assert node.announce({V6: Wish(frozenset({"eth1"}))}) == gratuitous(ETH1, V6)
    assert (node.groups_on(ETH0), node.groups_on(ETH1)) == (set(), {solicited_node_group(V6)})


class TestQuestions:
    @pytest.mark.parametrize("address", [V4, V6])
    @pytest.mark.parametrize(
        "how",
        [pytest.param({}, id="to all"), pytest.param({"destination": ETH0.mac}, id="to our MAC, as refreshes are")],
    )
    def test_a_question_for_a_held_address_is_answered_to_the_asker(
        self, address: Address, how: dict[str, bytes]
    ) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        [effect] = node.hear(ETH0, question(address, **how))
        assert effect.frame.startswith(ASKER + ETH0.mac)
        assert address.packed in effect.frame

    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(question(IPv4Address("192.0.2.11")), id="ARP for another address"),
            pytest.param(question(IPv6Address("2001:db8::11")), id="NDP for another address"),
            pytest.param(question(IPv6Address("2001:db8:1::10")), id="NDP for another with the same last bits"),
            pytest.param(question(V4, destination=ETH1.mac), id="ARP to another's MAC"),
            pytest.param(question(V6, destination=ETH1.mac), id="NDP to another's MAC"),
            pytest.param(question(V4, asker=ETH0.mac), id="ARP from ourselves"),
            pytest.param(question(V6, asker=ETH1.mac), id="NDP from our other interface"),
            pytest.param(arp_request(V4, operation=2), id="an ARP reply"),
            pytest.param(ALL_NODES_MAC + ASKER + b"\x08\x00" + bytes(60), id="an IPv4 packet"),
        ],
    )
    def test_anything_else_meets_silence(self, frame: bytes) -> None:
        node = Node(ETH0, ETH1)
        node.announce(BOTH)
        assert node.hear(ETH0, frame) == []

    def test_a_question_on_an_unknown_interface_meets_silence(self) -> None:
        node = Node(ETH0)
        node.announce(BOTH)
        assert node.hear(replace(ETH0, index=99), question(V4)) == []

    def test_replies_and_announcements_are_counted_by_address_and_interface(self) -> None:
        node = Node(ETH0, ETH1)
        node.announce(BOTH)
        node.pass_time(60)
        node.hear(ETH1, question(V6))
        counted = {
            (one.interface_index, one.address): (one.replies, one.announcements) for one in node.responder.holdings()
        }
        assert counted == {
            (2, V4): (0, ROUNDS),
            (2, V6): (0, ROUNDS),
            (3, V4): (0, ROUNDS),
            (3, V6): (1, ROUNDS),
        }
        node.announce({})
        assert list(node.responder.holdings()) == []


class TestSteps:
    """What the takeover machine has decided becomes frames."""

    @pytest.mark.parametrize("address", [V4, V6])
    def test_what_is_only_wished_is_heard_but_neither_answered_nor_announced(self, address: Address) -> None:
        node = Node(ETH0)
        assert node.perform(node.responder.set_wishes({address: EVERYWHERE}, [], START)) == []
        assert node.heard_on(ETH0) == {address.packed}
        assert node.groups_on(ETH0) == ({solicited_node_group(address)} if isinstance(address, IPv6Address) else set())
        assert node.hear(ETH0, question(address)) == []
        assert node.responder.address_heard(ETH0.index, question(address), address.packed) == address
        assert node.pass_time(60) == []

    @pytest.mark.parametrize("address", [V4, V6])
    def test_asking_is_sending_a_probe_where_the_step_says(self, address: Address) -> None:
        node = Node(ETH0, ETH1)
        probe = frames_for(TEMPLATES, ETH1.mac, address).probe()
        assert node.do(Ask(ETH1.index, address), Ask(99, address)) == [SendFrame(ETH1.index, probe)]

    def test_it_listens_before_it_asks(self) -> None:
        node = Node(ETH0)
        effects = node.responder.set_wishes({V4: EVERYWHERE}, [Ask(ETH0.index, V4)], START)
        assert [type(effect) for effect in effects] == [Listen, SendFrame]

    def test_announcing_once_more_changes_nothing_about_the_schedule(self) -> None:
        node = Node(ETH0, ETH1)
        node.announce({V4: EVERYWHERE})
        node.pass_time(1)
        assert node.do(Announce(V4)) == [*gratuitous(ETH0, V4), *gratuitous(ETH1, V4)]
        assert len(node.pass_time(60)) == len(gratuitous(ETH0, V4)) * 2 * (ROUNDS - 3)

    def test_what_is_handed_over_is_answered_but_never_announced(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        node.do(StopAnnouncing(V4))
        assert node.hear(ETH0, question(V4)) != []
        assert node.pass_time(60) == node.use(ETH0, ETH1) == node.perform(node.responder.announce_again(START)) == []
        assert node.do(Announce(V4)) == [*gratuitous(ETH0, V4), *gratuitous(ETH1, V4)]
        assert len(node.pass_time(60)) == len(gratuitous(ETH0, V4)) * 2 * (ROUNDS - 1)
        assert node.hear(ETH1, question(V4)) != []

    def test_what_ended_as_its_interface_went_is_not_announced_on_another(self) -> None:
        node = Node(ETH0)
        node.announce({V4: EVERYWHERE})
        assert node.perform(node.responder.interfaces_changed({3: ETH1}, [Ended(V4)], START)) == []
        assert node.hear(ETH1, question(V4)) == []
