"""The leader dies, freezes, is cut off or stops in the middle of a burst: no address is ever on two Services.

A witness watches all the time, so an address that was on two Services for a moment is seen as well.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from baremetal_lb.cluster.leader_lease import LEADER_LEASE
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.topology import CONTROL_PLANE
from baremetal_lb.lab.users import ADMIN
from baremetal_lb.lab.waiting import wait_for

BURST, MIDDLE = 300, 80
AT_ONCE = 8
ALL_SERVED_SECONDS = 60.0
CRASH_LIMIT_SECONDS, GRACE_LIMIT_SECONDS = 5.0, 2.0
LEASE_AND_A_BIT_SECONDS = 7.0

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{PRODUCT_NAMESPACE}/leases"

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


class Witness:
    """Sees every change of the Services of a namespace, and of who leads; in a thread on the control plane's host."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self._lab = lab
        self._services = objects.collection("Service", namespace)
        self._addresses: dict[Key, frozenset[str]] = {}
        self._holders: defaultdict[str, set[Key]] = defaultdict(set)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: lab.inside(CONTROL_PLANE, lambda: asyncio.run(self._look())))
        self.violations: list[str] = []
        self.leaders: list[tuple[float, str]] = []
        self.served_at: dict[Key, float] = {}

    def __enter__(self) -> "Witness":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def burst(self, names: list[str]) -> None:
        """Begin to create these Services."""
        asyncio.run_coroutine_threadsafe(self._for_each(names, self._create), self._loop)

    def clear(self, names: list[str]) -> None:
        """Delete them; one by one from outside this would take minutes."""
        asyncio.run_coroutine_threadsafe(self._for_each(names, self._delete), self._loop).result(ALL_SERVED_SECONDS)

    def taken_over_after(self, moment: float, former: str) -> tuple[float, float]:
        """Tell how long it took from a moment until another led, and until it had served a Service."""
        led_at = next((at for at, who in self.leaders if at > moment and who not in {"", former}), float("inf"))
        served_at = min((at for at in self.served_at.values() if at > led_at), default=float("inf"))
        return led_at - moment, served_at - moment

    async def _look(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            self._client = await KubeClient.connect(self._lab.paths.kubeconfig(ADMIN.kubeconfig))
            stack.push_async_callback(self._client.close)
            services = Watch(self._client, self._services, _addresses_of, self._service_changed)
            lease = Watch(
                self._client, LEASES, _holder_of, self._lease_changed, field_selector=f"metadata.name={LEADER_LEASE}"
            )
            tasks = [asyncio.create_task(watch.run()) for watch in (services, lease)]
            await services.synced.wait()
            await lease.synced.wait()
            self._ready.set()
            await self._stop.wait()
            for task in tasks:
                task.cancel()

    async def _for_each(self, names: list[str], act: Callable[[str], Awaitable[object]]) -> None:
        waiting = iter(names)

        async def send() -> None:
            for name in waiting:
                await act(name)

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))

    async def _create(self, name: str) -> None:
        families = ("IPv4",) if len(name) % 2 else ("IPv6",)
        await self._client.create(self._services, objects.service(name, selector={"app": "none"}, families=families))

    async def _delete(self, name: str) -> None:
        await self._client.delete(f"{self._services}/{name}")

    def _service_changed(self, key: Key, addresses: frozenset[str] | None) -> None:
        before, now = self._addresses.get(key, frozenset()), addresses or frozenset()
        self._addresses[key] = now
        for address in before - now:
            self._holders[address].discard(key)
        for address in now - before:
            self._holders[address].add(key)
            if len(self._holders[address]) > 1:
                self.violations.append(f"{address} on {sorted(self._holders[address])}")
        if now:
            self.served_at.setdefault(key, time.monotonic())

    def _lease_changed(self, _key: Key, holder: str | None) -> None:
        if not self.leaders or self.leaders[-1][1] != holder:
            self.leaders.append((time.monotonic(), holder or ""))


def _addresses_of(raw: dict[str, Any]) -> frozenset[str]:
    return frozenset(one["ip"] for one in raw["status"].get("loadBalancer", {}).get("ingress", ()))


def _holder_of(raw: dict[str, Any]) -> str:
    holder: str = raw["spec"].get("holderIdentity") or ""
    return holder


class Leader:
    """The replica that leads now: its name in the Lease, its Pod, its node."""

    def __init__(self, lab: Lab) -> None:
        self.identity = wait_for("somebody leads", lambda: _holder_of(lab.get_json(f"{LEASES}/{LEADER_LEASE}")))
        self.pod = self.identity.rpartition("_")[0]
        path = f"{objects.collection('Pod', PRODUCT_NAMESPACE)}/{self.pod}"
        self.node: str = lab.get_json(path)["spec"]["nodeName"]


def kill(lab: Lab, leader: Leader) -> float:
    """Do it, and tell when; so do the others."""
    lab.fail("controller", leader.node)
    return time.monotonic()


def freeze_for_longer_than_its_lease(lab: Lab, leader: Leader) -> float:
    return _for_a_while(lab, "controller-frozen", leader.node)


def cut_off(lab: Lab, leader: Leader) -> float:
    return _for_a_while(lab, "partition", leader.node)


def delete(lab: Lab, leader: Leader) -> float:
    moment = time.monotonic()
    lab.request("DELETE", f"{objects.collection('Pod', PRODUCT_NAMESPACE)}/{leader.pod}")
    return moment


def _for_a_while(lab: Lab, fault: str, node: str) -> float:
    lab.fail(fault, node)
    moment = time.monotonic()
    time.sleep(LEASE_AND_A_BIT_SECONDS)
    lab.heal(fault, node)
    return moment


@pytest.mark.parametrize(
    ("befall", "limit_seconds"),
    [
        pytest.param(kill, CRASH_LIMIT_SECONDS, id="it is killed"),
        pytest.param(freeze_for_longer_than_its_lease, CRASH_LIMIT_SECONDS, id="it is frozen, and goes on later"),
        pytest.param(cut_off, CRASH_LIMIT_SECONDS, id="it is cut off, and comes back"),
        pytest.param(delete, GRACE_LIMIT_SECONDS, id="its Pod is deleted"),
    ],
)
def test_the_other_takes_over_in_the_middle_of_a_burst(
    lab: Lab, sandbox: Sandbox, befall: Callable[[Lab, Leader], float], limit_seconds: float
) -> None:
    wait_for("two controllers are ready", lambda: _ready_controllers(lab), lambda count: count == 2, within=60)
    sandbox.create(objects.pool(sandbox.name("burst"), ["198.18.0.0/23", "2001:db8:18::/112"]))
    names = [sandbox.name(f"s{number}") for number in range(BURST)]
    leader = Leader(lab)
    with Witness(lab, sandbox.namespace) as witness:
        witness.burst(names)
        wait_for("the burst is under way", lambda: len(witness.served_at), lambda count: count >= MIDDLE)
        moment = befall(lab, leader)
        wait_for(
            "all are served",
            lambda: len(witness.served_at),
            lambda count: count == BURST,
            within=ALL_SERVED_SECONDS,
        )
        led, served = witness.taken_over_after(moment, leader.identity)
        print(f"another led after {led:.2f} s, and served after {served:.2f} s")  # noqa: T201 - see it with -s
        time.sleep(1)
        assert witness.violations == []
        assert led <= limit_seconds
        witness.clear(names)


def _ready_controllers(lab: Lab) -> int:
    path = "/apis/apps/v1/namespaces/{}/deployments/controller"
    return int(lab.get_json(path.format(PRODUCT_NAMESPACE))["status"].get("readyReplicas", 0))
