"""What our own resources are told, and that nothing is told twice."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import ConflictingHost, Surroundings
from baremetal_lb.controller.resource_loader import Resources
from baremetal_lb.controller.resource_publisher import ResourcePublisher
from baremetal_lb.events import Event
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings

POOL, CLAIM = "IPAddressPool", "IPAddressClaim"
COLLECTIONS = {"ipaddresspools": POOL, "ipaddressclaims": CLAIM}
NODE = Surroundings({ip_address("192.0.2.11"): "worker"})
HOST = ConflictingHost("02:00:00:00:00:99", "eth0", "n1")
SHOP = {"namespace": "web", "name": "shop"}


class Store:
    """The resources of ours that the API server has; statuses are merged into them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {POOL: {}, CLAIM: {}}
        self.patches: list[tuple[str, Mapping[str, Any]]] = []
        self.events: list[Event] = []

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        raise NotImplementedError

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.patches.append((path, body))
        _, _, _, _, plural, name, *_ = path.split("/")
        raw = self.objects[COLLECTIONS[plural]][name]
        raw = {
            **raw,
            "metadata": {**raw["metadata"], **body["metadata"]},
            "status": {**raw.get("status", {}), **body.get("status", {})},
        }
        self.objects[COLLECTIONS[plural]][name] = raw
        return raw

    def put(self, kind: str, name: str, **spec: Any) -> None:
        metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
        self.objects[kind][name] = {"metadata": metadata, "spec": spec}

    def resources(self, surroundings: Surroundings) -> Resources:
        raw = {kind: tuple(objects.values()) for kind, objects in self.objects.items()}
        return Resources(raw, *compile_config(raw[POOL], (), raw[CLAIM], surroundings))

    def condition(self, kind: str, name: str, aspect: str = "Ready") -> dict[str, Any]:
        conditions = self.objects[kind][name].get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == aspect), {})

    def told(self) -> list[tuple[str, str]]:
        return [(event.subject.name, event.reason.value) for event in self.events]


class World:
    """A publisher over a store and the ledger of an assigner."""

    def __init__(self, store: Store, surroundings: Surroundings = NODE) -> None:
        self.store = store
        self.surroundings = surroundings
        self.assigner = Assigner()
        self.assigner.start(self._resources().config)
        self.metrics = ControllerMetrics(CollectorRegistry(), "test")
        self.publisher = ResourcePublisher(
            store,
            self.assigner,
            ControllerSettings(publish_seconds=0),
            self.metrics,
            tell=store.events.append,
            reload=lambda: None,
        )

    async def publish(self) -> None:
        """Take in what the store has now, and tell what there is to tell."""
        resources = self._resources()
        self.assigner.set_config(resources.config)
        self.assigner.decide(100)
        self.publisher.take(resources)
        async with self._running():
            for _ in range(50):
                await asyncio.sleep(0)

    def service(self, namespace: str, name: str, *ingress: str) -> None:
        """Let the watch show a Service that has these addresses."""
        raw = {
            "metadata": {"namespace": namespace, "name": name, "uid": name, "resourceVersion": "1"},
            "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"]},
            "status": {"loadBalancer": {"ingress": [{"ip": one} for one in ingress]}},
        }
        view = parse_service(raw)
        self.assigner.service_changed(view.key, view, 0.0)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"baremetal_lb_{name}", labels)

    def _resources(self) -> Resources:
        return self.store.resources(self.surroundings)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        known = asyncio.Event()
        known.set()
        task = asyncio.create_task(self.publisher.run(known))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def store() -> Store:
    store = Store()
    store.put(POOL, "gold", addresses=["192.0.2.8/29", "2001:db8::/120"], excludedAddresses=["192.0.2.15/32"])
    return store


async def test_a_claim_is_told_that_its_address_is_kept_and_nothing_twice(store: Store) -> None:
    store.put(CLAIM, "printer", addresses=["192.0.2.10", "2001:db8::10"])
    world = World(store)

    await world.publish()
    told = len(store.patches)
    await world.publish()

    assert store.condition(CLAIM, "printer")["reason"] == "Reserved"
    assert len(store.patches) == told
    assert "printer" not in dict(store.told())


async def test_a_claim_becomes_bound_when_its_service_has_the_address(store: Store) -> None:
    store.put(CLAIM, "for-shop", addresses=["192.0.2.10"], service=SHOP)
    world = World(store)
    await world.publish()
    assert store.condition(CLAIM, "for-shop")["reason"] == "Reserved"

    world.service("web", "shop", "192.0.2.10")
    await world.publish()

    assert store.condition(CLAIM, "for-shop")["reason"] == "Bound"
    assert store.told()[-1] == ("for-shop", "Bound")


async def test_a_claim_is_told_who_else_has_its_address_until_it_is_free(store: Store) -> None:
    world = World(store)
    world.service("mail", "other", "192.0.2.10")
    await world.publish()
    store.put(CLAIM, "for-shop", addresses=["192.0.2.10"], service=SHOP)

    await world.publish()
    assert store.condition(CLAIM, "for-shop")["reason"] == "HeldByAnother"
    assert "mail/other" in store.condition(CLAIM, "for-shop")["message"]

    world.assigner.service_changed(next(iter(world.assigner.entries)), None, 0.0)
    await world.publish()
    assert store.condition(CLAIM, "for-shop")["reason"] == "Reserved"
    assert [reason for name, reason in store.told() if name == "for-shop"] == ["HeldByAnother", "Reserved"]


async def test_a_claim_without_a_chance_is_told_so(store: Store) -> None:
    store.put(CLAIM, "of-a-node", addresses=["192.0.2.11"])
    store.put(CLAIM, "invalid", addresses=["192.0.2.0/24"])

    await World(store).publish()

    assert [store.condition(CLAIM, name)["reason"] for name in ("of-a-node", "invalid")] == ["Conflict", "InvalidSpec"]
    assert {store.condition(CLAIM, name)["status"] for name in ("of-a-node", "invalid")} == {"False"}


@pytest.mark.parametrize(
    ("address", "is_given"),
    [
        pytest.param("192.0.2.10", True, id="an address of a pool"),
        pytest.param("192.0.2.15", False, id="an address that its pool excludes"),
        pytest.param("2001:db8:1::1", False, id="an address of no pool"),
    ],
)
async def test_a_claim_tells_whether_a_pool_gives(store: Store, address: str, is_given: bool) -> None:
    store.put(CLAIM, "for-shop", addresses=[address], service=SHOP)

    await World(store).publish()

    assert ("no pool gives" in store.condition(CLAIM, "for-shop")["message"]) is not is_given


async def test_a_pool_is_warned_of_nodes_as_long_as_it_has_their_addresses(store: Store) -> None:
    world = World(store)
    await world.publish()
    assert "192.0.2.11 (node worker)" in store.condition(POOL, "gold", "OverlapsCluster")["message"]
    assert store.condition(POOL, "gold")["status"] == "True"
    assert store.told() == [("gold", "OverlapsCluster")]

    world.surroundings = Surroundings()
    await world.publish()
    assert store.condition(POOL, "gold", "OverlapsCluster") == {}


async def test_what_is_reserved_is_counted_where_it_is_not_held(store: Store) -> None:
    store.put(CLAIM, "for-shop", addresses=["192.0.2.10", "2001:db8::10"], service=SHOP)
    world = World(store)
    await world.publish()
    status = store.objects[POOL]["gold"]["status"]
    assert (status["totalIPv4"], status["reservedIPv4"], status["availableIPv4"]) == (7, 2, 5)
    assert (status["reservedIPv6"], status["assignedIPv6"]) == (1, 0)

    world.service("web", "shop", "192.0.2.10")
    await world.publish()
    status = store.objects[POOL]["gold"]["status"]
    assert (status["assignedIPv4"], status["reservedIPv4"], status["availableIPv4"]) == (1, 1, 5)
    assert world.metric("pool_addresses_reserved", pool="gold", family="IPv4") == 1


CONFLICTED = pytest.mark.parametrize(
    ("text", "family"),
    [pytest.param("192.0.2.9", "IPv4", id="IPv4"), pytest.param("2001:db8::9", "IPv6", id="IPv6")],
)


@CONFLICTED
async def test_an_address_that_a_foreign_host_uses_goes_into_quarantine_and_comes_out(
    store: Store, text: str, family: str
) -> None:
    store.objects[POOL]["gold"]["spec"]["conflictPolicy"] = "Quarantine"
    world = World(store)
    await world.publish()
    world.publisher.take_conflicts({ip_address(text): HOST})
    await world.publish()
    entry = {"address": text, "mac": HOST.mac, "node": "n1", "interface": "eth0"}
    assert store.objects[POOL]["gold"]["status"]["quarantined"] == [entry]
    assert f"{HOST} uses {text}" in store.condition(POOL, "gold", "AddressConflict")["message"]
    assert store.told()[-1] == ("gold", "AddressConflict")
    await world.publish()
    assert world.metric("pool_addresses_quarantined", pool="gold", family=family) == 1

    written = len(store.patches)
    await world.publish()
    assert len(store.patches) == written, "a conflict that goes on is no news"

    world.publisher.take_conflicts({})
    await world.publish()
    (ending,) = store.objects[POOL]["gold"]["status"]["quarantined"]
    assert ending == {**entry, "until": ending["until"]}
    assert store.condition(POOL, "gold", "AddressConflict") == {}

    store.objects[POOL]["gold"]["status"]["quarantined"] = [{**entry, "until": "2026-01-01T00:00:00Z"}]
    await world.publish()
    assert store.objects[POOL]["gold"]["status"]["quarantined"] == []


@CONFLICTED
async def test_a_conflict_is_told_of_whatever_the_policy(store: Store, text: str, family: str) -> None:
    world = World(store)
    world.publisher.take_conflicts({ip_address(text): HOST, ip_address("198.51.100.1"): HOST})

    await world.publish()

    assert store.condition(POOL, "gold", "AddressConflict")["message"] == f"{HOST} uses {text}"
    assert "quarantined" not in store.objects[POOL]["gold"]["status"]
    assert world.metric("pool_addresses_quarantined", pool="gold", family=family) == 0


async def test_the_quarantine_of_a_pool_that_is_not_in_force_ends(store: Store) -> None:
    store.put(POOL, "younger", addresses=["192.0.2.8/29"], conflictPolicy="Quarantine")
    world = World(store)
    world.publisher.take_conflicts({ip_address("192.0.2.9"): HOST})

    await world.publish()

    assert "quarantined" not in store.objects[POOL]["younger"]["status"]
    assert store.condition(POOL, "younger", "AddressConflict") == {}
