"""A client that opens a new connection every few milliseconds, and one that never ends its download.

What is noted of each connection is when it was begun and when it came about. One that has not come about within a
second has failed: the first packet was lost, and a user would have waited that long for the second.
"""

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.probes import Vantage

INTERVAL_SECONDS = 0.01
CONNECT_SECONDS = 1.0
STALLED_SECONDS = 0.5
"""A download in which nothing came for so long is begun anew."""
_STREAM = b"GET /stream?seconds=3600&bytes=36000000 HTTP/1.1\r\nHost: lab\r\n\r\n"
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection; `connected_at` is None where it did not come about."""

    begun_at: float
    connected_at: float | None


@dataclass(slots=True)
class Download:
    """When something came of it, and how often it was begun anew."""

    received_at: list[float] = field(default_factory=list)
    restarts: int = 0

    def gap_seconds(self, begun_at: float, ended_at: float) -> float:
        """Tell the longest time between these moments in which nothing came."""
        marks = [begun_at, *(at for at in list(self.received_at) if begun_at < at < ended_at), ended_at]
        return max(later - earlier for earlier, later in itertools.pairwise(marks))


@dataclass(slots=True)
class Connections:
    """What came of the connections to one address, in the order in which they ended, and of the download from it."""

    attempts: list[Attempt] = field(default_factory=list)
    download: Download = field(default_factory=Download)

    def first_since(self, moment: float) -> float:
        """Tell when the first came about of those begun after a moment; 0 where none did yet."""
        ended = list(self.attempts)
        return min((one.connected_at for one in ended if one.connected_at and one.begun_at > moment), default=0.0)

    def failed_at(self) -> list[float]:
        """Tell when those were begun that did not come about in time."""
        return sorted(one.begun_at for one in list(self.attempts) if one.connected_at is None)


@contextmanager
def connecting(vantage: Vantage, addresses: Collection[Address]) -> Iterator[dict[Address, Connections]]:
    """Open connections to each address, and keep a download from each, for as long as the block runs.

    When the block is left, those that are under way get the time to come about.
    """
    noted = {address: Connections() for address in addresses}
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: inside(vantage.namespace, lambda: asyncio.run(_connect_to_all(noted, stop)))
    )
    thread.start()
    try:
        yield noted
    finally:
        stop.set()
        thread.join()


async def _connect_to_all(noted: dict[Address, Connections], stop: threading.Event) -> None:
    downloads = [asyncio.create_task(_download(address, one.download)) for address, one in noted.items()]
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            for address, connections in noted.items():
                group.create_task(_connect_once(address, connections))
            await asyncio.sleep(INTERVAL_SECONDS)
    for task in downloads:
        task.cancel()
    await asyncio.wait(downloads)


async def _connect_once(address: Address, connections: Connections) -> None:
    begun_at = time.monotonic()
    connected_at = None
    with _open_socket(address) as plain:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(plain, (str(address), _HTTP_PORT))
            connected_at = time.monotonic()
        except OSError:
            pass
    connections.attempts.append(Attempt(begun_at, connected_at))


async def _download(address: Address, download: Download) -> None:
    """Receive for ever, over a new connection wherever one breaks or stalls."""
    while True:
        try:
            await _receive(address, download)
        except OSError:
            await asyncio.sleep(INTERVAL_SECONDS)
        download.restarts += 1


async def _receive(address: Address, download: Download) -> None:
    """Receive until the other side ends it; raise OSError where it breaks or stalls (a TimeoutError is one)."""
    loop = asyncio.get_running_loop()
    with _open_socket(address) as plain:
        async with asyncio.timeout(STALLED_SECONDS) as patience:
            await loop.sock_connect(plain, (str(address), _HTTP_PORT))
            await loop.sock_sendall(plain, _STREAM)
            while await loop.sock_recv(plain, 65_536):
                download.received_at.append(time.monotonic())
                patience.reschedule(loop.time() + STALLED_SECONDS)


def _open_socket(address: Address) -> socket.socket:
    plain = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    plain.setblocking(False)  # noqa: FBT003 - it takes no keyword
    return plain
