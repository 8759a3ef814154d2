"""A cluster in virtual time: nodes with the real machines, a segment, an API server, a client, and their misfortunes.

Whatever befalls a node is a method here. What came of it is in the `record`.
"""

from collections.abc import Collection, Iterable
from functools import partial
from ipaddress import ip_address
from random import Random

from baremetal_lb.addresses import Address
from tests.simulation.api_server import ApiServer, Asked
from tests.simulation.beating import BeatProcess
from tests.simulation.record import Record
from tests.simulation.segment import SegmentEnd
from tests.simulation.speaker import Nominations, Speaker
from tests.simulation.timeline import SkewedClock, Timeline
from tests.simulation.wire import Wire

MAX_OFFSET_SECONDS = 1_000_000.0
MAX_DRIFT = 0.001
"""Of a clock: a thousandth of a second in each second, ten times what one is allowed to have."""

SETTLE_SECONDS = 4.0
"""After a start, or after users ask for addresses: everything is seen, assigned, announced and published."""


class Node:
    """One machine. It runs, or is frozen, or dead; its speaker may be frozen or dead alone."""

    def __init__(self, world: "World", name: str, number: int) -> None:
        random = world.random
        offset = random.uniform(0.0, MAX_OFFSET_SECONDS)
        self.name = name
        self.mac = b"\x02\x00" + number.to_bytes(4)
        self.clock = SkewedClock(world.timeline, offset, 1.0 + random.uniform(-MAX_DRIFT, MAX_DRIFT))
        self.beats = BeatProcess(name, self.clock, world.wire, random, world.processes)
        self.end = SegmentEnd(name, self.mac, self.clock, world.wire, world.ends, world.record)
        self.speaker: Speaker | None = None
        self.runs = 0


class World:
    def __init__(self, names: Iterable[str], seed: int = 0, *, beating: frozenset[str] | None = None) -> None:
        self.random = Random(seed)
        self.timeline = Timeline()
        self.wire = Wire(self.timeline, self.random)
        self.api = ApiServer(self.timeline, self.random)
        self.record = Record(self.timeline, self.wire)
        self.nominations = Nominations()
        self.processes: dict[str, BeatProcess] = {}
        self.ends: dict[str, SegmentEnd] = {}
        self.nodes: dict[str, Node] = {}
        self.beating = beating
        """The nodes that beat; None for all."""
        names = list(names)
        self.everywhere = Asked(dict.fromkeys(names, 0))
        for number, name in enumerate(names, 1):
            node = self.nodes[name] = Node(self, name, number)
            self.processes[name], self.ends[name] = node.beats, node.end

    def run(self, seconds: float) -> None:
        self.timeline.run(self.timeline.now + seconds)

    def need(self, address: Address, asked: Asked | None = None) -> None:
        """Have users need an address, on any node unless they say otherwise."""
        self.api.ask(address, asked or self.everywhere)
        self.record.need(address, needed=True)

    def need_all(self, addresses: Iterable[Address]) -> None:
        """Have users need many addresses at once, on any node."""
        asked = dict.fromkeys(addresses, self.everywhere)
        self.api.ask_all(asked)
        for address in asked:
            self.record.need(address, needed=True)

    def need_no_more(self, address: Address) -> None:
        self.api.ask(address, None)
        self.record.need(address, needed=False)

    # What befalls a node.

    def boot(self, name: str) -> None:
        """Start a dead node, or its dead speaker."""
        node = self.nodes[name]
        node.runs += 1
        node.beats.start()
        node.end.start()
        node.speaker = Speaker(node, self)
        self.record.up.add(name)
        self.record.running.add(name)
        self.record.look()

    def crash(self, name: str) -> None:
        """Cut its power."""
        node = self.nodes[name]
        self.record.up.discard(name)
        node.beats.end()
        self._end_speaker(node)

    def kill(self, name: str) -> None:
        """Kill its speaker; the beat process has a last word."""
        node = self.nodes[name]
        node.beats.speaker_is_gone()
        self._end_speaker(node)

    def stop(self, name: str) -> None:
        """Ask its speaker to stop, as a rolling update does; it is gone when it has handed over."""
        node = self.nodes[name]
        if node.speaker is not None:
            node.speaker.stop(partial(self.kill, name))

    def freeze(self, name: str) -> None:
        """Stop everything on it, sockets fill."""
        self.nodes[name].beats.freeze()
        self.record.up.discard(name)
        self.freeze_speaker(name)

    def freeze_speaker(self, name: str) -> None:
        node = self.nodes[name]
        node.end.freeze()
        if node.speaker is not None:
            node.speaker.freeze()
        self.record.running.discard(name)
        self.record.look()

    def thaw(self, name: str) -> None:
        node = self.nodes[name]
        self.record.up.add(name)
        self.record.running.add(name)
        if not node.beats.is_running:
            node.beats.thaw()
        node.end.thaw()
        if node.speaker is not None:
            node.speaker.thaw()
        self.record.look()

    def unplug(self, name: str, *, noticed: bool = False) -> None:
        """Cut its cable; it notices where the near end is cut."""
        self.wire.unplugged.add(name)
        self._link_changed(name, noticed=noticed)

    def plug(self, name: str, *, noticed: bool = False) -> None:
        self.wire.unplugged.discard(name)
        self._link_changed(name, noticed=noticed)

    def part(self, one_side: Collection[str], other_side: Collection[str]) -> None:
        """Let nothing pass between two sides of the segment."""
        self.wire.part(one_side, other_side)
        self.record.look()

    def mend(self) -> None:
        """Let the segment carry everything again."""
        self.wire.mend()
        for name in self.nodes:
            self._link_changed(name, noticed=True)

    def _link_changed(self, name: str, *, noticed: bool) -> None:
        if noticed and name in self.record.running:
            node = self.nodes[name]
            node.end.link_changed()
            if node.speaker is not None:
                node.speaker.link_changed()
        self.record.look()

    def _end_speaker(self, node: Node) -> None:
        node.end.end()
        self.api.leave(node.name)
        if node.speaker is not None:
            node.speaker.end()
        node.speaker = None
        self.record.running.discard(node.name)
        self.record.look()


def cluster(size: int, addresses: int, seed: int = 0, asked: Asked | None = None) -> World:
    """A cluster that has settled: nodes `n1`, `n2` …, and addresses of both families in turn."""
    world = World([f"n{number}" for number in range(1, size + 1)], seed)
    for name in world.nodes:
        world.boot(name)
    world.run(SETTLE_SECONDS)
    for address in some_addresses(addresses):
        world.need(address, asked)
    world.run(SETTLE_SECONDS)
    world.record.forget()
    return world


def some_addresses(count: int) -> list[Address]:
    first = {4: int(ip_address("198.18.0.1")), 6: int(ip_address("2001:db8::1"))}
    return [ip_address(first[4 if number % 2 else 6] + number) for number in range(count)]
