"""Several controllers on one API server, in virtual time: one leads, and no fault of it gives an address away twice."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from baremetal_lb.controller.main import Controller
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.settings import ControllerSettings

if TYPE_CHECKING:
    from tests.unit.controller.conftest import SimulatedApi

SERVICES, POOLS = "/api/v1/services", "/apis/baremetal-lb.io/v1/ipaddresspools"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases"
SETTINGS = ControllerSettings(patches_in_flight=4)
LATENCY_SECONDS = 0.01
BURST = 60
CRASH_LIMIT_SECONDS, GRACE_LIMIT_SECONDS = 5.0, 0.2

Answer = TypeVar("Answer")


class Connection:
    """One replica's way to the API server: it may be cut, hold requests back, or show changes late."""

    def __init__(self, api: "SimulatedApi") -> None:
        self._api = api
        self._flows = asyncio.Event()
        self._flows.set()
        self._shows = asyncio.Event()
        self._shows.set()
        self.is_cut = False
        self.is_open = asyncio.Event()
        self.held_back = 0

    def hold(self) -> None:
        """From now on requests get stuck on their way, also where nobody waits for the answer any more."""
        self._flows.clear()

    def let_go(self) -> None:
        self._flows.set()

    def show_late(self) -> None:
        self._shows.clear()

    def show(self) -> None:
        self._shows.set()

    def cut(self) -> None:
        self.is_cut = True
        self._api._wake()

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return await self._send(lambda: self._api.get(path, **query))

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._send(lambda: self._api.create(path, body))

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._send(lambda: self._api.patch(path, body))

    @asynccontextmanager
    async def stream(self, path: str, **query: str | int) -> AsyncIterator[AsyncIterator[bytes]]:
        self._check()
        async with self._api.stream(path, **query) as lines:
            yield self._lines(path, lines)

    async def _lines(self, path: str, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            self._check()
            if path == SERVICES:
                await self._shows.wait()
            yield line

    async def _send(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        async def travel() -> Answer:
            await asyncio.sleep(LATENCY_SECONDS)
            if not self._flows.is_set():
                self.held_back += 1
                await self._flows.wait()
            self._check()
            return await request()

        travelling = asyncio.ensure_future(travel())
        travelling.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(travelling)

    def _check(self) -> None:
        if self.is_cut:
            raise ApiError(0, "Unreachable", "no route")


class Replica:
    def __init__(self, api: "SimulatedApi", name: str) -> None:
        self.connection = Connection(api)
        client = cast("KubeClient", self.connection)
        self.controller = Controller(client, SETTINGS, name, lambda *_: None)
        self.stop_event = asyncio.Event()
        self.task = asyncio.create_task(self.controller.run(self.stop_event))

    @property
    def leads(self) -> bool:
        return self.controller.registry.get_sample_value("baremetal_lb_leader") == 1

    async def kill(self) -> None:
        """End it as SIGKILL does: what was sent arrives, nothing else is done."""
        self.connection.is_cut = True
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def stop(self) -> None:
        self.stop_event.set()
        await self.task


class Cluster:
    def __init__(self, api: "SimulatedApi") -> None:
        self.api = api
        self.replicas: list[Replica] = []
        self.services = 0

    def start(self) -> Replica:
        replica = Replica(self.api, f"replica-{len(self.replicas)}")
        self.replicas.append(replica)
        return replica

    async def start_two(self) -> tuple[Replica, Replica]:
        """Start two; the first one leads."""
        first = self.start()
        await self.until(lambda: first.leads, within=1)
        second = self.start()
        await self.until(lambda: second.controller.health().is_ready, within=1)
        return first, second

    def burst(self, count: int = BURST, *, year: int = 2026) -> None:
        """Let Services appear; those of an earlier year are served first."""
        for _ in range(count):
            self.services += 1
            self.api.put(SERVICES, service(f"s{self.services:03}", self.services, year))

    def served(self) -> int:
        return sum(bool(self.api.ingress(name)) for name in self.api.objects[SERVICES])

    def events(self, reason: str) -> int:
        return sum(event["reason"] == reason for event in self.api.events)

    async def until(self, predicate: Callable[[], object], *, within: float = 30.0) -> float:
        """Wait, and tell how long; never longer than `within`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not predicate():
            assert loop.time() < began + within, "not seen in time"
            assert self.api.violations == []
            await asyncio.sleep(0.005)
        return loop.time() - began

    async def all_served(self, *, within: float = 30.0) -> float:
        took = await self.until(lambda: self.served() == self.services, within=within)
        await asyncio.sleep(1)
        assert self.api.violations == []
        return took


def service(name: str, number: int, year: int) -> dict[str, Any]:
    families = ["IPv4"] if number % 2 else ["IPv6"]
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": f"{year}-01-01T{number // 60:02}:{number % 60:02}:00Z",
        },
        "spec": {"type": "LoadBalancer", "ipFamilies": families, "clusterIPs": ["10.96.0.9"]},
        "status": {"loadBalancer": {}},
    }


@pytest.fixture
async def cluster(api: "SimulatedApi") -> AsyncIterator[Cluster]:
    """A pool, and no replica yet."""
    spec = {"addresses": ["192.0.2.0/24", "2001:db8::/112"]}
    api.put(POOLS, {"metadata": {"name": "gold", "uid": "uid-gold", "generation": 1}, "spec": spec})
    made = Cluster(api)
    yield made
    for replica in made.replicas:
        await replica.kill()


async def in_the_middle_of_a_burst(cluster: Cluster) -> None:
    cluster.burst()
    await cluster.until(lambda: cluster.served() > BURST // 3)
    assert cluster.served() < BURST


async def test_one_leads_and_the_other_is_ready_to(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    cluster.burst()
    await cluster.all_served()
    assert (first.leads, second.leads) == (True, False)
    assert first.controller.health().is_ready
    assert second.controller.health().is_ready
    written = second.controller.registry.get_sample_value(
        "baremetal_lb_api_writes_total", {"what": "service", "result": "ok"}
    )
    assert not written


async def test_a_killed_leader_is_replaced_in_time(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    await in_the_middle_of_a_burst(cluster)
    await first.kill()
    took = await cluster.until(lambda: second.leads, within=CRASH_LIMIT_SECONDS)
    await cluster.all_served(within=CRASH_LIMIT_SECONDS - took)
    assert cluster.events("LeaderChanged") > 0


async def test_one_that_stops_hands_over_at_once(cluster: Cluster) -> None:
    """And it left nothing on its way, so there is nothing to fence off."""
    first, second = await cluster.start_two()
    await in_the_middle_of_a_burst(cluster)
    stopping = asyncio.create_task(first.stop())
    await cluster.until(lambda: second.leads, within=GRACE_LIMIT_SECONDS)
    await cluster.all_served()
    await stopping
    assert cluster.events("LeaderChanged") == 0


async def test_one_that_stops_with_a_write_on_its_way_does_not_let_go(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    cluster.burst()
    await asyncio.sleep(LATENCY_SECONDS)
    first.connection.hold()
    await cluster.until(lambda: first.connection.held_back)
    stopping = asyncio.create_task(first.stop())
    await cluster.until(lambda: second.leads, within=10)
    first.connection.let_go()
    await cluster.all_served()
    await stopping
    assert cluster.events("LeaderChanged") > 0


@pytest.mark.parametrize(
    ("let_go_after", "conflicts"),
    [
        pytest.param(0.0, 0, id="just in time: the new leader has not looked yet"),
        pytest.param(0.1, 1, id="while it fences, or would give addresses"),
        pytest.param(0.5, 1, id="when it has assigned the addresses"),
    ],
)
async def test_what_a_former_leader_sent_comes_too_late(cluster: Cluster, let_go_after: float, conflicts: int) -> None:
    """Its writes are stuck in the network and arrive after the takeover, those of its Lease as well."""
    first, second = await cluster.start_two()
    cluster.burst()
    await asyncio.sleep(LATENCY_SECONDS)
    first.connection.hold()
    await cluster.until(lambda: first.connection.held_back >= SETTINGS.patches_in_flight)
    cluster.burst(year=2025)
    await cluster.until(lambda: second.leads, within=CRASH_LIMIT_SECONDS)
    await asyncio.sleep(let_go_after)
    first.connection.let_go()
    await cluster.all_served()
    assert cluster.api.conflicts >= conflicts
    assert (first.leads, second.leads) == (False, True)


async def test_one_that_is_cut_off_stops_in_time_and_follows_again_later(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    await in_the_middle_of_a_burst(cluster)
    first.connection.cut()
    await cluster.until(lambda: second.leads, within=CRASH_LIMIT_SECONDS)
    assert not first.leads
    await cluster.all_served()
    first.connection.is_cut = False
    await cluster.until(lambda: first.controller.health().is_ready)
    assert not first.leads
    assert not first.task.done()


async def test_an_outage_of_the_api_server_ends_no_process(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    await in_the_middle_of_a_burst(cluster)
    cluster.api.cut_off()
    await cluster.until(lambda: not first.leads, within=CRASH_LIMIT_SECONDS)
    await asyncio.sleep(30)
    assert (first.leads, second.leads) == (False, False)
    cluster.api.come_back()
    await cluster.until(lambda: first.leads or second.leads, within=CRASH_LIMIT_SECONDS)
    await cluster.all_served()
    assert (first.task.done(), second.task.done()) == (False, False)
    assert first.leads != second.leads


async def test_a_successor_first_learns_what_was_written(cluster: Cluster) -> None:
    """Its view of the Services lags behind; the Lease that was let go reaches it nevertheless."""
    first, second = await cluster.start_two()
    second.connection.show_late()
    cluster.burst(1)
    await cluster.until(lambda: cluster.served() == 1)
    await first.stop()
    cluster.burst(1)
    cluster.burst(1)
    await cluster.all_served()
    second.connection.show()
    await asyncio.sleep(5)
    assert cluster.api.violations == []


async def test_a_lease_that_was_deleted_is_made_again_by_its_holder(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    cluster.api.remove(LEASES, "controller")
    await asyncio.sleep(10)
    assert (first.leads, second.leads) == (True, False)
    assert cluster.api.objects[LEASES]["controller"]["spec"]["holderIdentity"] == "replica-0"


async def test_without_a_lease_the_first_one_makes_it(cluster: Cluster) -> None:
    """After as long as another may have led who lost it."""
    cluster.api.remove(LEASES, "controller")
    only = cluster.start()
    took = await cluster.until(lambda: only.leads, within=CRASH_LIMIT_SECONDS)
    assert took >= SETTINGS.lease_seconds


async def test_a_standby_tells_no_counts_of_an_earlier_term(cluster: Cluster) -> None:
    first, second = await cluster.start_two()
    cluster.burst(2)
    await cluster.all_served()
    labels = {"pool": "gold", "family": "IPv4"}
    assert first.controller.registry.get_sample_value("baremetal_lb_pool_addresses_assigned", labels) == 1
    first.connection.cut()
    await cluster.until(lambda: second.leads, within=CRASH_LIMIT_SECONDS)
    assert first.controller.registry.get_sample_value("baremetal_lb_pool_addresses_assigned", labels) is None


async def befall(cluster: Cluster, dice: random.Random) -> None:
    """Do something to one replica that runs; for one that ends another comes."""
    replica = dice.choice([one for one in cluster.replicas if not one.task.done()])
    connection = replica.connection
    match dice.choice(("hold", "let go", "cut", "rejoin", "late", "kill", "stop")):
        case "hold":
            connection.hold()
        case "let go":
            connection.let_go()
        case "cut":
            connection.cut()
        case "rejoin":
            connection.is_cut = False
        case "late":
            connection.show_late()
            asyncio.get_running_loop().call_later(dice.random() * 5, connection.show)
        case "kill":
            await replica.kill()
            cluster.start()
        case "stop":
            replica.stop_event.set()
            cluster.start()


@pytest.mark.parametrize("seed", range(8))
async def test_a_storm(cluster: Cluster, seed: int) -> None:
    """Whatever befalls three replicas: no address on two Services at any time, and all are served in the end."""
    dice = random.Random(seed)
    for _ in range(3):
        cluster.start()
    for _ in range(25):
        cluster.burst(dice.randrange(6))
        await asyncio.sleep(dice.choice((0.03, 0.3, 3.0)))
        await befall(cluster, dice)
        assert cluster.api.violations == []
    for replica in cluster.replicas:
        replica.connection.let_go()
        replica.connection.show()
        replica.connection.is_cut = False
    await cluster.all_served(within=60)
    assert sum(one.leads for one in cluster.replicas if not one.task.done()) == 1
