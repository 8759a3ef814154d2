"""Ten thousand Services in one burst that share addresses by fours, some of them with Local policy.

Every one changes what others may do, so whoever looks at all Services for each of them needs a hundred times the work
of a thousand. The Services are there before, of a class that no pool serves: the API server takes minutes to create so
many. The burst begins when a pool comes to serve that class. The work is the controller's CPU time from then on.
"""

import asyncio
import re
import time
from typing import Any, NamedTuple, Self
from urllib.request import urlopen

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Watch
from baremetal_lb.lab.lab import Lab
from baremetal_lb.settings import CONTROLLER_PORT
from bench.figures import report
from bench.services import (
    PATIENCE_SECONDS,
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

SMALL, LARGE = 1_000, 10_000
CLASS = "bench.example/late"
SHARERS, LOCAL_EVERY = 4, 25
SETTLE_SECONDS, STEADY_SECONDS = 5.0, 20.0


class Burst(NamedTuple):
    """What one burst came to."""

    seconds: float
    cpu_seconds: float
    steady_writes_per_minute: float
    pool_writes: int
    """Without the one that we made ourselves."""
    rss_mb: float


async def report_bursts(lab: Lab, client: KubeClient) -> None:
    """Measure a burst of a thousand, then one of ten thousand; then look whether anything goes on being written."""
    with controller(lab) as process:
        small = await measure_burst(client, process.pid, SMALL)
        await delete_services(client)
        large = await measure_burst(client, process.pid, LARGE)
    report("burst_10000_s", large.seconds, "s", goal=20, limit=60)
    report("work_ratio_10000_to_1000", large.cpu_seconds / small.cpu_seconds, "", goal=11, limit=20)
    report("steady_writes_per_minute", large.steady_writes_per_minute, "", goal=0, limit=0)
    report("pool_status_writes_per_burst", large.pool_writes, "", goal=30, limit=60)
    report("controller_rss_mb_10000", large.rss_mb, "MB", goal=150, limit=250)


async def measure_burst(client: KubeClient, pid: int, count: int) -> Burst:
    """Let a running controller see this many Services of a class that no pool serves, and then make a pool serve it."""
    await set_classes(client, [])
    await at_once([client.create(SERVICES, sharing_service(number)) for number in range(count)])
    await asyncio.sleep(SETTLE_SECONDS)
    async with addressed(client) as seen, PoolWrites(client) as pool_writes:
        began, used = time.perf_counter(), cpu_seconds(pid)
        await set_classes(client, [CLASS])
        await seen.wait_for(count)
        took = time.perf_counter() - began
        await asyncio.sleep(SETTLE_SECONDS)
        work = cpu_seconds(pid) - used
    await until_told()
    rss, before = resident_mb(pid), writes()
    await asyncio.sleep(STEADY_SECONDS)
    steady = (writes() - before) * 60 / STEADY_SECONDS
    return Burst(took, work, steady, pool_writes.count - 1, rss)


async def until_told() -> None:
    """Wait until the Events of the burst have been told; they go out slowly, after everything else."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        before = -1
        while (now := writes()) != before:
            before = now
            await asyncio.sleep(SETTLE_SECONDS)


async def set_classes(client: KubeClient, classes: list[str]) -> None:
    await client.patch(f"{POOLS}/bench", {"spec": {"loadBalancerClasses": classes}})


class PoolWrites:
    """Counts how often the pool changes while it is entered."""

    def __init__(self, client: KubeClient) -> None:
        self._watch = Watch(client, POOLS, lambda raw: raw["metadata"]["resourceVersion"], self._changed)
        self.count = -1
        """The first list shows the pool as well."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch.run())
        await self._watch.synced.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    def _changed(self, _key: object, _version: object) -> None:
        self.count += 1


def writes() -> int:
    """What the controller has written so far to objects and Events; it renews its Lease besides."""
    with urlopen(f"http://127.0.0.1:{CONTROLLER_PORT}/metrics") as answer:
        text = answer.read().decode()
    counts = re.findall(r'^baremetal_lb_api_writes_total\{.*what="(?!lease).*\} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, counts)))


def sharing_service(number: int) -> dict[str, Any]:
    """One of four that share an address, by different ports; every 25th four have the policy Local.

    Not more of them: each takes a node port for its health check, and the API server gives those out slowly.
    """
    group = number // SHARERS
    made = service(number)
    made["metadata"]["annotations"] = {"baremetal-lb.io/sharing-key": f"group-{group}"}
    made["spec"]["loadBalancerClass"] = CLASS
    made["spec"]["ports"][0]["port"] = 8000 + number % SHARERS
    if group % LOCAL_EVERY == 0:
        made["spec"] |= {"externalTrafficPolicy": "Local", "selector": {"app": f"app-{group}"}}
    return made
