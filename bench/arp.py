"""How fast a speaker answers ARP and NDP under a flood, how soon it answers one question, what it costs in memory.

A client of the lab asks for the address of a Service. It also asks for the node's own address, which the kernel answers
for, in the same run: the ratio to that says more than a figure that depends on the machine.
"""

import socket
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.netns import inside, processes_in
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.questions import Asker, question_for
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.topology import LAN
from baremetal_lb.lab.waiting import wait_for
from bench.figures import report

FLOOD_SECONDS = 4.0
QUESTIONS_AT_ONCE = 100
TIMED_QUESTIONS = 3_000
SETTLE_SECONDS = 2.5
"""By then the announcements of a new holder are over."""

METALLB_REPLIES_PER_SECOND, METALLB_SPEAKER_MB = 25_000, 80
ETHERTYPES = {Family.IPV4: 0x0806, Family.IPV6: 0x86DD}
PROTOCOLS = {Family.IPV4: "arp", Family.IPV6: "ndp"}


@dataclass(frozen=True)
class Flood:
    """What came of asking as fast as one process can."""

    asked_per_second: float
    replies_per_second: float


def main() -> None:
    with Lab("arp", nodes=1, clients=1) as lab:
        lab.install()
        corner = Sandbox(lab.paths, "default", 0)
        corner.create(objects.echo("echo", {"app": "echo"}))
        corner.offer()
        addresses = corner.request_service("asked-for", {"app": "echo"}).assigned()
        client = Vantage(lab.paths, lab.topology, "client1")
        for address in addresses:
            wait_for(f"{address} is announced", lambda: client.announcers(address))  # noqa: B023 - called at once
        time.sleep(SETTLE_SECONDS)
        kernels: dict[Family, Address] = dict(zip(Family, lab.topology.host("node1").addresses, strict=True))
        for address in addresses:
            measure(client, address, kernels[family_of(address)])
        report("speaker_rss_mb", speaker_rss_mb(lab), "MB", goal=60, limit=METALLB_SPEAKER_MB)


def measure(client: Vantage, ours: Address, kernels: Address) -> None:
    """Ask for an address of ours and for one of the kernel's."""
    name = PROTOCOLS[family_of(ours)]
    latency = median_reply_us(client, ours)
    flood, kernel = flooded(client, ours), flooded(client, kernels)
    print(
        f"{name}: {flood.asked_per_second:,.0f} questions a second; the kernel answers {kernel.replies_per_second:,.0f}"
    )
    best = METALLB_REPLIES_PER_SECOND
    report(f"{name}_replies_per_second", flood.replies_per_second, "1/s", goal=2 * best, limit=best)
    ratio = flood.replies_per_second / kernel.replies_per_second
    report(f"{name}_ratio_to_kernel", ratio, "", goal=0.3, limit=0.1)
    report(f"{name}_reply_p50_us", latency, "us", goal=100, limit=500)


def question(client: Vantage, target: Address) -> bytes:
    mac = bytes.fromhex(client.host.mac(LAN).replace(":", ""))
    return question_for(Asker(mac, client.address(family_of(target))), target)


def median_reply_us(client: Vantage, target: Address) -> float:
    """Ask one question at a time, and time each up to its answer."""
    asking = question(client, target)
    times = []
    with packet_socket(client, ETHERTYPES[family_of(target)]) as wire:
        wire.settimeout(1.0)
        for _ in range(TIMED_QUESTIONS):
            started = time.perf_counter()
            wire.send(asking)
            wire.recv(128)
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def flooded(client: Vantage, target: Address) -> Flood:
    """Ask as fast as one process can, and count questions and replies."""
    asking = question(client, target)
    asked = 0
    with packet_socket(client, 0) as wire:
        before = frames_received(client)
        started = time.perf_counter()
        while time.perf_counter() - started < FLOOD_SECONDS:
            for _ in range(QUESTIONS_AT_ONCE):
                wire.send(asking)
            asked += QUESTIONS_AT_ONCE
        elapsed = time.perf_counter() - started
    return Flood(asked / elapsed, (frames_received(client) - before) / elapsed)


def packet_socket(client: Vantage, ethertype: int) -> socket.socket:
    """Open a socket that hears incoming frames of one type, or (with 0) none."""
    wire = inside(client.namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    wire.bind(("eth0", ethertype))
    return wire


def frames_received(client: Vantage) -> int:
    """Read the counter of the client's interface, which costs the answers nothing."""
    counters = inside(client.namespace, Path("/proc/thread-self/net/dev").read_text)
    line = next(line for line in counters.splitlines() if line.strip().startswith("eth0:"))
    return int(line.split(":")[1].split()[1])


def speaker_rss_mb(lab: Lab) -> float:
    """Find the speaker among the processes of the node, and read how much memory it has."""
    for pid in processes_in([lab.paths.namespace("node1")]):
        process = Path(f"/proc/{pid}")
        if b"speaker" in (process / "cmdline").read_bytes().split(b"\0"):
            return int((process / "status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
    raise RuntimeError("no speaker runs on node1")
