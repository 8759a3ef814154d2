"""What this node says and listens to on its segments, without any I/O.

Three inputs say what should be: the addresses that are wished, those of them that are held, and the interfaces that
the kernel has. What is wished is listened for on each interface that its wish covers; what is held, too, is answered
for there, and announced. After every change of an input the machine compares that product with the one it has and
returns effects for the difference. So it makes no difference whether an address or its interface came first. An
interface whose MAC, name or line has changed is a new one: all that is held there is announced again, with the new MAC.

A question for a holding is answered; for anything else there is silence. Who asks is remembered for one purpose only:
a holding that is new, or new on this MAC, is announced to the last few of them in person.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.askers import Askers
from baremetal_lb.l2.gratuitous import GratuitousSchedule, Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import Question, frames_for, is_heard_by, solicited_node_group
from baremetal_lb.l2.segment import Announce, Ask, Began, Ended, StopAnnouncing, TakeoverEffect, Wish
from baremetal_lb.l2.templates import Templates

_SIZES = {Family.IPV4: 4, Family.IPV6: 16}


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a whole Ethernet frame."""

    interface_index: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Listen:
    """Hear what is asked and claimed of exactly these packed addresses of one family; for none, stop listening."""

    interface_index: int
    family: Family
    targets: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ListenForPings:
    """Hear the pings of exactly these packed addresses of one family; for none, stop listening."""

    interface_index: int
    family: Family
    targets: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """Let the interface receive what is sent to this multicast group."""

    interface_index: int
    group: IPv6Address


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """Undo a JoinGroup."""

    interface_index: int
    group: IPv6Address


Effect = SendFrame | Listen | ListenForPings | JoinGroup | LeaveGroup


@dataclass(slots=True)
class _Port:
    """An interface, what is wished there and what we hold there, by packed address.

    In the groups arrive the questions for IPv6 addresses.
    """

    interface: Interface
    addresses: dict[bytes, Address]
    groups: frozenset[IPv6Address]
    holdings: dict[bytes, Holding] = field(default_factory=dict)
    askers: Askers = field(default_factory=Askers)


class Responder:
    """Answers and announcements for a changing set of addresses on a changing set of interfaces.

    What is held it learns from the effects of the takeover machine (`steps`), together with what they go with.
    """

    def __init__(self, templates: Templates, *, refresh_seconds: float = 0.0) -> None:
        self._templates = templates
        self._wished: dict[frozenset[str], dict[bytes, Address]] = {}
        """The packed addresses by the names of interfaces in their wishes; few wishes differ in that."""
        self._held: dict[Address, bool] = {}
        """Those that are answered for, and whether they are announced, too."""
        self._groups: dict[bytes, IPv6Address] = {}
        self._ports: dict[int, _Port] = {}
        self._used_ports: list[_Port] = []
        """Those where anything is wished: a node may have hundreds of others, of its pods."""
        self._own_macs: frozenset[bytes] = frozenset()
        self._schedule = GratuitousSchedule(refresh_seconds)

    def set_wishes(self, wishes: Mapping[Address, Wish], steps: Iterable[TakeoverEffect], now: float) -> list[Effect]:
        """Listen for these addresses and no others."""
        wished: dict[frozenset[str], dict[bytes, Address]] = {}
        for address, wish in wishes.items():
            wished.setdefault(wish.interfaces, {})[address.packed] = address
        if wished == self._wished:
            return self.do(steps, now)
        self._wished = wished
        self._groups = {
            address.packed: self._groups.get(address.packed) or solicited_node_group(address)
            for address in wishes
            if isinstance(address, IPv6Address)
        }
        return self._converge([port.interface for port in self._ports.values()], steps, now)

    def interfaces_changed(
        self, interfaces: Mapping[int, Interface], steps: Iterable[TakeoverEffect], now: float
    ) -> list[Effect]:
        """Use these interfaces, by index, and no others."""
        return self._converge(list(interfaces.values()), steps, now)

    def do(self, steps: Iterable[TakeoverEffect], now: float) -> list[Effect]:
        """Hold what was begun, let go what was ended, send what is to be sent."""
        for step in steps:
            self._take_in(step, now)
        return list(self._send(steps, now))

    def announce_again(self, now: float) -> list[Effect]:
        """Announce all that is announced as if it were new: another node may have announced it meanwhile."""
        for holding in self.holdings():
            if self._held[holding.address]:
                self._schedule.add(holding, now)
        return list(self._announce(now))

    def address_heard(self, interface_index: int, frame: bytes, packed: bytes) -> Address | None:
        """Tell which wished address a frame speaks of that arrived here, if any."""
        port = self._ports.get(interface_index)
        if port is None or not is_heard_by(port.interface.mac, frame):
            return None
        return port.addresses.get(packed)

    def mac_on(self, interface_index: int) -> bytes | None:
        """Tell with which MAC we speak there; None if it is not used."""
        port = self._ports.get(interface_index)
        return port.interface.mac if port is not None else None

    def answer(self, interface_index: int, frame: bytes, question: Question) -> SendFrame | None:
        """Answer a question. No clock: time changes nothing about an answer."""
        port = self._ports.get(interface_index)
        if port is None or question.target not in port.addresses or not is_heard_by(port.interface.mac, frame):
            return None
        if question.sender_mac in self._own_macs:
            return None
        port.askers.note(question)
        holding = port.holdings.get(question.target)
        if holding is None:
            return None
        holding.replies += 1
        return SendFrame(interface_index, holding.frames.answer(question))

    def tick(self, now: float) -> list[Effect]:
        """Send the announcements that are due."""
        return list(self._announce(now))

    def next_deadline(self) -> float | None:
        """When `tick` is to be called."""
        return self._schedule.next_deadline()

    def holdings(self) -> Iterator[Holding]:
        """Every address on every interface, with what was sent for it. Read only."""
        for port in self._ports.values():
            yield from port.holdings.values()

    def check_invariants(self) -> None:
        """Fail where the holdings are not the product of what is wished, what is held, and the interfaces."""
        for index, port in self._ports.items():
            assert port.interface.index == index
            assert port.interface.mac in self._own_macs
            assert port.addresses == self._addresses_on(port.interface)
            held = {target: address for target, address in port.addresses.items() if address in self._held}
            assert {target: holding.address for target, holding in port.holdings.items()} == held
            for holding in port.holdings.values():
                assert holding.interface_index == index
                assert all(frame[6:12] == port.interface.mac for frame in holding.frames.gratuitous())

    def _addresses_on(self, interface: Interface) -> dict[bytes, Address]:
        addresses: dict[bytes, Address] = {}
        for names, wished in self._wished.items():
            if interface.is_meant_by(names):
                addresses |= wished
        return addresses

    def _converge(self, interfaces: list[Interface], steps: Iterable[TakeoverEffect], now: float) -> list[Effect]:
        for step in steps:
            self._take_in(step, now)
        before, self._ports = self._ports, {}
        self._own_macs = frozenset(interface.mac for interface in interfaces)
        for interface in interfaces:
            self._ports[interface.index] = self._port_on(interface, before.get(interface.index), now)
        self._used_ports = [port for port in self._ports.values() if port.addresses]
        effects: list[Effect] = []
        for index in sorted(before.keys() | self._ports.keys()):
            old, new = before.get(index), self._ports.get(index)
            _release(old, new)
            effects += _differences(index, old, new)
        return [*effects, *self._send(steps, now)]

    def _port_on(self, interface: Interface, old: _Port | None, now: float) -> _Port:
        """Set up what we hold there, with the holdings that can stay as they are."""
        kept = old.holdings if old is not None and old.interface.looks_the_same_as(interface) else {}
        addresses = self._addresses_on(interface)
        port = _Port(interface, addresses, frozenset(self._groups[one] for one in addresses if one in self._groups))
        if old is not None:
            port.askers = old.askers
            port.askers.forget_all_but(port.addresses)
        for packed, address in addresses.items():
            if address in self._held:
                port.holdings[packed] = kept.get(packed) or self._hold(address, interface, now)
        return port

    def _take_in(self, step: TakeoverEffect, now: float) -> None:
        """Change what is held, and let the schedule know."""
        match step:
            case Began(address):
                self._held[address] = True
                for port in self._used_ports:
                    if address.packed in port.addresses:
                        port.holdings[address.packed] = self._hold(address, port.interface, now)
            case Ended(address):
                del self._held[address]
                for port, holding in list(self._holdings_of(address)):
                    holding.stop_announcing()
                    del port.holdings[address.packed]
            case Announce(address):
                self._announce_anew(address, now)
            case StopAnnouncing(address):
                self._held[address] = False
                for _, holding in self._holdings_of(address):
                    holding.stop_announcing()

    def _announce_anew(self, address: Address, now: float) -> None:
        """Announce it once; as often as what is new where we had stopped: another may have announced it since."""
        was_announced, self._held[address] = self._held[address], True
        for _, holding in self._holdings_of(address):
            if was_announced:
                self._schedule.add_once(holding)
            else:
                self._schedule.add(holding, now)

    def _holdings_of(self, address: Address) -> Iterator[tuple[_Port, Holding]]:
        for port in self._used_ports:
            if (holding := port.holdings.get(address.packed)) is not None:
                yield port, holding

    def _hold(self, address: Address, interface: Interface, now: float) -> Holding:
        frames = frames_for(self._templates, interface.mac, address)
        holding = Holding(interface.index, address, frames)
        if self._held[address]:
            self._schedule.add(holding, now)
        return holding

    def _send(self, steps: Iterable[TakeoverEffect], now: float) -> Iterator[Effect]:
        for step in steps:
            if isinstance(step, Ask) and (port := self._ports.get(step.interface_index)) is not None:
                probe = frames_for(self._templates, port.interface.mac, step.address).probe()
                yield SendFrame(step.interface_index, probe)
        yield from self._announce(now)

    def _announce(self, now: float) -> Iterator[Effect]:
        for holding in self._schedule.take_due(now):
            if not holding.announcements:
                yield from self._tell_askers(holding)
            holding.announcements += 1
            for frame in holding.frames.gratuitous():
                yield SendFrame(holding.interface_index, frame)

    def _tell_askers(self, holding: Holding) -> Iterator[Effect]:
        askers = self._ports[holding.interface_index].askers
        for question in askers.questions_for(holding.address.packed):
            yield SendFrame(holding.interface_index, holding.frames.news(question))


def _release(old: _Port | None, new: _Port | None) -> None:
    """Mark the holdings that are no more, so that they are not announced again."""
    staying = new.holdings if new is not None else {}
    for target, holding in (old.holdings if old is not None else {}).items():
        if staying.get(target) is not holding:
            holding.stop_announcing()


def _differences(index: int, old: _Port | None, new: _Port | None) -> Iterator[Effect]:
    for family in Family:
        targets = _targets(new, family)
        if targets != _targets(old, family):
            yield Listen(index, family, targets)
    joined, wanted = (port.groups if port is not None else frozenset[IPv6Address]() for port in (old, new))
    yield from (LeaveGroup(index, group) for group in sorted(joined - wanted))
    yield from (JoinGroup(index, group) for group in sorted(wanted - joined))


def _targets(port: _Port | None, family: Family) -> frozenset[bytes]:
    """The packed addresses of one family that we listen for there."""
    wished = port.addresses if port is not None else {}
    return frozenset(target for target in wished if len(target) == _SIZES[family])
