"""How long a client is without service when the node that announces an address loses its link.

A client opens a new connection every 10 ms. The endpoints are on a node that never announces, so what is measured is
the move of the address and nothing else. The time runs from before the cut to the first connection that was begun after
it and came about. The cut falls at another moment of the speakers' renewals each time.
"""

import asyncio
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for
from bench.figures import report

CUTS_PER_FAMILY = 6
INTERVAL_SECONDS = 0.01
CONNECT_SECONDS = 1.0
SETTLE_SECONDS = 2.5
"""By then the announcements of a new holder are over."""

PHASE_SECONDS = 0.17
PATIENCE_SECONDS = 30.0

METALLB_MS, LIMIT_MS = 5_700, 5_000
ENDPOINTS_ON, ANNOUNCERS = "node3", ("node1", "node2")


def main() -> None:
    with Lab("failover", nodes=3, clients=1) as lab:
        lab.install()
        corner = Sandbox(lab.paths, "default", 0)
        addresses = offer(corner)
        client = Vantage(lab.paths, lab.topology, "client1")
        times = [cut_holder(lab, client, address, number) for number in range(CUTS_PER_FAMILY) for address in addresses]
    report("link_cut_p50_ms", statistics.median(times), "ms", goal=METALLB_MS, limit=LIMIT_MS)
    report("link_cut_max_ms", max(times), "ms", goal=METALLB_MS, limit=LIMIT_MS)


def offer(corner: Sandbox) -> tuple[Address, ...]:
    """Make a dual-stack Service that two of the nodes may announce and the third serves."""
    corner.create(objects.echo("echo", {"app": "echo"}, node=ENDPOINTS_ON))
    corner.create(objects.pool("pool", corner.block.ranges()))
    hostnames = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(ANNOUNCERS)}
    corner.create(objects.advertisement("l2", ["pool"], nodeSelectors=[{"matchExpressions": [hostnames]}]))
    return corner.request_service("web", {"app": "echo"}).assigned()


def cut_holder(lab: Lab, client: Vantage, address: Address, number: int) -> float:
    """Cut the holder's link, heal it again, and answer the milliseconds without service."""
    wait_for(f"a page from {address}", partial(client.reaches, address), within=PATIENCE_SECONDS)
    holder = sole_announcer(client, address)
    time.sleep(SETTLE_SECONDS + number * PHASE_SECONDS)
    with connecting(client, address) as connected:
        began = time.monotonic()
        lab.fail("link", holder)
        cut = time.monotonic()
        served_at = wait_for(
            f"a connection to {address}", partial(first_since, connected, cut), within=PATIENCE_SECONDS
        )
    lab.heal("link", holder)
    milliseconds = (served_at - began) * 1000
    print(f"{address}: {holder} cut, served again after {milliseconds:,.0f} ms")
    wait_for(
        f"{holder} is back and says that it was followed",
        lambda: lab.get_json(f"{objects.collection('SpeakerStatus')}/{holder}")["status"]["addresses"],
        lambda held: str(address) not in {one["address"] for one in held},
        within=PATIENCE_SECONDS,
    )
    return milliseconds


def sole_announcer(client: Vantage, address: Address) -> str:
    find: Callable[[], set[str]] = partial(client.announcers, address)
    (holder,) = wait_for(f"one node announces {address}", find, lambda seen: len(seen) == 1, within=PATIENCE_SECONDS)
    return holder


def first_since(connected: list[tuple[float, float]], moment: float) -> float:
    """When the first of the connections came about that were begun after a moment; 0 where none did."""
    return min((done_at for begun_at, done_at in list(connected) if begun_at > moment), default=0.0)


@contextmanager
def connecting(client: Vantage, address: Address) -> Iterator[list[tuple[float, float]]]:
    """Open connections for as long as the block runs; yield when each was begun and came about."""
    connected: list[tuple[float, float]] = []
    stop = threading.Event()
    opening = partial(inside, client.namespace, lambda: asyncio.run(connect_steadily(address, connected, stop)))
    thread = threading.Thread(target=opening)
    thread.start()
    try:
        yield connected
    finally:
        stop.set()
        thread.join()


async def connect_steadily(address: Address, connected: list[tuple[float, float]], stop: threading.Event) -> None:
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            group.create_task(connect_once(address, connected))
            await asyncio.sleep(INTERVAL_SECONDS)


async def connect_once(address: Address, connected: list[tuple[float, float]]) -> None:
    begun_at = time.monotonic()
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as plain:
        plain.setblocking(False)  # noqa: FBT003 - it takes no keyword
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(plain, (str(address), 80))
        except OSError:
            return
    connected.append((begun_at, time.monotonic()))
