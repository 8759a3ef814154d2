"""What it costs a node to watch others and to be watched, in small and large clusters; and whether strain harms it.

The beat process is the real one, with real sockets, on a cable to one process that is all its peers. Which peers a node
has in a cluster of some size is computed as speakers do. In the lab, an address must stay where it is while the segment
is flooded or the processors are busy, and must move as fast as ever when its holder's link is cut.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from typing import Any

from baremetal_lb.cluster.lease import parse_lease
from baremetal_lb.election.liveness import Liveness
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import choose_watchers
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.stage import Stage, set_stage
from bench.failover import ENDPOINTS_ON, Blow, cut, join, strike
from bench.figures import report
from bench.moves import ANNOUNCERS
from bench.peers import KEYS
from bench.segment import Segment, segment
from bench.strain import busy, flooded

SIZES = (3, 100, 1_000)
BEATING_SECONDS = 10.0
SETTLE_SECONDS = 3.0
NODE, NODE_ADDRESS, FIRST_PEER = "n0", "192.0.2.9", ip_address("192.0.2.10")

FLOOD_PER_SECOND, BUSY_PROCESSES = 60_000, 4
STILL_SECONDS = 10.0
CUTS = 5
LEASES = 2_000


def main() -> None:
    with segment() as cable:
        cable.run(cable.speaker, "ip", "addr", "add", f"{NODE_ADDRESS}/24", "dev", "eth0")
        percents = [measure_size(cable, nodes) for nodes in SIZES]
    report("beats_cost_1000_to_100", percents[2] / percents[1], "", goal=1.0, limit=1.5)
    report("lease_cpu_percent_1000", 1_000 * 100 * seconds_per_lease(), "%", goal=5, limit=10)
    with Lab("liveness", nodes=3, clients=3) as lab:
        lab.install()
        corner, labels = Sandbox(lab.paths, "default", 0), {"app": "echo"}
        corner.create(objects.echo("echo", labels, node=ENDPOINTS_ON))
        stage = set_stage(lab, corner, labels, ANNOUNCERS)
        other_client = Vantage(lab.paths, lab.topology, "client3")
        measure_strain(stage, "flooded", lambda: flooded(other_client, stage.addresses[0], FLOOD_PER_SECOND))
        measure_strain(stage, "busy", lambda: busy(BUSY_PROCESSES))


def peers_of(node: str, nodes: int) -> dict[str, bool]:
    """Name the peers of a node where all hold addresses, and whether each watches the node."""
    tiers = (Candidates(f"n{number}" for number in range(nodes)),)
    watchers = {one: choose_watchers(one, [tiers]) for one in tiers[0].nodes}
    watched = [one for one in tiers[0].nodes if node in watchers[one]]
    return {one: one in watchers[node] for one in {*watchers[node], *watched}}


def measure_size(cable: Segment, nodes: int) -> float:
    """Let a node beat with its peers for a while; report what it sends, hears and costs, the latter also answered."""
    peers = peers_of(NODE, nodes)
    addresses = {name: str(FIRST_PEER + number) for number, name in enumerate(sorted(peers))}
    for address in addresses.values():
        subprocess.run(["ip", "-n", cable.client, "addr", "replace", f"{address}/24", "dev", "eth0"], check=True)
    with all_peers(cable, peers, addresses), Beater(cable) as beater:
        beater.watch(addresses)
        time.sleep(SETTLE_SECONDS)
        before = beater.report()
        time.sleep(BEATING_SECONDS)
        after = beater.report()
    packets = sum(after["counts"][one] - before["counts"][one] for one in ("sent", "received")) / BEATING_SECONDS
    percent: float = 100 * (sum(after["cpu_seconds"]) - sum(before["cpu_seconds"])) / BEATING_SECONDS
    print(f"{nodes} nodes: {len(peers)} peers; {after['rss_mb']:.1f} MB")
    report(f"beats_packets_per_second_{nodes}", packets, "1/s", goal=340, limit=400)
    report(f"beats_cpu_percent_{nodes}", percent, "%", goal=2, limit=5)
    return percent


@contextmanager
def all_peers(cable: Segment, peers: dict[str, bool], addresses: dict[str, str]) -> Iterator[None]:
    texts = [f"{name}={addresses[name]}={'yes' if watches else 'no'}" for name, watches in peers.items()]
    command = ["ip", "netns", "exec", cable.client, sys.executable, "-m", "bench.peers", NODE_ADDRESS, NODE, *texts]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate(timeout=10)


class Beater:
    """A `bench.beater` at the speaker's end of the cable."""

    def __init__(self, cable: Segment) -> None:
        self._command = ["ip", "netns", "exec", cable.speaker, sys.executable, "-m", "bench.beater", NODE]

    def __enter__(self) -> "Beater":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._wait_for("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def watch(self, addresses: dict[str, str]) -> None:
        keys = {str(key_id): key.hex() for key_id, key in KEYS.items()}
        self._say({"peers": addresses, "keys": keys, "flags": 0})

    def report(self) -> dict[str, Any]:
        self._say({"report": True})
        return self._wait_for("report")

    def _say(self, command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _wait_for(self, kind: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if kind in event:
                said: dict[str, Any] = event[kind]
                return said
        raise RuntimeError(f"the beater ended with exit code {self._process.wait()}")


def seconds_per_lease() -> float:
    """Measure what reading another node's renewed Lease costs: each node reads those of all, each second."""
    spec = {"holderIdentity": "n1/1a2b3c", "leaseDurationSeconds": 3, "renewTime": "2026-11-23T12:00:00.000000Z"}
    metadata = {"name": "speaker-n1", "namespace": "default", "labels": {"a": "b"}, "resourceVersion": "12345"}
    line = json.dumps({"type": "MODIFIED", "object": {"metadata": metadata, "spec": spec}})
    liveness = Liveness("n0/1", lease_seconds=3.0, trust_seconds=2.0)
    started = time.process_time()
    for number in range(LEASES):
        raw = json.loads(line)["object"]
        raw["spec"]["renewTime"] = str(number)
        liveness.lease_seen(parse_lease(raw), float(number))
    return (time.process_time() - started) / LEASES


def measure_strain(stage: Stage, name: str, strain: Callable[[], AbstractContextManager[None]]) -> None:
    """Report whether addresses stay where they are under a strain, and how fast they move where they must."""
    before = terms(stage)
    with strain():
        time.sleep(STILL_SECONDS)
        report(f"{name}_false_moves", len(terms(stage) - before), "", goal=0, limit=0)
        blow = Blow(f"{name}_link_cut", cut, join)
        milliseconds = [one for number in range(CUTS) for one in strike(stage, blow, number)]
    report(f"{name}_link_cut_p50_ms", statistics.median(milliseconds), "ms", goal=400, limit=1_000)
    report(f"{name}_link_cut_max_ms", max(milliseconds), "ms", goal=800, limit=5_000)


def terms(stage: Stage) -> set[tuple[str, str, int]]:
    """Read who says that it holds each address, and in which term."""
    listed = stage.lab.get_json(objects.collection("SpeakerStatus"))["items"]
    return {
        (one["metadata"]["name"], held["address"], held["term"])
        for one in listed
        for held in one.get("status", {}).get("addresses", ())
    }
