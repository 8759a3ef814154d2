"""A small cluster without a network: objects as users write them, and the controller's machine that answers them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address, family_of
from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.entry import Entry, our_condition
from baremetal_lb.cluster.namespace import parse_namespace
from baremetal_lb.cluster.service import ServiceKey, parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Config, Surroundings
from baremetal_lb.status import says_something_new, service_patch

Raw = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
NETWORKS = {"IPv4": "192.0.2.0", "IPv6": "2001:db8::"}
FROM_POOL = "baremetal-lb.io/from-pool"


class Cluster:
    """Everything in it has one family, or both in step: then a number stands for one address of each.

    What is written reaches the controller at once; what that decides, and writes, waits for `settle`.
    """

    def __init__(self, *families: str) -> None:
        self.families = families
        self.services: dict[ServiceKey, Raw] = {}
        self.namespaces: dict[str, Raw] = {}
        self.pools: dict[str, Raw] = {}
        self.claims: dict[str, Raw] = {}
        self.nodes: dict[Address, str] = {}
        self.refuses_writes_to: set[ServiceKey] = set()
        self.late: list[tuple[ServiceKey, Raw]] = []
        self.writes = 0
        self.events: list[tuple[str, str]] = []
        """Name and reason of what a Service's user was told."""
        self._queue: list[Entry] = []
        self._version = 0
        self._ticks = 0
        self.assigner = Assigner()
        self.assigner.start(Config())

    def addresses(self, *numbers: int) -> list[str]:
        """One address of each family for each number."""
        return [str(ip_address(NETWORKS[family]) + number) for number in numbers for family in self.families]

    def block(self, first: int, last: int) -> list[str]:
        """The entries of a pool."""
        ends = zip(self.addresses(first), self.addresses(last), strict=True)
        return [f"{one}-{other}" for one, other in ends]

    def pool(self, name: str, first: int, last: int, **spec: Any) -> None:
        known = self.pools.get(name) or {"metadata": self._metadata(name)}
        self.pools[name] = {**known, "spec": {"addresses": self.block(first, last), **spec}}
        self.configure()

    def delete_pool(self, name: str, *, drains: bool = False) -> None:
        """Let it be gone, or wait for its finalizer."""
        if drains:
            self.pools[name]["metadata"]["deletionTimestamp"] = START.isoformat()
        else:
            del self.pools[name]
        self.configure()

    def claim(self, name: str, *numbers: int, service: str | None = None) -> None:
        spec: Raw = {"addresses": self.addresses(*numbers)}
        if service is not None:
            key = key_of(service)
            spec["service"] = {"namespace": key.namespace, "name": key.name}
        self.claims[name] = {"metadata": self._metadata(name), "spec": spec}
        self.configure()

    def node(self, name: str, number: int) -> None:
        self.nodes |= {ip_address(text): name for text in self.addresses(number)}
        self.configure()

    def namespace(self, name: str, quota: str | None = None, **labels: str) -> None:
        annotations = {} if quota is None else {"baremetal-lb.io/address-quota": quota}
        self.namespaces[name] = {"metadata": {"name": name, "labels": labels, "annotations": annotations}}
        self.assigner.namespace_changed(name, parse_namespace(self.namespaces[name]))

    def service(
        self,
        name: str,
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        port: int = 80,
        **spec: Any,
    ) -> None:
        """Write a Service, or write it anew: its status and age stay."""
        key = key_of(name)
        raw = deepcopy(self.services.get(key)) or {"metadata": self._metadata(key.name) | {"namespace": key.namespace}}
        noted = {one: text for one, text in raw["metadata"].get("annotations", {}).items() if one == FROM_POOL}
        raw["metadata"] |= {"annotations": {**(annotations or {}), **noted}, "labels": dict(labels or {})}
        raw["spec"] = {
            "type": "LoadBalancer",
            "ipFamilies": list(self.families),
            "ipFamilyPolicy": "RequireDualStack" if len(self.families) > 1 else "SingleStack",
            "clusterIPs": ["10.96.0.9"],
            "ports": [{"port": port}],
            "selector": {"app": "x"},
            **spec,
        }
        self._store(key, raw)

    def wants(self, name: str, *numbers: int, **more: Any) -> None:
        """Write a Service that asks for these addresses."""
        self.service(name, {"baremetal-lb.io/addresses": ",".join(self.addresses(*numbers))}, **more)

    def status(self, name: str, *numbers: int, conditions: tuple[Raw, ...] | None = None) -> None:
        """Let another controller write the addresses of a Service."""
        raw = deepcopy(self.services[key_of(name)])
        status = raw.setdefault("status", {})
        status["loadBalancer"] = {"ingress": [{"ip": text} for text in self.addresses(*numbers)]}
        if conditions is not None:
            status["conditions"] = list(conditions)
        self._store(key_of(name), raw)

    def store_status(self, name: str, status: Raw) -> None:
        """Let another controller write the whole status."""
        self._store(key_of(name), {**deepcopy(self.services[key_of(name)]), "status": status})

    def annotate(self, name: str, **annotations: str) -> None:
        """Let the annotation on the status be what it says here (`from_pool`)."""
        raw = deepcopy(self.services[key_of(name)])
        raw["metadata"]["annotations"] |= {FROM_POOL: annotations["from_pool"]}
        self._store(key_of(name), raw)

    def delete(self, name: str) -> None:
        del self.services[key_of(name)]
        self.assigner.service_changed(key_of(name), None, 0.0)

    def begin_deletion(self, name: str) -> None:
        """Let it wait for a finalizer."""
        raw = deepcopy(self.services[key_of(name)])
        raw["metadata"]["deletionTimestamp"] = START.isoformat()
        self._store(key_of(name), raw)

    def conflict(self, *numbers: int) -> None:
        """Let a foreign host use just these addresses, and every pool with the policy for it quarantine them."""
        host = {"mac": "02:00:00:00:00:99", "node": "n1", "interface": "eth0"}
        for raw in self.pools.values():
            raw["status"] = {"quarantined": [{"address": text, **host} for text in self.addresses(*numbers)]}
        self.configure()

    def configure(self) -> None:
        self.assigner.set_config(self._config())

    def restart(self, *, fence: bool = False) -> None:
        """Let another controller begin, which knows what the API server knows."""
        self.assigner = Assigner()
        self._queue.clear()
        for name, raw in self.namespaces.items():
            self.assigner.namespace_changed(name, parse_namespace(raw))
        for key, raw in self.services.items():
            self.assigner.service_changed(key, parse_service(raw), 0.0)
        self.start(fence=fence)

    def start(self, *, fence: bool = False) -> None:
        """Let the controller lead (again)."""
        self.assigner.start(self._config(), fence=fence)

    def decide(self) -> None:
        """Decide on everything; what must be written waits."""
        while entries := self.assigner.decide(1000):
            self._queue += entries
            self.assigner.check_invariants()

    def settle(self) -> None:
        """Let everything be decided and written; then to decide on it all once more must change nothing."""
        self._turn()
        outcomes, movable, writes = self._outcomes(), self._movable(), self.writes
        self.configure()
        self._turn()
        assert self._outcomes() == outcomes, "something that happened was not looked at"
        assert self._movable() <= movable, "somebody could move and was not told"
        assert self.writes == writes, "a steady state was written again"

    def move_one(self) -> str | None:
        """Let the turn of one Service to move come; return its name if it did."""
        entry = self.assigner.move_one()
        if entry is None:
            return None
        has_moved = set(entry.addresses) != set(entry.view.ingress)
        self._write(entry)
        self.settle()
        return entry.key.name if has_moved else None

    def send_late(self) -> None:
        """Decide, let the turn of one to move come, and let what is written then be on its way for long."""
        for entry in (*self.assigner.decide(1000), self.assigner.move_one()):
            if entry and (patch := service_patch(entry.view, entry.outcome, START)):
                self.late.append((entry.key, patch))

    def let_late_writes_arrive(self) -> list[bool]:
        """Tell of each whether the API server took it."""
        late, self.late = self.late, []
        return [self._apply(key, patch) for key, patch in late]

    def has(self, name: str) -> list[int]:
        """The numbers of the addresses that a status shows, of every family the same."""
        raw = self.services[key_of(name)]
        shown = parse_service(raw).ingress
        by_family = [
            [int(one) - int(ip_address(NETWORKS[family])) for one in shown if family_of(one) == family]
            for family in self.families
        ]
        assert all(numbers == by_family[0] for numbers in by_family), by_family
        return by_family[0]

    def told(self, name: str) -> str:
        """The reason in a Service's condition."""
        return str(our_condition(parse_service(self.services[key_of(name)])).get("reason", ""))

    def message(self, name: str) -> str:
        return str(our_condition(parse_service(self.services[key_of(name)])).get("message", ""))

    def from_pool(self, name: str) -> str | None:
        annotations: Mapping[str, str] = self.services[key_of(name)]["metadata"]["annotations"]
        return annotations.get(FROM_POOL)

    def _turn(self) -> None:
        self.decide()
        while self._queue:
            self._write(self._queue.pop(0))
            self.decide()

    def _outcomes(self) -> Mapping[ServiceKey, Outcome | None]:
        """Leave out who may move: it is looked at once more when the turn comes."""
        return {
            key: replace(entry.outcome, should_move=False) if isinstance(entry.outcome, Allocation) else entry.outcome
            for key, entry in self.assigner.entries.items()
        }

    def _movable(self) -> set[ServiceKey]:
        return {
            key
            for key, entry in self.assigner.entries.items()
            if isinstance(entry.outcome, Allocation) and entry.outcome.should_move
        }

    def _write(self, entry: Entry) -> None:
        patch = service_patch(entry.view, entry.outcome, START)
        if patch is None or self.assigner.entries.get(entry.key) is not entry:
            return
        if not entry.is_settled or not self.assigner.is_decided(entry):
            return
        self.assigner.write_begun(entry)
        if entry.key in self.refuses_writes_to:
            return
        view, outcome, lost = entry.view, entry.outcome, entry.lost
        assert self._apply(entry.key, patch)
        self.writes += 1
        self.assigner.write_ended(entry, self._version)
        if lost:
            self.events.append((entry.key.name, lost.reason))
        if outcome and says_something_new(view, outcome, lost):
            self.events.append((entry.key.name, outcome.reason))

    def _apply(self, key: ServiceKey, patch: Mapping[str, Any]) -> bool:
        """Do what the API server does with a patch of the status."""
        raw = deepcopy(self.services.get(key))
        if raw is None or raw["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            return False
        raw["status"] = {**raw.get("status", {}), **patch["status"]}
        annotations = raw["metadata"].get("annotations", {}) | patch["metadata"].get("annotations", {})
        raw["metadata"]["annotations"] = {name: text for name, text in annotations.items() if text is not None}
        self._store(key, raw)
        return True

    def _store(self, key: ServiceKey, raw: Raw) -> None:
        self._version += 1
        raw["metadata"]["resourceVersion"] = str(self._version)
        self.services[key] = raw
        self.assigner.service_changed(key, parse_service(raw), 0.0)

    def _metadata(self, name: str) -> Raw:
        self._ticks += 1
        created = START + timedelta(seconds=self._ticks)
        return {"name": name, "uid": f"{name}-{self._ticks}", "creationTimestamp": created.isoformat()}

    def _config(self) -> Config:
        surroundings = Surroundings(self.nodes)
        config, _ = compile_config(self.pools.values(), [], self.claims.values(), surroundings)
        return config


def key_of(name: str) -> ServiceKey:
    """`web`, or `mail/web` where the namespace is not `shop`."""
    namespace, _, rest = name.rpartition("/")
    return ServiceKey(namespace or "shop", rest)


@pytest.fixture(
    params=[
        pytest.param(("IPv4",), id="IPv4"),
        pytest.param(("IPv6",), id="IPv6"),
        pytest.param(("IPv6", "IPv4"), id="both families"),
    ]
)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster with nothing in it, once for each choice of families."""
    return Cluster(*request.param)


@pytest.fixture
def dual() -> Cluster:
    """A cluster whose Services may have both families, and where the two need not go together."""
    return Cluster("IPv4", "IPv6")
