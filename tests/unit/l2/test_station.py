"""Takeover machine and responder together: whole frames between stations on a cable, for both families."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

import pytest

from baremetal_lb.addresses import Address, family_of
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import BROADCAST, Malformed, NdpFrames, Question, frames_for, parse_heard
from baremetal_lb.l2.responder import Effect, ListenForPings, Responder, SendFrame
from baremetal_lb.l2.segment import Began, Ended, ForeignHost, HeldBy, SegmentEvent, Stance, Wish
from baremetal_lb.l2.station import FrameCounts, Station
from baremetal_lb.l2.templates import build_templates
from baremetal_lb.lab.questions import Asker, question_for

TEMPLATES = build_templates()
FOREIGN = bytes.fromhex("02005e0053ee")
CLIENT = bytes.fromhex("02005e0053cc")
V4, V6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
HOLD = Wish()

both_families = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


class Node:
    """A station, its interface and its place on the cable."""

    def __init__(self, cable: "Cable", name: str, last: int) -> None:
        self.name = name
        self.interface = Interface(2, "eth0", bytes([2, 0, 0x5E, 0, 0x53, last]))
        self.better: set[str] = set()
        self.counts = FrameCounts()
        self.station = Station(Responder(TEMPLATES), lambda _, node: node in self.better, self.counts)
        self.events: list[SegmentEvent] = []
        self._cable = cable
        self.take(self.station.interfaces_changed({2: self.interface}, cable.now))

    def want(self, wishes: Mapping[Address, Wish]) -> None:
        self.take(self.station.set_wishes(wishes, self._cable.now))

    def hear(self, frame: bytes) -> list[bytes]:
        """Take a frame in; answer what is sent upon that."""
        return self.take(self.station.frame_received(2, frame, self._cable.now))

    def take(self, effects: Iterable[Effect | SegmentEvent]) -> list[bytes]:
        sent = []
        for effect in effects:
            if isinstance(effect, SegmentEvent):
                self.events.append(effect)
            elif isinstance(effect, SendFrame):
                sent.append(effect.frame)
        self.station.check_invariants()
        self._cable.carry(self, sent)
        return sent

    def holds(self) -> set[Address]:
        return {holding.address for holding in self.station.holdings()}


class Cable:
    """Everybody hears everything at once."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.nodes: list[Node] = []
        self.frames: list[tuple[str, bytes]] = []

    def node(self, name: str, last: int) -> Node:
        self.nodes.append(Node(self, name, last))
        for node in self.nodes:
            others = {one.interface.mac: one.name for one in self.nodes if one is not node}
            node.take(node.station.set_speakers(others, self.now))
        return self.nodes[-1]

    def carry(self, sender: Node, frames: list[bytes]) -> None:
        for frame in frames:
            self.frames.append((sender.name, frame))
            for node in self.nodes:
                if node is not sender:
                    node.hear(frame)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            deadlines = [(at, node) for node in self.nodes if (at := node.station.next_deadline()) is not None]
            at, node = min(deadlines, key=lambda pair: pair[0], default=(end + 1, None))
            if node is None or at > end:
                break
            self.now = max(self.now, at)
            node.take(node.station.tick(self.now))
        self.now = end


@pytest.fixture
def cable() -> Cable:
    return Cable()


@pytest.fixture
def alpha(cable: Cable) -> Node:
    return cable.node("alpha", 1)


@pytest.fixture
def beta(cable: Cable) -> Node:
    return cable.node("beta", 2)


@both_families
def test_a_probe_comes_first_and_claims_nothing(cable: Cable, alpha: Node, address: Address) -> None:
    alpha.want({address: HOLD})
    [(_, probe)] = cable.frames
    assert parse_heard(probe) == Question(address.packed, alpha.interface.mac, bytes(len(address.packed)))
    assert alpha.holds() == set()
    cable.pass_time(0.061)
    assert alpha.events == [Began(address)]
    assert alpha.counts.probes == 2


@both_families
def test_who_wants_what_another_holds_hears_so(cable: Cable, alpha: Node, beta: Node, address: Address) -> None:
    alpha.want({address: HOLD})
    cable.pass_time(5)
    beta.want({address: HOLD})
    cable.pass_time(5)
    assert (alpha.events, beta.events) == ([Began(address)], [HeldBy(address, "alpha")])
    assert beta.counts.deferrals == 1
    alpha.want({})
    cable.pass_time(1.1)
    assert beta.holds() == {address}


@both_families
def test_an_address_is_handed_over_without_a_gap(cable: Cable, alpha: Node, beta: Node, address: Address) -> None:
    alpha.want({address: HOLD})
    cable.pass_time(1)
    alpha.want({address: Wish(stance=Stance.HAND_OVER)})
    cable.frames.clear()
    cable.pass_time(60)
    assert (alpha.holds(), cable.frames) == ({address}, [])
    beta.want({address: Wish(replacing=frozenset({"alpha"}))})
    assert alpha.events[-2:] == [Ended(address), HeldBy(address, "beta")]
    assert beta.holds() == {address}


@both_families
def test_of_two_holders_the_better_one_stays(cable: Cable, alpha: Node, beta: Node, address: Address) -> None:
    alpha.better = {"beta"}
    alpha.want({address: HOLD})
    cable.pass_time(5)
    cable.nodes.remove(alpha)
    beta.want({address: HOLD})
    cable.pass_time(0.07)
    cable.nodes.append(alpha)
    cable.pass_time(0.1)
    assert (alpha.holds(), beta.holds()) == (set(), {address})


def claims(address: Address, mac: bytes) -> list[bytes]:
    """Everything with which a foreign host may say that it has an address."""
    frames = frames_for(TEMPLATES, mac, address)
    asker = bytes.fromhex("02005e005301")
    question = Question(
        address.packed, asker, bytes([192, 0, 2, 99]) if address.version == 4 else V6.packed[:15] + b"c"
    )
    said = [*frames.gratuitous(), frames.answer(question)]
    if isinstance(frames, NdpFrames):
        return said
    other = IPv4Address("192.0.2.77").packed
    return [
        *said,
        BROADCAST + mac + bytes.fromhex("0806 0001 0800 06 04 0001") + mac + address.packed + bytes(6) + other,
    ]


@both_families
@pytest.mark.parametrize("policy", ConflictPolicy)
def test_a_foreign_host_is_met_as_the_policy_says(
    cable: Cable, alpha: Node, address: Address, policy: ConflictPolicy
) -> None:
    """However it claims the address; asking for another in its name is a claim, too (RFC 5227, 2.4)."""
    for claim in claims(address, FOREIGN):
        alpha.want({address: Wish(on_conflict=policy)})
        cable.pass_time(40)
        alpha.events.clear()
        sent = alpha.hear(claim)
        stranger = ForeignHost(address, FOREIGN, "eth0")
        if policy is ConflictPolicy.DEFEND:
            assert sent == list(frames_for(TEMPLATES, alpha.interface.mac, address).gratuitous())
            assert alpha.events == [stranger]
        else:
            assert (sent, alpha.events) == ([], [Ended(address), stranger])
        alpha.want({})
    assert alpha.counts.conflicts == len(claims(address, FOREIGN))


@both_families
def test_a_claim_to_another_mac_or_interface_is_none_of_ours(alpha: Node, address: Address) -> None:
    alpha.want({address: HOLD})
    for claim in claims(address, FOREIGN):
        if claim[0] & 1:
            assert alpha.station.frame_received(3, claim, 1_000.0) == []
        else:
            assert alpha.hear(FOREIGN + claim[6:]) == []
    assert alpha.events == []


@both_families
def test_a_client_that_asks_is_answered_and_changes_nothing(cable: Cable, alpha: Node, address: Address) -> None:
    alpha.want({address: HOLD})
    cable.pass_time(40)
    asking = frames_for(TEMPLATES, FOREIGN, address).probe()
    assert len(alpha.hear(asking)) == 1
    assert alpha.events == [Began(address)]


@both_families
def test_who_asks_while_nobody_answers_is_told_in_person_by_who_begins(
    cable: Cable, alpha: Node, address: Address
) -> None:
    alpha.want({address: Wish(begin_at=cable.now + 0.3)})
    own = IPv4Address("192.0.2.99") if address.version == 4 else IPv6Address("2001:db8::99")
    assert alpha.hear(question_for(Asker(CLIENT, own), address)) == []
    cable.pass_time(0.2)
    assert cable.frames == []
    cable.pass_time(0.2)
    told = [frame for _, frame in cable.frames if frame.startswith(CLIENT)]
    assert [parse_heard(frame).target for frame in told] == [address.packed]  # type: ignore[union-attr]  # ours are read
    cable.pass_time(60)
    assert len([frame for _, frame in cable.frames if frame.startswith(CLIENT)]) == 1


@both_families
def test_pings_are_heard_while_the_address_is_held(cable: Cable, alpha: Node, address: Address) -> None:
    heard: list[ListenForPings] = []

    def note(effects: Iterable[Effect | SegmentEvent]) -> None:
        heard.extend(effect for effect in effects if isinstance(effect, ListenForPings))

    note(alpha.station.set_wishes({address: Wish(answers_ping=True)}, cable.now))
    assert heard == []
    for at in (0.03, 0.06):
        note(alpha.station.tick(cable.now + at))
    targets = frozenset({address.packed})
    assert heard == [ListenForPings(2, family_of(address), targets)]
    note(alpha.station.set_wishes({}, cable.now + 1))
    assert heard[1:] == [ListenForPings(2, family_of(address), frozenset())]


def test_malformed_frames_are_counted(alpha: Node) -> None:
    assert alpha.hear(BROADCAST + FOREIGN + b"\x08\x06" + bytes(10)) == []
    assert alpha.counts.malformed == {Malformed.TRUNCATED: 1}


def test_a_thousand_addresses_begin_within_a_second_and_storm_nobody(cable: Cable, alpha: Node) -> None:
    alpha.want({IPv4Address("198.51.100.0") + number: HOLD for number in range(1000)})
    cable.pass_time(1)
    assert len(alpha.holds()) == 1000
    probes = sum(isinstance(parse_heard(frame), Question) for _, frame in cable.frames)
    assert probes == 2000
