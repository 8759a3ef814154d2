"""How fast Services get their addresses, on a real API server, and what the controller's memory grows to.

The controller runs as a process of the lab's control-plane host. "After start" is counted from the moment the process
is started, with its Python imports; the API server's own limit is what it takes of the very same patches, sent bare.
"""

import asyncio
import statistics
import time

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.lab.lab import MANIFESTS, Lab
from baremetal_lb.lab.topology import CONTROL_PLANE
from baremetal_lb.lab.users import ADMIN
from bench.burst import report_bursts
from bench.figures import report
from bench.services import (
    NAMESPACE,
    POOLS,
    SERVICES,
    addressed,
    at_once,
    controller,
    cpu_seconds,
    delete_services,
    resident_mb,
    service,
)

WARM_UP_SERVICES = 10
SINGLE_SERVICES = 50

METALLB_1000_SECONDS, METALLB_4000_SECONDS, METALLB_MB = 7.8, 38.3, 127


def main() -> None:
    with Lab("assign", nodes=0, clients=0) as lab:
        lab.kubectl("apply", f"--kustomize={MANIFESTS.parent / 'crds'}")
        lab.kubectl("apply", f"--filename={MANIFESTS / 'namespace.yaml'}")
        lab.inside(CONTROL_PLANE, lambda: asyncio.run(measure(lab)))


async def measure(lab: Lab) -> None:
    client = await KubeClient.connect(lab.paths.kubeconfig(ADMIN.kubeconfig))
    try:
        await client.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        pool = {"metadata": {"name": "bench"}, "spec": {"addresses": ["198.18.0.0/16"]}}
        await client.create(POOLS, {"apiVersion": "baremetal-lb.io/v1", "kind": "IPAddressPool", **pool})
        await report_single(lab, client)
        await report_pending(lab, client, 1000, METALLB_1000_SECONDS)
        await report_pending(lab, client, 4000, METALLB_4000_SECONDS)
        await report_bursts(lab, client)
    finally:
        await client.close()


async def report_single(lab: Lab, client: KubeClient) -> None:
    """Services that come one by one, while the controller runs."""
    times = []
    async with addressed(client) as seen:
        with controller(lab):
            for number in range(WARM_UP_SERVICES + SINGLE_SERVICES):
                began = time.perf_counter()
                await client.create(SERVICES, service(number))
                await seen.wait_for(number + 1)
                times.append(time.perf_counter() - began)
    await delete_services(client)
    p50 = statistics.median(times[WARM_UP_SERVICES:]) * 1000
    report("service_to_address_p50_ms", p50, "ms", goal=15, limit=36)


async def report_pending(lab: Lab, client: KubeClient, count: int, metallb_seconds: float) -> None:
    """Services that wait when the controller starts."""
    await at_once([client.create(SERVICES, service(number)) for number in range(count)])
    async with addressed(client) as seen:
        began = time.perf_counter()
        with controller(lab) as process:
            await seen.wait_for(count)
            took = time.perf_counter() - began
            rss, cpu = resident_mb(process.pid), cpu_seconds(process.pid)
    report(f"pending_{count}_s", took, "s", goal=round(metallb_seconds / 5, 2), limit=metallb_seconds)
    print(f"the controller used {cpu:.2f} CPU seconds for it, its start included")
    if count == 4000:
        bare = await time_bare(client)
        print(f"the same patches bare: {bare:.2f} s, {count / bare:.0f} a second")
        report("pending_4000_ratio_to_api_limit", bare / took, "", goal=0.6, limit=0.3)
        report("controller_rss_mb", rss, "MB", goal=100, limit=METALLB_MB)
    await delete_services(client)


async def time_bare(client: KubeClient) -> float:
    """Send the statuses that the controller wrote once more, to the same Services made anew, with nothing around it."""
    patches = {item["metadata"]["name"]: {"status": item["status"]} for item in (await client.get(SERVICES))["items"]}
    await delete_services(client)
    await at_once([client.create(SERVICES, service(number)) for number in range(len(patches))])
    began = time.perf_counter()
    await at_once([client.patch(f"{SERVICES}/{name}/status", status) for name, status in patches.items()])
    return time.perf_counter() - began
