"""What the benchmarks of the controller share: Services by the thousand, the controller as a process, an onlooker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.users import ADMIN

NAMESPACE = "bench"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
POOLS = "/apis/baremetal-lb.io/v1/ipaddresspools"
CONNECTIONS = 32
PATIENCE_SECONDS = 120.0


async def delete_services(client: KubeClient) -> None:
    items = (await client.get(SERVICES))["items"]
    await at_once([client.delete(f"{SERVICES}/{item['metadata']['name']}") for item in items])


async def at_once(requests: list[Any], connections: int = CONNECTIONS) -> None:
    """Send the requests over so many connections."""
    waiting: Iterator[Any] = iter(requests)

    async def send() -> None:
        for request in waiting:
            await request

    await asyncio.gather(*(send() for _ in range(connections)))


class Addressed:
    """The Services that the API server shows with an address."""

    def __init__(self) -> None:
        self._keys: set[Key] = set()
        self._changed = asyncio.Event()

    def changed(self, key: Key, has_address: bool | None) -> None:  # noqa: FBT001 - a Watch calls it so
        if has_address:
            self._keys.add(key)
        else:
            self._keys.discard(key)
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self._keys) < count:
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_none(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._keys:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def addressed(client: KubeClient) -> AsyncIterator[Addressed]:
    seen = Addressed()
    watch = Watch(client, SERVICES, lambda raw: "ingress" in raw["status"]["loadBalancer"], seen.changed)
    watching = asyncio.create_task(watch.run())
    await watch.synced.wait()
    try:
        yield seen
    finally:
        watching.cancel()


@contextmanager
def controller(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    program = Path(sys.executable).with_name("baremetal-lb")
    kubeconfig = lab.paths.kubeconfig(ADMIN.kubeconfig)
    # The image's modules are compiled; here the first start of a run does it.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(lab.paths.state / "bytecode")}
    with lab.paths.log("controller").open("ab") as log:
        process = subprocess.Popen(
            [program, "controller", "--kubeconfig", kubeconfig], stdout=log, stderr=log, env=os.environ | compiled
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"s{number:05}"},
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    }
