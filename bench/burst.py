"""Ten thousand Services in one burst that share addresses by fours, some of them with Local policy.

Every one changes what others may do, so whoever looks at all Services for each of them needs a hundred times the work
of a thousand. The work is the controller's CPU time, from the first Service created to the last one served.
"""

import asyncio
import re
import time
from typing import Any
from urllib.request import urlopen

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Watch
from baremetal_lb.lab.lab import Lab
from baremetal_lb.settings import CONTROLLER_PORT
from bench.figures import report
from bench.services import (
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
SHARERS, LOCAL_EVERY = 4, 25
SETTLE_SECONDS, STEADY_SECONDS = 5.0, 30.0


async def report_bursts(lab: Lab, client: KubeClient) -> None:
    """Measure a burst of a thousand, then one of ten thousand; then look whether anything goes on being written."""
    with controller(lab) as process:
        async with addressed(client) as seen:
            await client.create(SERVICES, sharing_service(0))
            await seen.wait_for(1)
            await delete_services(client)
            work = {}
            for count in (SMALL, LARGE):
                began, used = time.perf_counter(), cpu_seconds(process.pid)
                pool_writes = PoolWrites(client)
                async with pool_writes:
                    await at_once([client.create(SERVICES, sharing_service(number)) for number in range(count)])
                    await seen.wait_for(count)
                    took = time.perf_counter() - began
                    await asyncio.sleep(SETTLE_SECONDS)
                work[count] = cpu_seconds(process.pid) - used
                if count == SMALL:
                    await delete_services(client)
                    await seen.wait_for_none()
        rss = resident_mb(process.pid)
        before = writes()
        await asyncio.sleep(STEADY_SECONDS)
        steady = (writes() - before) * 60 / STEADY_SECONDS
    report("burst_10000_s", took, "s", goal=25, limit=120)
    report("work_ratio_10000_to_1000", work[LARGE] / work[SMALL], "", goal=11, limit=20)
    report("steady_writes_per_minute", steady, "", goal=0, limit=0)
    report("pool_status_writes_per_burst", pool_writes.count, "", goal=60, limit=120)
    report("controller_rss_mb_10000", rss, "MB", goal=150, limit=250)
    await delete_services(client)


class PoolWrites:
    """Counts how often the pool changes while it is entered."""

    def __init__(self, client: KubeClient) -> None:
        self._watch = Watch(client, POOLS, lambda raw: raw["metadata"]["resourceVersion"], self._changed)
        self.count = -1
        """The first list shows the pool as well."""

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._watch.run())
        await self._watch.synced.wait()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    def _changed(self, _key: object, _version: object) -> None:
        self.count += 1


def writes() -> int:
    """What the controller has written so far to objects and Events; it renews its Lease besides."""
    with urlopen(f"http://127.0.0.1:{CONTROLLER_PORT}/metrics") as answer:
        text = answer.read().decode()
    return int(
        sum(float(value) for value in re.findall(r"^baremetal_lb_api_writes_total\{.*\} (\S+)$", text, re.MULTILINE))
    )


def sharing_service(number: int) -> dict[str, Any]:
    """One of four that share an address, by different ports; every 25th four have the policy Local.

    Not more of them: each takes a node port for its health check, and the API server gives those out slowly.
    """
    group = number // SHARERS
    made = service(number)
    made["metadata"]["annotations"] = {"baremetal-lb.io/sharing-key": f"group-{group}"}
    made["spec"]["ports"][0]["port"] = 8000 + number % SHARERS
    if group % LOCAL_EVERY == 0:
        made["spec"] |= {"externalTrafficPolicy": "Local", "selector": {"app": f"app-{group}"}}
    return made
