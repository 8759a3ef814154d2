"""A small cluster in one process and in virtual time: an API server, a segment, and real speakers between them."""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, Literal, cast

import pytest
from prometheus_client import CollectorRegistry

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.election.io.driver import UNKNOWN, PeerView
from baremetal_lb.election.messages import NO_FLAG, Flag
from baremetal_lb.election.peer import PeerState
from baremetal_lb.kube.client import MERGE_PATCH, STRATEGIC_MERGE_PATCH, ApiError, KubeClient
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.io import FrameCounts
from baremetal_lb.l2.segment import Announce, Ask, Began, Ended, SegmentEvent, TakeoverEffect, Wish
from baremetal_lb.l2.takeover import Takeover
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.settings import SYSTEM_NAMESPACE, SpeakerSettings
from baremetal_lb.speaker.drivers import Drivers
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
    if is_equality and labels.get(name) != value:
        return False
    field, _, wanted = query.get("fieldSelector", "").partition("=")
    return field != "metadata.name" or bool(raw["metadata"]["name"] == wanted)


def with_conditions(raw: Raw, patch: Raw) -> Raw:
    """Merge conditions by their type; another Service of the same name has another uid."""
    if patch["metadata"]["uid"] != raw["metadata"]["uid"]:
        raise ApiError(409, "Conflict", "the uid is another")
    status = raw["status"]
    merged = {one["type"]: one for one in (*status["conditions"], *patch["status"]["conditions"])}
    return {**deepcopy(raw), "status": {**deepcopy(status), "conditions": list(merged.values())}}


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

    async def patch(self, path: str, body: Raw, *, content_type: str = MERGE_PATCH) -> Raw:
        """Merge into an object as far as speakers do; a resourceVersion guards against a lost update."""
        await asyncio.sleep(0.001)
        self._check("PATCH", path)
        path = path.removesuffix("/status")
        if path not in self.server.objects:
            raise ApiError(404, "NotFound", path)
        if content_type == STRATEGIC_MERGE_PATCH:
            return deepcopy(await self.server.put(path, with_conditions(self.server.objects[path], body)))
        before, metadata = deepcopy(self.server.objects[path]), body.get("metadata", {})
        version = before["metadata"]["resourceVersion"]
        if metadata.get("resourceVersion", version) != version:
            raise ApiError(409, "Conflict", path)
        merged = {**before, **deepcopy(body), "metadata": before["metadata"] | metadata}
        return deepcopy(await self.server.put(path, merged))

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


Hear = Literal["answer_heard", "announcement_heard", "probe_heard"]


class Segment:
    """An Ethernet on which stations ask, answer and announce, and who answered for what, from when to when."""

    def __init__(self) -> None:
        self.stations: dict[str, SimulatedDriver] = {}
        self.cut_off: set[str] = set()
        """The nodes whose switch port is dead, though they don't know."""
        self.foreign: dict[Address, bytes] = {}
        """Addresses that a host has which is no node."""
        self.holders: dict[Address, set[str]] = defaultdict(set)
        self.history: list[tuple[float, Address, frozenset[str]]] = []
        self.asked: list[tuple[float, str, Address]] = []
        self.announced: list[tuple[float, str, Address]] = []
        self.announced_again: list[str] = []

    def changed(self, node: str, address: Address, *, holds: bool) -> None:
        (self.holders[address].add if holds else self.holders[address].discard)(node)
        self.history.append((asyncio.get_running_loop().time(), address, frozenset(self.holders[address])))

    def send(self, sender: "SimulatedDriver", kind: Hear, address: Address) -> None:
        """Let the others hear it, and the sender of a question a foreign host that has the address."""
        if sender.node in self.cut_off:
            return
        for node, other in self.stations.items():
            if other is not sender and node not in self.cut_off:
                asyncio.get_running_loop().call_later(0.001, other.hear, kind, address, sender)
        if kind == "probe_heard" and address in self.foreign:
            asyncio.get_running_loop().call_later(
                0.002, sender.hear_mac, "answer_heard", address, self.foreign[address]
            )

    def holder(self, address: str) -> str | None:
        holders = self.holders[parse_address(address)]
        assert len(holders) < 2, f"{address} is held by {holders}"
        return next(iter(holders), None)

    def silent_seconds(self, address: str) -> float:
        """The longest time that nobody held it, once somebody had."""
        return self._longest(address, lambda holders: not holders)

    def contested_seconds(self, address: str) -> float:
        """The longest time that more than one held it."""
        return self._longest(address, lambda holders: len(holders) > 1)

    def _longest(self, address: str, counts: Callable[[frozenset[str]], bool]) -> float:
        """Add up neighbouring times, for the holders may change meanwhile."""
        longest, began = 0.0, None
        now = asyncio.get_running_loop().time()
        for at, one, holders in [*self.history, (now, parse_address(address), None)]:
            if one != parse_address(address):
                continue
            if began is not None:
                longest = max(longest, at - began)
            if holders is None or not counts(holders):
                began = None
            elif began is None:
                began = at
        return longest


class SimulatedDriver:
    """The real takeover machine on the simulated Ethernet."""

    def __init__(self, node: str, segment: Segment, member: "Member") -> None:
        self.counts = FrameCounts()
        self.node = node
        self.mac = bytes([2, 0, 0, 0, 0, int(node[-1])])
        self.wishes: Mapping[Address, Wish] = {}
        self.breaks = False
        self._segment = segment
        self._member = member
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._takeover = Takeover(self._outranks)
        self._interfaces: tuple[Interface, ...] = ()
        segment.stations[node] = self
        self.offer("eth0")

    def offer(self, *names: str) -> None:
        """Have these interfaces from now on."""
        self._interfaces = tuple(Interface(number, name, self.mac) for number, name in enumerate(names, 2))
        self._apply(self._takeover.interfaces_changed({one.index: one for one in self._interfaces}, self._loop.time()))

    def set_wishes(self, wishes: Mapping[Address, Wish]) -> None:
        if self.breaks:
            raise RuntimeError("the driver broke")
        self.wishes = dict(wishes)
        self._apply(self._takeover.set_wishes(wishes, self._loop.time()))

    def set_speakers(self, speakers: Mapping[bytes, str]) -> None:
        self._apply(self._takeover.set_speakers(speakers, self._loop.time()))

    def ask_again(self, addresses: Collection[Address] | None = None) -> None:
        self._apply(self._takeover.ask_again(addresses, self._loop.time()))

    def announce_again(self) -> None:
        self._segment.announced_again.append(self.node)
        for address in self._takeover.held():
            self._segment.send(self, "announcement_heard", address)

    def interfaces(self) -> tuple[Interface, ...]:
        return self._interfaces

    def holdings(self) -> Iterator[Holding]:
        return iter(())

    def _outranks(self, address: Address, node: str) -> bool:
        return self._member.speaker.outranks(address, node)

    def hear(self, kind: Hear, address: Address, sender: "SimulatedDriver") -> None:
        if kind == "probe_heard" and self._takeover.holds(address) and self._interfaces:
            self._loop.call_later(0.001, sender.hear_mac, "answer_heard", address, self.mac)
        self.hear_mac(kind, address, sender.mac)

    def hear_mac(self, kind: Hear, address: Address, mac: bytes) -> None:
        if self._interfaces and self._segment.stations.get(self.node) is self:
            self._apply(getattr(self._takeover, kind)(address, mac, self._interfaces[0].index, self._loop.time()))

    def close(self) -> None:
        """The kernel takes the sockets away."""
        if self._timer is not None:
            self._timer.cancel()
        if self._segment.stations.get(self.node) is self:
            del self._segment.stations[self.node]
        for address in list(self._takeover.held()):
            self._segment.changed(self.node, address, holds=False)

    def _apply(self, effects: Iterable[TakeoverEffect]) -> None:
        events: list[SegmentEvent] = []
        for effect in effects:
            match effect:
                case Ask(address=address):
                    self._segment.asked.append((self._loop.time(), self.node, address))
                    self._segment.send(self, "probe_heard", address)
                case Began(address=address) | Announce(address=address):
                    self._segment.announced.append((self._loop.time(), self.node, address))
                    self._segment.send(self, "announcement_heard", address)
            if isinstance(effect, Began | Ended):
                self._segment.changed(self.node, effect.address, holds=isinstance(effect, Began))
            if isinstance(effect, SegmentEvent):
                events.append(effect)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._takeover.next_deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._tick)
        if events:
            self._member.speaker.segment_changed(events)

    def _tick(self) -> None:
        self._apply(self._takeover.tick(self._loop.time()))


class BeatNetwork:
    """Who beats, and who hears whom."""

    def __init__(self) -> None:
        self.running: dict[str, SimulatedBeats] = {}
        self.cut_off: set[str] = set()

    def other_side(self, one: "SimulatedBeats", node: str) -> "SimulatedBeats | None":
        """Give the node's beats if the two hear each other."""
        other = self.running.get(node)
        if other is None or {one.node, node} & self.cut_off or not one.keys.items() & other.keys.items():
            return None
        return other


class SimulatedBeats:
    """The beats of one node."""

    def __init__(self, node: str, network: BeatNetwork, member: "Member") -> None:
        self.counts: Counter[str] = Counter()
        self.restarts = 0
        self.has_reported = False
        self.node = node
        self.keys: Mapping[int, bytes] = {}
        self.flags = NO_FLAG
        self.peers: Mapping[str, Address] = {}
        self._told_at: dict[str, float] = {}
        self._views: dict[str, PeerView] = {}
        self._network = network
        self._member = member

    def tell(self, peers: Mapping[str, Address], keys: Mapping[int, bytes], flags: Flag = NO_FLAG) -> None:
        now = asyncio.get_running_loop().time()
        self.peers, self.keys, self.flags = peers, keys, flags
        self._told_at = {node: self._told_at.get(node, now) for node in peers}
        self._views = {node: view for node, view in self._views.items() if node in peers}

    def view_of(self, node: str) -> PeerView:
        return self._views.get(node, UNKNOWN)

    async def run(self) -> None:
        self._network.running[self.node] = self
        try:
            while True:
                await asyncio.sleep(0.025)
                self.has_reported = True
                self._judge(asyncio.get_running_loop().time())
        finally:
            hearing = [other for node in self.peers if (other := self._network.other_side(self, node))]
            if self._network.running.get(self.node) is self:
                del self._network.running[self.node]
            for other in hearing:
                other.see(self.node, PeerState.UNHEALTHY)

    def see(self, node: str, state: PeerState) -> None:
        if node in self.peers and self.view_of(node).state is not state:
            self._views[node] = PeerView(state, self.view_of(node).heard_at)
            self._member.speaker.peers_changed({node})

    def _judge(self, now: float) -> None:
        for node in self.peers:
            view, other = self.view_of(node), self._network.other_side(self, node)
            if other is not None:
                self._views[node] = PeerView(view.state, now)
                self.see(node, PeerState.LEAVING if Flag.LEAVING in other.flags else PeerState.ALIVE)
            elif self.keys and now > (self._told_at[node] + 1.0 if view.heard_at is None else view.heard_at + 0.325):
                self.see(node, PeerState.SILENT)


class Member:
    """A speaker on a node, as long as it runs."""

    def __init__(self, cluster: "Cluster", node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.connection = Connection(cluster.server)
        self.driver = SimulatedDriver(node, cluster.segment, self)
        self.beats = SimulatedBeats(node, cluster.beats, self)
        self.metrics = SpeakerMetrics(CollectorRegistry(), "test")
        self.stop_event = asyncio.Event()
        settings = SpeakerSettings(node)
        identity = f"{node}/{cluster.runs}"
        drivers = Drivers(self.driver, self.beats)
        self.speaker = Speaker(settings, identity, cast("KubeClient", self.connection), drivers, self.metrics)
        self.task = asyncio.create_task(self.speaker.run(self.stop_event))

    async def kill(self) -> None:
        """End it as SIGKILL does: only its beat process has a last word, and the kernel takes the sockets away."""
        self.driver.close()
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def decisions(self) -> float:
        samples = self.metrics.registry.collect()
        return sum(
            sample.value for metric in samples for sample in metric.samples if sample.name.endswith("decisions_total")
        )


class Cluster:
    def __init__(self) -> None:
        self.server = ApiServer()
        self.segment = Segment()
        self.beats = BeatNetwork()
        self.members: dict[str, Member] = {}
        self.runs = 0

    def start(self, node: str) -> Member:
        self.runs += 1
        self.members[node] = Member(self, node)
        return self.members[node]

    async def kill(self, node: str) -> None:
        await self.members.pop(node).kill()

    async def lose(self, node: str) -> None:
        """The node is gone, without a last word."""
        self.beats.cut_off.add(node)
        await self.kill(node)
        self.beats.cut_off.discard(node)

    def cut_off(self, *nodes: str) -> None:
        """The switch carries nothing for these nodes and no others: no question, no beat. They see their link up."""
        self.segment.cut_off, self.beats.cut_off = set(nodes), set(nodes)

    def stand_still(self, seconds: float) -> None:
        """Nobody gets to run for so long."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.stand_still(seconds)

    async def node(self, name: str, **metadata: Any) -> None:
        addresses = [{"type": "InternalIP", "address": f"10.0.0.{name[-1]}"}]
        body = {"metadata": {"name": name, **metadata}, "status": {"addresses": addresses}}
        await self.server.put(f"/api/v1/nodes/{name}", body)

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
    await made.server.put(
        f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/speaker-beats", {"metadata": {"name": "speaker-beats"}}
    )
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
