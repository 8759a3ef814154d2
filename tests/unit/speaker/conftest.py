"""A small cluster in one process and in virtual time: an API server, a segment, and real speakers between them."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.io import FrameCounts
from baremetal_lb.l2.responder import Announcement
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.settings import SYSTEM_NAMESPACE, SpeakerSettings
from baremetal_lb.speaker.speaker import Speaker
from tests.virtual_time import VirtualLoop

Raw = dict[str, Any]
NODES = ("node1", "node2", "node3")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual time": VirtualLoop}


class ApiServer:
    """Objects by path, and the history that watches follow."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, Raw] = {}
        self.history: list[tuple[int, str, str, Raw]] = []
        self.oldest = 0
        self.down = False
        self.changed = asyncio.Condition()

    async def put(self, path: str, body: Mapping[str, Any]) -> Raw:
        kind = "MODIFIED" if path in self.objects else "ADDED"
        self.version += 1
        raw = deepcopy(dict(body))
        raw["metadata"]["resourceVersion"] = str(self.version)
        raw["metadata"].setdefault("uid", f"uid-{raw['metadata']['name']}")
        self.objects[path] = raw
        await self._record(kind, path, raw)
        return raw

    async def remove(self, path: str) -> None:
        self.version += 1
        raw = self.objects.pop(path)
        await self._record(
            "DELETED", path, raw | {"metadata": raw["metadata"] | {"resourceVersion": str(self.version)}}
        )

    async def stop(self) -> None:
        self.down = True
        await self.wake()

    def start(self, *, forgetful: bool = False) -> None:
        """Answer again; a forgetful server has no history, so every watch must list anew."""
        self.down = False
        if forgetful:
            self.oldest = self.version

    async def wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _record(self, kind: str, path: str, raw: Raw) -> None:
        self.history.append((self.version, kind, path, deepcopy(raw)))
        await self.wake()

    def select(self, path: str, query: Mapping[str, Any]) -> list[str]:
        return [one for one, raw in self.objects.items() if in_collection(one, path) and is_selected(raw, query)]


def in_collection(path: str, collection: str) -> bool:
    """Collections are named without a namespace (all namespaces) or with one."""
    parent, _, _ = path.rpartition("/")
    if parent == collection:
        return True
    head, _, kind = collection.rpartition("/")
    return parent.startswith(f"{head}/namespaces/") and parent.endswith(f"/{kind}")


def is_selected(raw: Raw, query: Mapping[str, Any]) -> bool:
    if query.get("fieldSelector") == "spec.type=LoadBalancer" and raw["spec"].get("type") != "LoadBalancer":
        return False
    labels = raw["metadata"].get("labels", {})
    name, is_equality, value = query.get("labelSelector", "").partition("=")
    return not is_equality or labels.get(name) == value


class Connection:
    """One speaker's client; `cut` makes the server unreachable for it alone, `refuses` forbids requests."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.is_cut = False
        self.refuses: Callable[[str, str], bool] = lambda _method, _path: False

    async def cut(self, *, cut: bool = True) -> None:
        self.is_cut = cut
        await self.server.wake()

    def _check(self, method: str, path: str) -> None:
        if self.is_cut or self.server.down:
            raise ApiError(0, "Unreachable", "no answer")
        if self.refuses(method, path):
            raise ApiError(403, "Forbidden", "not allowed")

    async def get(self, path: str, **query: str | int) -> Raw:
        await asyncio.sleep(0.001)
        self._check("GET", path)
        if "limit" in query:
            items = [deepcopy(self.server.objects[one]) for one in self.server.select(path, query)]
            return {"metadata": {"resourceVersion": str(self.server.version)}, "items": items}
        if path not in self.server.objects:
            raise ApiError(404, "NotFound", path)
        return deepcopy(self.server.objects[path])

    async def create(self, path: str, body: Raw) -> Raw:
        await asyncio.sleep(0.001)
        self._check("POST", path)
        name = body["metadata"].get("name") or body["metadata"]["generateName"] + str(self.server.version)
        body = {**body, "metadata": {**body["metadata"], "name": name}}
        return deepcopy(await self.server.put(f"{path}/{name}", body))

    async def patch(self, path: str, body: Raw) -> Raw:
        """Merge into the status of an object, the only thing that speakers patch."""
        await asyncio.sleep(0.001)
        self._check("PATCH", path)
        path = path.removesuffix("/status")
        if path not in self.server.objects:
            raise ApiError(404, "NotFound", path)
        return deepcopy(await self.server.put(path, {**deepcopy(self.server.objects[path]), **deepcopy(body)}))

    async def replace(self, path: str, body: Raw) -> Raw:
        await asyncio.sleep(0.001)
        self._check("PUT", path)
        if path not in self.server.objects:
            raise ApiError(404, "NotFound", path)
        if self.server.objects[path]["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", path)
        return deepcopy(await self.server.put(path, body))

    @asynccontextmanager
    async def stream(self, path: str, **query: str | int) -> AsyncIterator[AsyncIterator[bytes]]:
        self._check("WATCH", path)
        yield self._events(path, query)

    async def _events(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[bytes]:
        position = int(query["resourceVersion"])
        if position < self.server.oldest:
            raise ApiError(410, "Expired", "too old")
        while True:
            for version, kind, changed, raw in [one for one in self.server.history if one[0] > position]:
                position = version
                if in_collection(changed, path) and is_selected(raw, query):
                    yield json.dumps({"type": kind, "object": raw}).encode()
            self._check("WATCH", path)
            async with self.server.changed:
                if position == self.server.version:
                    await self.server.changed.wait()
            await asyncio.sleep(0.002)
            self._check("WATCH", path)


class Segment:
    """Who announces what, from when to when."""

    def __init__(self) -> None:
        self.holders: dict[Address, set[str]] = defaultdict(set)
        self.history: list[tuple[float, Address, frozenset[str]]] = []
        self.announced_again: list[str] = []

    def set_desired(self, node: str, desired: Mapping[Address, Announcement]) -> None:
        for address in {*self.holders, *desired}:
            before = frozenset(self.holders[address])
            (self.holders[address].add if address in desired else self.holders[address].discard)(node)
            if before != self.holders[address]:
                now = asyncio.get_running_loop().time()
                self.history.append((now, address, frozenset(self.holders[address])))

    def holder(self, address: str) -> str | None:
        holders = self.holders[parse_address(address)]
        assert len(holders) < 2, f"{address} is held by {holders}"
        return next(iter(holders), None)

    def silent_seconds(self, address: str) -> float:
        """The longest time that nobody held it, once somebody had."""
        times = [(at, holders) for at, one, holders in self.history if one == parse_address(address)]
        times.append((asyncio.get_running_loop().time(), frozenset()))
        return max((times[i + 1][0] - at for i, (at, holders) in enumerate(times[:-1]) if not holders), default=0.0)


class SimulatedDriver:
    def __init__(self, node: str, segment: Segment) -> None:
        self.counts = FrameCounts()
        self.usual = ["eth0"]
        self.desired: Mapping[Address, Announcement] = {}
        self._node = node
        self._segment = segment
        self.breaks = False

    def set_desired(self, desired: Mapping[Address, Announcement]) -> None:
        if self.breaks:
            raise RuntimeError("the driver broke")
        self.desired = desired
        self._segment.set_desired(self._node, desired)

    def announce_again(self) -> None:
        self._segment.announced_again.append(self._node)

    def interfaces(self) -> tuple[Interface, ...]:
        return tuple(Interface(number, name, bytes(6)) for number, name in enumerate(self.usual, 2))

    def holdings(self) -> Iterator[Holding]:
        return iter(())


class Member:
    """A speaker on a node, as long as it runs."""

    def __init__(self, cluster: "Cluster", node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.connection = Connection(cluster.server)
        self.driver = SimulatedDriver(node, cluster.segment)
        self.metrics = SpeakerMetrics(CollectorRegistry(), "test")
        self.stop_event = asyncio.Event()
        settings = SpeakerSettings(node)
        identity = f"{node}/{cluster.runs}"
        self.speaker = Speaker(settings, identity, cast("KubeClient", self.connection), self.driver, self.metrics)
        self.task = asyncio.create_task(self.speaker.run(self.stop_event))

    async def kill(self) -> None:
        """End it as SIGKILL does: nothing is said, and the kernel takes the sockets away."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.cluster.segment.set_desired(self.node, {})

    def decisions(self) -> float:
        samples = self.metrics.registry.collect()
        return sum(
            sample.value for metric in samples for sample in metric.samples if sample.name.endswith("decisions_total")
        )


class Cluster:
    def __init__(self) -> None:
        self.server = ApiServer()
        self.segment = Segment()
        self.members: dict[str, Member] = {}
        self.runs = 0

    def start(self, node: str) -> Member:
        self.runs += 1
        self.members[node] = Member(self, node)
        return self.members[node]

    async def kill(self, node: str) -> None:
        await self.members.pop(node).kill()

    async def node(self, name: str, **metadata: Any) -> None:
        await self.server.put(f"/api/v1/nodes/{name}", {"metadata": {"name": name, **metadata}, "status": {}})

    async def pool(self, *ranges: str) -> None:
        body = {"metadata": {"name": "pool", "generation": 1}, "spec": {"addresses": list(ranges)}}
        await self.server.put(
            "/apis/baremetal-lb.io/v1/ipaddresspools/pool",
            {"apiVersion": "baremetal-lb.io/v1", "kind": "IPAddressPool", **body},
        )

    async def advertisement(self, **spec: Any) -> None:
        await self.server.put(
            "/apis/baremetal-lb.io/v1/l2advertisements/l2",
            {
                "apiVersion": "baremetal-lb.io/v1",
                "kind": "L2Advertisement",
                "metadata": {"name": "l2"},
                "spec": spec,
            },
        )

    async def service(
        self, name: str, *addresses: str, policy: str = "Cluster", vouched: bool = False, **spec: Any
    ) -> None:
        conditions = [{"type": "baremetal-lb.io/AddressAssigned", "status": "True"}] if vouched else []
        ingress = [{"ip": address} for address in addresses]
        await self.server.put(
            f"/api/v1/namespaces/default/services/{name}",
            {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy, "ports": [{"port": 80}], **spec},
                "status": {"loadBalancer": {"ingress": ingress}, "conditions": conditions},
            },
        )

    async def endpoints(self, service: str, *nodes: str) -> None:
        await self.server.put(
            f"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{service}-1",
            {
                "metadata": {
                    "name": f"{service}-1",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": service},
                },
                "endpoints": [{"addresses": ["10.244.0.9"], "nodeName": node} for node in nodes],
            },
        )

    def events(self) -> list[tuple[str, str]]:
        """The Events told so far: reason and message."""
        return [
            (raw["reason"], raw["message"])
            for path, raw in self.server.objects.items()
            if in_collection(path, "/api/v1/events")
        ]

    def lease(self, node: str) -> Raw:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/speaker-{node}"
        return self.server.objects[path]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three nodes, a pool of both families that is advertised everywhere, and a Service `web` in it; no speaker yet."""
    made = Cluster()
    for node in NODES:
        await made.node(node)
    await made.pool("192.0.2.0/24", "2001:db8:0:2::/64")
    await made.advertisement()
    await made.service("web", "192.0.2.100", "2001:db8:0:2::100")
    await made.endpoints("web", *NODES)
    yield made
    for member in list(made.members.values()):
        await member.kill()


@pytest.fixture
async def running(cluster: Cluster) -> Cluster:
    """The same with a speaker on every node, some seconds later."""
    for node in NODES:
        cluster.start(node)
    await asyncio.sleep(5.3)
    return cluster
