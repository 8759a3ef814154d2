"""What a speaker's memory is with 4,000 Services: each has an address, an endpoint, and a holder among three nodes."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.netns import processes_in
from baremetal_lb.lab.topology import CONTROL_PLANE
from baremetal_lb.lab.users import ADMIN
from baremetal_lb.lab.waiting import wait_for
from bench.figures import report
from bench.services import NAMESPACE, POOLS, SERVICES, at_once, resident_mb, service

COUNT = 4000
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
ADVERTISEMENTS = "/apis/baremetal-lb.io/v1/l2advertisements"
NODES = ("node1", "node2", "node3")
CONNECTIONS = 4
"""Nothing here hangs on how soon they are there, and the nodes share the machine with the API server."""
PATIENCE_SECONDS = 400.0
GOAL_MB, LIMIT_MB = 80, 120


def main() -> None:
    with Lab("memory", nodes=len(NODES), clients=0) as lab:
        lab.install()
        lab.inside(CONTROL_PLANE, lambda: asyncio.run(fill(lab)))
        wait_for("every address is held", partial(count_held, lab), lambda held: held == COUNT, within=PATIENCE_SECONDS)
        sizes = {node: speaker_mb(lab, node) for node in NODES}
        wait_for("every Service is told", partial(count_told, lab), lambda told: told == COUNT, within=PATIENCE_SECONDS)
        after = {node: speaker_mb(lab, node) for node in NODES}
    print(f"MB when all is held: {json.dumps(sizes)}, when all is told: {json.dumps(after)}")
    report("speaker_rss_mb_4000", max(after.values()), "MB", goal=GOAL_MB, limit=LIMIT_MB)


async def fill(lab: Lab) -> None:
    client = await KubeClient.connect(lab.paths.kubeconfig(ADMIN.kubeconfig))
    pool = objects.pool("bench", ["198.18.0.0/16"])
    try:
        await client.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        await client.create(ADVERTISEMENTS, objects.advertisement("bench", ["bench"]))
        await at_once([client.create(SLICES, endpoint_slice(number)) for number in range(COUNT)], CONNECTIONS)
        await at_once([client.create(SERVICES, service(number)) for number in range(COUNT)], CONNECTIONS)
        await client.create(POOLS, pool)
    finally:
        await client.close()


def endpoint_slice(number: int) -> dict[str, Any]:
    name = service(number)["metadata"]["name"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [f"10.244.9.{number % 250 + 1}"], "nodeName": NODES[number % len(NODES)]}],
    }


def count_held(lab: Lab) -> int:
    statuses = lab.get_json("/apis/baremetal-lb.io/v1/speakerstatuses")["items"]
    return len({one["address"] for raw in statuses for one in raw.get("status", {}).get("addresses", ())})


def count_told(lab: Lab) -> int:
    services = lab.get_json(SERVICES)["items"]
    conditions = (one for raw in services for one in raw["status"].get("conditions", ()))
    return sum(one["type"] == "baremetal-lb.io/Announced" and one["status"] == "True" for one in conditions)


def speaker_mb(lab: Lab, node: str) -> float:
    """The speaker itself; its beat process is another one, of the same size on every node however many Services."""
    pids = processes_in([lab.paths.namespace(node)])
    speakers = [pid for pid in pids if b"speaker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    return round(max(map(resident_mb, speakers)), 1)
