"""Who answers for addresses, again and again: from it follows how long two did, or nobody.

A host of the lab asks for all of the addresses every 20 ms. What it hears until it asks again is one `Look`; an answer
that takes longer counts for the next one.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, family_of
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.questions import Asker, claiming_mac, question_for

LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Look:
    """Who answered for which address between two moments of `time.monotonic`."""

    begun_at: float
    ended_at: float
    answered: Mapping[Address, frozenset[str]]

    def nodes(self, address: Address) -> frozenset[str]:
        """Name those who answered."""
        return self.answered.get(address, frozenset())


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which something was so in every look."""

    begun_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended_at - self.begun_at


@dataclass(slots=True)
class Sightings:
    """All looks so far, the oldest first."""

    looks: list[Look] = field(default_factory=list)

    def shared(self, address: Address) -> list[Period]:
        """Tell when more than one node answered for an address."""
        return self._periods(lambda look: len(look.nodes(address)) > 1)

    def unanswered(self, address: Address) -> list[Period]:
        """Tell when nobody did."""
        return self._periods(lambda look: not look.nodes(address))

    def longest_shared_seconds(self, addresses: Collection[Address]) -> float:
        """Tell for how long at most an address had two holders."""
        return _longest(period for address in addresses for period in self.shared(address))

    def longest_unanswered_seconds(self, addresses: Collection[Address]) -> float:
        """Tell for how long at most nobody answered for an address."""
        return _longest(period for address in addresses for period in self.unanswered(address))

    def holders(self, address: Address) -> list[str]:
        """Name the nodes in the order in which they were first heard, or were heard again after another."""
        heard = [node for look in list(self.looks) for node in sorted(look.nodes(address))]
        return [node for node, _ in itertools.groupby(heard)]

    def last(self, address: Address) -> frozenset[str]:
        """Name who answered in the latest look."""
        return self.looks[-1].nodes(address) if self.looks else frozenset()

    def _periods(self, is_so: Callable[[Look], bool]) -> list[Period]:
        runs = itertools.groupby(list(self.looks), key=is_so)
        found = [list(looks) for so, looks in runs if so]
        return [Period(looks[0].begun_at, looks[-1].ended_at) for looks in found]


def _longest(periods: Iterable[Period]) -> float:
    return max((period.seconds for period in periods), default=0.0)


@contextmanager
def watching(
    vantage: Vantage, addresses: Collection[Address], every_seconds: float = LOOK_SECONDS
) -> Iterator[Sightings]:
    """Look for as long as the block runs."""
    sightings, stop = Sightings(), threading.Event()
    with vantage.raw_socket() as wire:
        watch = _Watch(wire, vantage, addresses)
        thread = threading.Thread(target=lambda: watch.run(sightings, every_seconds, stop))
        thread.start()
        try:
            yield sightings
        finally:
            stop.set()
            thread.join()


class _Watch:
    def __init__(self, wire: socket.socket, vantage: Vantage, addresses: Collection[Address]) -> None:
        mac = bytes.fromhex(vantage.mac.replace(":", ""))
        askers = {address: Asker(mac, vantage.address(family_of(address))) for address in addresses}
        self._questions = [question_for(asker, address) for address, asker in askers.items()]
        self._addresses = {address.packed: address for address in addresses}
        self._wire, self._own_mac = wire, mac
        self._name = vantage.node_of

    def run(self, sightings: Sightings, every_seconds: float, stop: threading.Event) -> None:
        """Ask, hear, and note it, until told to stop."""
        while not stop.is_set():
            begun_at = time.monotonic()
            for question in self._questions:
                self._wire.send(question)
            answered: dict[Address, set[str]] = {}
            while (left := begun_at + every_seconds - time.monotonic()) > 0:
                self._hear(left, answered)
            looked = {address: frozenset(nodes) for address, nodes in answered.items()}
            sightings.looks.append(Look(begun_at, time.monotonic(), looked))

    def _hear(self, seconds: float, answered: dict[Address, set[str]]) -> None:
        """Note one answer to us; what is told to all is no answer."""
        self._wire.settimeout(seconds)
        try:
            frame = self._wire.recv(2048)
        except TimeoutError:
            return
        if not frame.startswith(self._own_mac):
            return
        address = self._addresses.get(frame[28:32]) or self._addresses.get(frame[62:78])
        if address is not None and (mac := claiming_mac(frame, address)) is not None:
            answered.setdefault(address, set()).add(self._name(mac))
