"""The machine that answers for addresses on the segments of this node, without any I/O.

Two inputs say what should be: the announcements that the speaker wants, and the interfaces that the kernel has.
Their product is the set of holdings, one for each address on each interface that its announcement covers. After
every change of an input the machine compares the product with the holdings it has and returns effects for the
difference: what to listen to, which multicast groups to be in, and the first announcements. So it makes no
difference whether an address or its interface came first. An interface whose MAC, name or line has changed is a
new one: all that is held there is announced again, with the new MAC.

Frames change nothing here. A question for a holding is answered; for anything else there is silence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from baremetal_lb.addresses import Address, Family
from baremetal_lb.l2.gratuitous import GratuitousSchedule, Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.packets import frames_for, is_heard_by, parse_question, solicited_node_group
from baremetal_lb.l2.templates import Templates

_SIZES = {Family.IPV4: 4, Family.IPV6: 16}


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where to announce an address: on the named interfaces, or on every suitable one if none is named."""

    interfaces: frozenset[str] = frozenset()

    def covers(self, interface: Interface) -> bool:
        """Whether to announce on this interface."""
        return interface.name in self.interfaces if self.interfaces else not interface.only_by_name


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a whole Ethernet frame."""

    interface_index: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Listen:
    """Hear the questions for exactly these packed addresses of one family; for none, stop listening."""

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


Effect = SendFrame | Listen | JoinGroup | LeaveGroup


@dataclass(slots=True)
class _Port:
    """An interface and what we hold there, by packed address."""

    interface: Interface
    holdings: dict[bytes, Holding] = field(default_factory=dict)


class Responder:
    """Answers and announcements for a changing set of addresses on a changing set of interfaces."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._desired: dict[Address, Announcement] = {}
        self._ports: dict[int, _Port] = {}
        self._own_macs: frozenset[bytes] = frozenset()
        self._schedule = GratuitousSchedule()

    def set_desired(self, desired: Mapping[Address, Announcement], now: float) -> list[Effect]:
        """Announce these addresses and no others."""
        self._desired = dict(desired)
        return self._converge([port.interface for port in self._ports.values()], now)

    def interfaces_changed(self, interfaces: Mapping[int, Interface], now: float) -> list[Effect]:
        """Use these interfaces, by index, and no others."""
        return self._converge(list(interfaces.values()), now)

    def announce_again(self, now: float) -> list[Effect]:
        """Announce all holdings as if they were new: another node may have announced them meanwhile."""
        for holding in self.holdings():
            self._schedule.add(holding, now)
        return list(self._announce(now))

    def frame_received(self, interface_index: int, frame: bytes) -> list[Effect]:
        """Answer a question; raise MalformedPacket. No clock: time changes nothing about an answer."""
        question = parse_question(frame)
        port = self._ports.get(interface_index)
        if question is None or port is None:
            return []
        holding = port.holdings.get(question.target)
        if holding is None or not is_heard_by(port.interface.mac, frame):
            return []
        if question.sender_mac in self._own_macs:
            return []
        holding.replies += 1
        return [SendFrame(interface_index, holding.frames.answer(question))]

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
        """Fail where the holdings are not the product of what is desired and the interfaces."""
        for index, port in self._ports.items():
            covered = {one.packed: one for one, wish in self._desired.items() if wish.covers(port.interface)}
            assert port.interface.index == index
            assert port.interface.mac in self._own_macs
            assert {target: holding.address for target, holding in port.holdings.items()} == covered
            for holding in port.holdings.values():
                assert holding.interface_index == index
                assert all(frame[6:12] == port.interface.mac for frame in holding.frames.gratuitous())

    def _converge(self, interfaces: list[Interface], now: float) -> list[Effect]:
        before, self._ports = self._ports, {}
        self._own_macs = frozenset(interface.mac for interface in interfaces)
        for interface in interfaces:
            self._ports[interface.index] = self._port_on(interface, before.get(interface.index), now)
        effects: list[Effect] = []
        for index in sorted(before.keys() | self._ports.keys()):
            old, new = before.get(index), self._ports.get(index)
            _release(old, new)
            effects += _differences(index, old, new)
        return [*effects, *self._announce(now)]

    def _port_on(self, interface: Interface, old: _Port | None, now: float) -> _Port:
        """Set up what we hold there, with the holdings that can stay as they are."""
        kept = old.holdings if old is not None and old.interface == interface else {}
        port = _Port(interface)
        for address, announcement in self._desired.items():
            if announcement.covers(interface):
                held = kept.get(address.packed)
                port.holdings[address.packed] = held or self._hold(address, interface, now)
        return port

    def _hold(self, address: Address, interface: Interface, now: float) -> Holding:
        frames = frames_for(self._templates, interface.mac, address)
        group = solicited_node_group(address) if isinstance(address, IPv6Address) else None
        holding = Holding(interface.index, address, frames, group)
        self._schedule.add(holding, now)
        return holding

    def _announce(self, now: float) -> Iterator[Effect]:
        for holding in self._schedule.take_due(now):
            holding.announcements += 1
            for frame in holding.frames.gratuitous():
                yield SendFrame(holding.interface_index, frame)


def _release(old: _Port | None, new: _Port | None) -> None:
    """Mark the holdings that are no more, so that they are not announced again."""
    staying = new.holdings if new is not None else {}
    for target, holding in (old.holdings if old is not None else {}).items():
        if staying.get(target) is not holding:
            holding.announce_at = None


def _differences(index: int, old: _Port | None, new: _Port | None) -> Iterator[Effect]:
    for family in Family:
        targets = _targets(new, family)
        if targets != _targets(old, family):
            yield Listen(index, family, targets)
    joined, wanted = _groups(old), _groups(new)
    yield from (LeaveGroup(index, group) for group in sorted(joined - wanted))
    yield from (JoinGroup(index, group) for group in sorted(wanted - joined))


def _targets(port: _Port | None, family: Family) -> frozenset[bytes]:
    """The packed addresses of one family that we hold there."""
    held = port.holdings if port is not None else {}
    return frozenset(target for target in held if len(target) == _SIZES[family])


def _groups(port: _Port | None) -> frozenset[IPv6Address]:
    """The multicast groups in which the questions for our addresses arrive there."""
    held = port.holdings if port is not None else {}
    return frozenset(holding.group for holding in held.values() if holding.group is not None)
