"""What a client on the segment gets to see: who holds each address, since when nobody does, and which two do at once.

The client keeps whom it last heard announce an address, as hosts do, and sends there. It is *served* while that node
is up and in reach, since every node forwards, and while somebody answers for the address.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import combinations

from baremetal_lb.addresses import Address
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Wire

CLIENT = "client"


@dataclass(frozen=True)
class Move:
    """A node began to hold an address."""

    at: float
    address: Address
    node: str


@dataclass(frozen=True)
class Episode:
    """Something that should be short. Of two holders, `nodes` names them; of none it is empty."""

    address: Address
    nodes: tuple[str, ...]
    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


@dataclass
class Record:
    """All that happened.

    `up` are the nodes that are neither dead nor frozen, `running` those whose speakers aren't either. `look` when that
    changes.
    """

    timeline: Timeline
    wire: Wire
    up: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    holders: defaultdict[Address, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: set[Address] = field(default_factory=set)
    """What users need now."""
    moves: list[Move] = field(default_factory=list)
    gaps: list[Episode] = field(default_factory=list)
    overlaps: list[Episode] = field(default_factory=list)
    believed: dict[Address, str] = field(default_factory=dict)
    """Whom the client sends to."""
    _gap_since: dict[Address, float] = field(default_factory=dict)
    _overlap_since: defaultdict[Address, dict[tuple[str, ...], float]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def began(self, node: str, address: Address) -> None:
        self.holders[address].add(node)
        self.moves.append(Move(self.timeline.now, address, node))
        self._look(address)

    def ended(self, node: str, address: Address) -> None:
        self.holders[address].discard(node)
        self._look(address)

    def announced(self, node: str, address: Address) -> None:
        """Let the client hear an announcement."""

        def hear() -> None:
            self.believed[address] = node
            self._look(address)

        self.wire.send(node, CLIENT, hear)

    def need(self, address: Address, *, needed: bool) -> None:
        (self.asked.add if needed else self.asked.discard)(address)
        if not needed:
            self.believed.pop(address, None)
        self._look(address)

    def look(self) -> None:
        """Look at every address: a fault has struck, or was mended."""
        for address in self.asked | self.holders.keys():
            self._look(address)

    def disturb(self) -> None:
        """Count what is open from now on only: something has happened that explains it."""
        self._gap_since = dict.fromkeys(self._gap_since, self.timeline.now)
        for address, pairs in self._overlap_since.items():
            self._overlap_since[address] = dict.fromkeys(pairs, self.timeline.now)

    def forget(self) -> None:
        """Begin anew, with what is so now."""
        self.close()
        self.moves, self.gaps, self.overlaps = [], [], []
        self.look()

    def close(self) -> None:
        """Note what is still open as if it ended now."""
        for address in list(self._gap_since):
            self._end_gap(address)
        for address, pairs in self._overlap_since.items():
            for pair in list(pairs):
                self._end_overlap(address, pair)

    def is_served(self, address: Address) -> bool:
        believed = self.believed.get(address)
        is_answered = any(node in self.running and self._reaches(node) for node in self.holders[address])
        return is_answered and (believed is None or (believed in self.up and self._reaches(believed)))

    def moved(self, since: float) -> set[Address]:
        """Give the addresses that somebody began to hold since then."""
        return {one.address for one in self.moves if one.at >= since}

    def held_by(self, node: str) -> set[Address]:
        return {address for address, nodes in self.holders.items() if node in nodes}

    def longest_gap(self, addresses: Collection[Address] | None = None) -> float:
        return max((one.seconds for one in self.gaps if addresses is None or one.address in addresses), default=0.0)

    def longest_overlap(self) -> float:
        return max((one.seconds for one in self.overlaps), default=0.0)

    def _reaches(self, node: str) -> bool:
        return self.wire.hear_each_other(node, CLIENT)

    def _look(self, address: Address) -> None:
        if address in self.asked and not self.is_served(address):
            self._gap_since.setdefault(address, self.timeline.now)
        elif address in self._gap_since:
            self._end_gap(address)
        running = sorted(self.holders[address] & self.running)
        pairs = {pair for pair in combinations(running, 2) if self.wire.hear_each_other(*pair)}
        known = self._overlap_since[address]
        for pair in sorted(pairs - known.keys()):
            known[pair] = self.timeline.now
        for gone in sorted(known.keys() - pairs):
            self._end_overlap(address, gone)

    def _end_gap(self, address: Address) -> None:
        self.gaps.append(Episode(address, (), self._gap_since.pop(address), self.timeline.now))

    def _end_overlap(self, address: Address, pair: tuple[str, ...]) -> None:
        since = self._overlap_since[address].pop(pair)
        self.overlaps.append(Episode(address, pair, since, self.timeline.now))
