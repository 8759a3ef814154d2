"""What one host of a lab sees of an address: pages, datagrams, neighbours, who answers for it.

Everything runs in this process on sockets of the host's namespace, so a look costs a millisecond and can be repeated
until something changes.
"""

import http.client
import itertools
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.questions import Asker, claiming_mac, question_for
from baremetal_lb.lab.topology import Topology
from baremetal_lb.lab.waiting import wait_for

REPLY_SECONDS = 1.0
ANSWER_SECONDS = 0.25
TRAFFIC_INTERVAL_SECONDS = 0.02
_ALL_PROTOCOLS = 0x0003
_KNOWN_STATES = {"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"}


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer."""

    status: int
    body: str

    @property
    def json(self) -> dict[str, Any]:
        """The body of an echo: who answered and what it saw."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class Vantage:
    """A host of a lab as a place to look from."""

    def __init__(self, paths: LabPaths, topology: Topology, name: str) -> None:
        self.host = topology.host(name)
        self.namespace = paths.namespace(name)
        self._nodes = {node.mac(node.segments[0]): node.name for node in topology.nodes}

    @property
    def mac(self) -> str:
        """The hardware address of its first interface."""
        return self.host.mac(self.host.segments[0])

    def node_of(self, mac: str) -> str:
        """Name the node that has a MAC; one that is no node's stays a MAC."""
        return self._nodes.get(mac, mac)

    def address(self, family: Family) -> Address:
        """Tell the host's own address."""
        return self.host.addresses[0 if family is Family.IPV4 else 1]

    def fetch(
        self,
        address: Address,
        port: int = 80,
        url: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = REPLY_SECONDS,
    ) -> Page:
        """Fetch a page over a new connection; raise OSError when there is no answer in time."""
        plain = inside(self.namespace, lambda: socket.create_connection((str(address), port), timeout=timeout))
        connection = http.client.HTTPConnection(str(address), port, timeout=timeout)
        connection.sock = plain
        try:
            connection.request("GET", url, headers=dict(headers or {}))
            response = connection.getresponse()
            return Page(response.status, response.read().decode())
        except http.client.HTTPException as error:
            raise ConnectionError(f"no page from {address}: {error!r}") from error
        finally:
            connection.close()

    def reaches(self, address: Address, port: int = 80) -> bool:
        """Tell whether a page comes back."""
        try:
            return self.fetch(address, port).status == 200
        except OSError:
            return False

    def wait_for_pages(self, addresses: Iterable[Address], port: int = 80) -> None:
        """Wait until a page comes back from each."""
        for address in addresses:
            wait_for(f"a page from {address} port {port}", lambda: self.reaches(address, port))  # noqa: B023

    def ask_udp(self, address: Address, port: int, payload: bytes = b"hello") -> dict[str, Any]:
        """Send a datagram and answer the echo's JSON; raise OSError when none comes in time."""
        kind = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with inside(self.namespace, lambda: socket.socket(kind, socket.SOCK_DGRAM)) as datagrams:
            datagrams.settimeout(REPLY_SECONDS)
            datagrams.connect((str(address), port))
            datagrams.send(payload)
            answer: dict[str, Any] = json.loads(datagrams.recv(65535))
            return answer

    def neighbour(self, address: Address) -> str | None:
        """Tell the MAC at which the host's own kernel believes the address to be."""
        command = ["ip", "-n", self.namespace, "-j", "neigh", "show", "to", str(address)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        entries = json.loads(shown or "[]")
        return next((one["lladdr"] for one in entries if _KNOWN_STATES & set(one.get("state", ()))), None)

    def forget(self, address: Address) -> None:
        """Drop the neighbour entry of an address, so that the next packet has to ask."""
        command = ["ip", "-n", self.namespace, "neigh", "flush", "to", str(address)]
        subprocess.run(command, check=True, capture_output=True)

    def announcers(self, address: Address) -> set[str]:
        """Ask the segment, and name every node that claims the address (a MAC that is no node's stays a MAC)."""
        asker = Asker(_bytes(self.mac), self.address(family_of(address)))
        return self.answers(question_for(asker, address), address)

    def holder(self, address: Address) -> str:
        """Wait until exactly one node claims the address, and name it."""
        (node,) = wait_for(
            f"one node announces {address}", lambda: self.announcers(address), lambda seen: len(seen) == 1
        )
        return node

    def answers(self, question: bytes, address: Address) -> set[str]:
        """Send a frame, and name every node that claims the address in a frame to this host."""
        with self.listening() as ears:
            ears.wire.send(question)
            return ears.claims(address, start=_bytes(self.mac))

    @contextmanager
    def listening(self) -> Iterator["Ears"]:
        """Listen to everything that reaches the host's first interface, from now on."""
        with self.raw_socket() as wire:
            yield Ears(wire, self._nodes)

    def neighbour_node(self, address: Address) -> str | None:
        """Name the node at which the host's own kernel believes the address to be."""
        mac = self.neighbour(address)
        return self.node_of(mac) if mac else None

    def raw_socket(self) -> socket.socket:
        """Open a socket for whole frames on the host's first interface."""

        def open_socket() -> socket.socket:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
            wire.bind(("eth0", _ALL_PROTOCOLS))
            return wire

        return inside(self.namespace, open_socket)

    @contextmanager
    def traffic(self, address: Address, port: int = 80) -> Iterator["Traffic"]:
        """Fetch a page again and again, each over a new connection, for as long as the block runs."""
        traffic = Traffic(lambda: self.fetch(address, port, timeout=0.2))
        thread = threading.Thread(target=traffic.run, name=f"traffic to {address}")
        thread.start()
        try:
            yield traffic
        finally:
            traffic.stop()
            thread.join()


@dataclass(frozen=True, slots=True)
class Ears:
    """What reaches a host; `node_names` are those of MACs."""

    wire: socket.socket
    node_names: Mapping[str, str]

    def claims(self, address: Address, *, start: bytes = b"", within: float = ANSWER_SECONDS) -> set[str]:
        """Hear for this long who claims the address in frames that start so; see `Vantage.announcers`."""
        claims: set[str] = set()
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            self.wire.settimeout(left)
            try:
                frame = self.wire.recv(2048)
            except TimeoutError:
                break
            mac = claiming_mac(frame, address)
            if mac is not None and frame.startswith(start):
                claims.add(self.node_names.get(mac, mac))
        return claims


@dataclass(slots=True)
class Traffic:
    """A steady client: when it was served, and the longest time that it was not."""

    fetch: Callable[[], Page]
    served_at: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Fetch until stopped."""
        while not self._stopping.is_set():
            try:
                self.fetch()
                self.served_at.append(time.monotonic())
            except OSError as error:
                self.failures.append(repr(error))
            self._stopping.wait(TRAFFIC_INTERVAL_SECONDS)

    def stop(self) -> None:
        """End after the fetch that is under way."""
        self._stopping.set()

    def served_since(self, moment: float) -> bool:
        """Tell whether a page came after this moment of `time.monotonic`."""
        return bool(self.served_at) and self.served_at[-1] > moment

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time between one page and the next, the start and now counting as pages."""
        marks = [self.started_at, *self.served_at, time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(marks))


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
