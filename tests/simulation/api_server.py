"""The API server of the simulation: a Lease and a SpeakerStatus of each node, and what users ask of each address.

Everybody is told of everything, in the order in which it was written, a little later. A node from which the server is
away neither writes nor hears; when the server is back it lists everything, as a broken watch does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from baremetal_lb.addresses import Address
from baremetal_lb.cluster.lease import LeaseView
from tests.simulation.timeline import Timeline

WATCH_SECONDS = (0.001, 0.02)
WRITE_SECONDS = (0.001, 0.02)
RELIST_SECONDS = (0.05, 1.0)
"""Until a node has noticed that the server is back, and listed everything."""


@dataclass(frozen=True)
class Statement:
    """What a node says of itself: the terms of what it holds, and whether it has a link."""

    claims: Mapping[Address, int]
    is_linked: bool


@dataclass(frozen=True, eq=False)
class Asked:
    """What users say of an address: the nodes that may hold it, and how much each is preferred. Equal if the same."""

    scores: Mapping[str, int]
    preempt_after: float | None = None


@dataclass(eq=False)
class Reader:
    """What a node does with what it is told: at first and after an outage everything, else what is new.

    `lost` is called when its watches break off.
    """

    listed: Callable[["ApiServer"], None]
    lease: Callable[[LeaseView], None]
    statement: Callable[[str, Statement], None]
    asked: Callable[[Address, Asked | None], None]
    lost: Callable[[], None]
    is_listed: bool = False
    told_until: float = 0.0
    """What is written later is told later."""


@dataclass
class ApiServer:
    timeline: Timeline
    random: Random
    away: set[str] = field(default_factory=set)
    """The nodes that don't reach it."""
    leases: dict[str, LeaseView] = field(default_factory=dict)
    statements: dict[str, Statement] = field(default_factory=dict)
    asked: dict[Address, Asked] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    away_since: dict[str, int] = field(default_factory=dict)
    """How often it went away from a node: what was under way then does not arrive."""

    def watch(self, node: str, reader: Reader) -> None:
        """Tell a node everything there is, and then whatever is new. A node's next run takes the place of its last."""
        self.readers[node] = reader
        if node not in self.away:
            self.timeline.after(self.random.uniform(*RELIST_SECONDS), lambda: self._list(node, reader))

    def leave(self, node: str) -> None:
        """Forget a node's watches: its process is dead."""
        self.readers.pop(node, None)

    def go_away(self, *nodes: str) -> None:
        for node in nodes:
            if node not in self.away:
                self.away.add(node)
                self.away_since[node] = self.away_since.get(node, 0) + 1
                if node in self.readers:
                    self.readers[node].is_listed = False
                    self.readers[node].lost()

    def come_back(self, *nodes: str) -> None:
        for node in nodes:
            if node in self.away:
                self.away.discard(node)
                if node in self.readers:
                    self.watch(node, self.readers[node])

    def write_lease(self, lease: LeaseView) -> None:
        def write() -> None:
            if lease.node not in self.away:
                self.leases[lease.node] = lease
                self._tell(lambda reader: reader.lease(lease))

        self._soon(write)

    def write_statement(self, node: str, statement: Statement, done: Callable[[bool], None]) -> None:
        """Write what a node says; `done` is called with whether that came about."""

        def write() -> None:
            if node not in self.away:
                self.statements[node] = statement
                self._tell(lambda reader: reader.statement(node, statement))
            done(node not in self.away)

        self._soon(write)

    def ask(self, address: Address, asked: Asked | None) -> None:
        """Say as a user who may hold an address; None where nobody needs it any more."""
        if asked is None:
            self.asked.pop(address, None)
        else:
            self.asked[address] = asked
        self._tell(lambda reader: reader.asked(address, asked))

    def ask_all(self, asked: Mapping[Address, Asked]) -> None:
        """Say it of many addresses; a node hears of them one after the other, but all at once."""
        self.asked.update(asked)

        def tell(reader: Reader) -> None:
            for address, one in asked.items():
                reader.asked(address, one)

        self._tell(tell)

    def _soon(self, write: Callable[[], None]) -> None:
        self.timeline.after(self.random.uniform(*WRITE_SECONDS), write)

    def _tell(self, tell: Callable[[Reader], None]) -> None:
        for node, reader in self.readers.items():
            if reader.is_listed:
                self._tell_one(node, reader, tell)

    def _tell_one(self, node: str, reader: Reader, tell: Callable[[Reader], None]) -> None:
        run = self.away_since.get(node, 0)

        def arrive() -> None:
            if self.readers.get(node) is reader and self.away_since.get(node, 0) == run:
                tell(reader)

        reader.told_until = max(reader.told_until, self.timeline.now + self.random.uniform(*WATCH_SECONDS))
        self.timeline.at(reader.told_until, arrive)

    def _list(self, node: str, reader: Reader) -> None:
        if node not in self.away and self.readers.get(node) is reader:
            reader.is_listed = True
            reader.listed(self)
