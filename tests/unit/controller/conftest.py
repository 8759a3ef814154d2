"""A simulated API server, and virtual time for the tests of several replicas (and for no others: some use sockets)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import pytest

from baremetal_lb.kube.client import MERGE_PATCH, ApiError, KubeClient
from tests.virtual_time import VirtualLoop

SERVICES, POOLS = "/api/v1/services", "/apis/baremetal-lb.io/v1/ipaddresspools"
ADVERTISEMENTS = "/apis/baremetal-lb.io/v1/l2advertisements"
SPEAKERS = "/apis/baremetal-lb.io/v1/speakerstatuses"
CLAIMS = "/apis/baremetal-lb.io/v1/ipaddressclaims"
NAMESPACES, NODES = "/api/v1/namespaces", "/api/v1/nodes"
SERVICE_CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases"
CONDITION = "baremetal-lb.io/AddressAssigned"
IN_VIRTUAL_TIME = {"test_replicas"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual time": VirtualLoop} if item.path.stem in IN_VIRTUAL_TIME else {"real time": asyncio.new_event_loop}


class SimulatedApi(KubeClient):
    """Objects with versions, merge patches that may conflict, streams that may break, a history that may be lost.

    There is a Lease that was let go. Whenever two Services show one address, that is a violation.
    """

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            path: {}
            for path in (SERVICES, POOLS, ADVERTISEMENTS, CLAIMS, SPEAKERS, NODES, SERVICE_CIDRS, NAMESPACES, LEASES)
        }
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.oldest = 0
        self.events: list[Mapping[str, Any]] = []
        self.patches: list[tuple[str, Mapping[str, Any]]] = []
        self.conflicts = 0
        self.failures: list[ApiError] = []
        self.before_patch: Callable[[], None] = lambda: None
        self.is_reachable = True
        self.is_late = False
        self.changed = asyncio.Event()
        self.changes = 0
        self.on_resource: Callable[[], object] = lambda: None
        self.violations: list[str] = []
        self.put(LEASES, {"metadata": {"name": "controller"}, "spec": {"acquireTime": "once"}})

    async def get(self, path: str, **_query: str | int) -> dict[str, Any]:
        self._reach()
        items = deepcopy(list(self.objects[path].values()))
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._reach()
        if path == LEASES:
            if body["metadata"]["name"] in self.objects[LEASES]:
                raise ApiError(409, "AlreadyExists", "there is one")
            return self.put(LEASES, deepcopy(dict(body)))
        assert path.endswith("/events")
        self.events.append(body)
        self._wake()
        return {}

    async def patch(
        self, path: str, body: Mapping[str, Any] | list[Any], *, content_type: str = MERGE_PATCH
    ) -> dict[str, Any]:
        self._reach()
        assert isinstance(body, Mapping)
        assert content_type == MERGE_PATCH
        collection, name, part = _parse(path)
        if collection != LEASES:
            self.before_patch()
            await asyncio.sleep(0)
            self._reach()
            if self.failures:
                raise self.failures.pop()
        raw = deepcopy(self.objects[collection].get(name))
        if raw is None:
            raise ApiError(404, "NotFound", f"{name} not found")
        if body["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"]:
            self.conflicts += collection != LEASES
            raise ApiError(409, "Conflict", "the object has been modified")
        if collection == LEASES:
            raw["spec"] = {**raw["spec"], **body["spec"]}
            return self.put(collection, raw)
        self.patches.append((path, body))
        if part == "status":
            raw["status"] = {**raw.get("status", {}), **body.get("status", {})}
            annotations = {**raw["metadata"].get("annotations", {}), **body["metadata"].get("annotations", {})}
            raw["metadata"]["annotations"] = {name: value for name, value in annotations.items() if value is not None}
        else:
            raw["metadata"] = {**raw["metadata"], **body["metadata"]}
        if "deletionTimestamp" in raw["metadata"] and not raw["metadata"].get("finalizers"):
            self.remove(collection, name)
            return raw
        return self.put(collection, raw)

    @asynccontextmanager
    async def stream(self, path: str, **query: str | int) -> AsyncIterator[AsyncIterator[bytes]]:
        self._reach()
        yield self._lines(path, int(query["resourceVersion"]))

    async def _lines(self, path: str, position: int) -> AsyncIterator[bytes]:
        while True:
            if position < self.oldest:
                raise ApiError(410, "Expired", "too old resource version")
            seen = self.changes
            for version, event in [] if self.is_late else list(self.history):
                if version > position and event["path"] == path:
                    position = version
                    yield json.dumps(event).encode()
            while seen == self.changes:
                self.changed.clear()
                await self.changed.wait()
            self._reach()

    def put(self, collection: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Store an object, as any client of the API server may."""
        name = raw["metadata"]["name"]
        kind = "MODIFIED" if name in self.objects[collection] else "ADDED"
        self._record(collection, kind, raw)
        self.objects[collection][name] = raw
        if collection == SERVICES:
            shown = Counter(one for service in self.objects[SERVICES] for one in self.ingress(service))
            self.violations += [f"{one} at {self.version}" for one, count in shown.items() if count > 1]
        return deepcopy(raw)

    def remove(self, collection: str, name: str) -> None:
        self._record(collection, "DELETED", self.objects[collection].pop(name))

    def cut_off(self) -> None:
        self.is_reachable = False
        self._wake()

    def come_back(self) -> None:
        """Be there again, with the history forgotten."""
        self.oldest = self.version
        self.is_reachable = True

    def ingress(self, name: str) -> list[str]:
        raw = self.objects[SERVICES].get(name, {})
        return [one["ip"] for one in raw.get("status", {}).get("loadBalancer", {}).get("ingress", [])]

    def condition(self, name: str, kind: str = CONDITION, collection: str = SERVICES) -> dict[str, Any]:
        conditions = self.objects[collection][name].get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def told(self, name: str) -> list[tuple[str, str]]:
        return [(one["type"], one["reason"]) for one in self.events if one["involvedObject"]["name"] == name]

    def _record(self, collection: str, kind: str, raw: dict[str, Any]) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, {"type": kind, "object": deepcopy(raw), "path": collection}))
        if collection in {POOLS, CLAIMS, ADVERTISEMENTS}:
            self.on_resource()
        self._wake()

    def _wake(self) -> None:
        self.changes += 1
        self.changed.set()

    def _reach(self) -> None:
        if not self.is_reachable:
            raise ApiError(0, "Unreachable", "connection refused")


def _parse(path: str) -> tuple[str, str, str]:
    """Tell collection, name and subresource; Services are kept as if they had no namespace."""
    parts = path.split("/")
    if parts[1] == "api":
        return SERVICES, parts[6], parts[7]
    if path.startswith(LEASES):
        return LEASES, path.rpartition("/")[2], ""
    return "/".join(parts[:5]), parts[5], parts[6] if len(parts) > 6 else ""


@pytest.fixture
async def api() -> SimulatedApi:
    return SimulatedApi()
