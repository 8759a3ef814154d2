"""Random histories of Services, pools, late watches and failing writes: no two statuses ever show one address.

The model is the API server: it holds the objects, answers patches (or conflicts), and delivers its changes late.
"""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from baremetal_lb.addresses import Address, AddressRange, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, could_serve
from baremetal_lb.allocator.assigner import Assigner, Entry
from baremetal_lb.allocator.request import AllocationRequest
from baremetal_lb.cluster.service import ServiceKey, parse_service
from baremetal_lb.config.model import Pool
from baremetal_lb.status import service_patch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POOLS = (
    Pool("a", (AddressRange.parse("192.0.2.0-192.0.2.2"), AddressRange.parse("2001:db8::-2001:db8::1"))),
    Pool("b", (AddressRange.parse("198.51.100.254-198.51.101.1"),), avoid_buggy_ips=True),
    Pool("c", (AddressRange.parse("2001:db8:c::/127"),), auto_assign=False),
    Pool("d", (AddressRange.parse("203.0.113.0/31"), AddressRange.parse("2001:db8:d::/127")), deleting=True),
)
NAMES = st.sampled_from([f"s{n}" for n in range(7)])
FAMILIES = st.sampled_from(
    [
        (["IPv4"], "SingleStack"),
        (["IPv6"], "SingleStack"),
        (["IPv4", "IPv6"], "PreferDualStack"),
        (["IPv6", "IPv4"], "PreferDualStack"),
        (["IPv4", "IPv6"], "RequireDualStack"),
    ]
)
WISHES = st.sampled_from(
    [{}] * 4
    + [
        {"baremetal-lb.io/addresses": text}
        for text in ("192.0.2.1", "2001:db8:c::1", "198.51.100.255", "10.0.0.1", "?")
    ]
    + [{"baremetal-lb.io/pool": name} for name in ("b", "c", "none")]
)


class ClusterMachine(RuleBasedStateMachine):
    """Services come and go, and the assigner must keep their statuses right."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[ServiceKey, dict[str, Any]] = {}
        self.version = 0
        self.undelivered: dict[ServiceKey, list[dict[str, Any] | None]] = {}
        self.pools: tuple[Pool, ...] = POOLS
        self.in_flight: list[tuple[Entry, Mapping[str, Any]]] = []
        self.restart()

    def restart(self) -> None:
        """Begin with a new controller that knows what the API server says now."""
        self.in_flight.clear()
        self.undelivered.clear()
        self.assigner = Assigner()
        for key, raw in self.objects.items():
            self.assigner.service_changed(key, parse_service(raw), 0.0)
        self.assigner.start(self.pools)

    @initialize(chosen=st.sets(st.sampled_from(range(len(POOLS)))))
    def choose_pools(self, chosen: set[int]) -> None:
        self.pools_change(chosen)

    @rule(chosen=st.sets(st.sampled_from(range(len(POOLS)))))
    def pools_change(self, chosen: set[int]) -> None:
        self.pools = tuple(POOLS[n] for n in sorted(chosen))
        self.assigner.set_pools(self.pools)

    @rule(name=NAMES, families=FAMILIES, wish=WISHES)
    def service_is_written(self, name: str, families: tuple[list[str], str], wish: dict[str, str]) -> None:
        key = ServiceKey("ns", name)
        raw = deepcopy(self.objects.get(key)) or self.new_object(name)
        raw["metadata"]["annotations"] = wish
        raw["spec"] = {
            "type": "LoadBalancer",
            "ipFamilies": families[0],
            "ipFamilyPolicy": families[1],
            "clusterIPs": ["10.96.0.9"],
        }
        self.store(key, raw)

    @rule(name=NAMES)
    def service_is_deleted(self, name: str) -> None:
        key = ServiceKey("ns", name)
        if self.objects.pop(key, None):
            self.undelivered.setdefault(key, []).append(None)

    @rule(name=NAMES)
    def service_changes_type(self, name: str) -> None:
        key = ServiceKey("ns", name)
        if raw := deepcopy(self.objects.get(key)):
            raw["spec"]["type"] = "ClusterIP"
            raw.get("status", {}).pop("loadBalancer", None)
            self.store(key, raw)

    @rule(name=NAMES, is_ours=st.booleans())
    def another_writes_a_foreign_address(self, name: str, is_ours: bool) -> None:
        key = ServiceKey("ns", name)
        if raw := deepcopy(self.objects.get(key)):
            raw.setdefault("status", {})["loadBalancer"] = {
                "ingress": [{"ip": f"10.9.9.{name[1:]}"}] if is_ours else []
            }
            self.store(key, raw)

    @rule(data=st.data())
    def watch_delivers(self, data: st.DataObject) -> None:
        if waiting := [key for key, queue in self.undelivered.items() if queue]:
            self.deliver(data.draw(st.sampled_from(waiting)))

    @rule()
    def assigner_decides(self) -> None:
        for entry in self.assigner.decide(3):
            patch = service_patch(entry.view, entry.outcome, NOW)
            if patch and not entry.writing:
                self.assigner.write_begun(entry)
                self.in_flight.append((entry, patch))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), fails=st.sampled_from([False, False, False, True]))
    def write_ends(self, data: st.DataObject, fails: bool) -> None:
        entry, patch = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if fails:
            self.assigner.write_ended(entry)
        else:
            self.answer(entry, patch)

    @rule()
    def controller_restarts(self) -> None:
        self.restart()

    @rule()
    def everything_settles(self) -> None:
        for _ in range(30):
            for key in list(self.undelivered):
                while self.undelivered[key]:
                    self.deliver(key)
            while self.in_flight:
                self.answer(*self.in_flight.pop())
            self.assigner_decides()
        assert not self.in_flight
        for entry in self.assigner.entries.values():
            assert service_patch(entry.view, entry.outcome, NOW) is None, "a status was never written"
            if (
                isinstance(entry.request, AllocationRequest)
                and entry.awaits
                and not (entry.request.wanted or entry.request.needs_all)
            ):
                assert not could_serve(entry.request, entry.awaits, self.assigner.ledger), (
                    "something free was not given"
                )
        self.check_addresses_are_where_they_may_be()

    def check_addresses_are_where_they_may_be(self) -> None:
        for entry in self.assigner.entries.values():
            if isinstance(entry.outcome, Allocation) and entry.view.is_ours:
                assert {family_of(one) for one in entry.addresses} <= set(entry.view.families) | self.foreign(entry)

    def foreign(self, entry: Entry) -> set[Family]:
        return {family_of(one) for one in entry.addresses if str(one).startswith("10.9.9.")}

    @invariant()
    def no_address_is_shown_twice(self) -> None:
        shown: dict[Address, ServiceKey] = {}
        for key, raw in self.objects.items():
            for entry in raw.get("status", {}).get("loadBalancer", {}).get("ingress", []):
                other = shown.setdefault(ip_address(entry["ip"]), key)
                assert other == key, f"{entry['ip']} is shown by {other} and {key}"

    @invariant()
    def indexes_agree(self) -> None:
        self.assigner.check_invariants()

    def new_object(self, name: str) -> dict[str, Any]:
        return {"metadata": {"namespace": "ns", "name": name, "uid": f"{self.version}"}}

    def store(self, key: ServiceKey, raw: dict[str, Any]) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = raw
        self.undelivered.setdefault(key, []).append(deepcopy(raw))

    def deliver(self, key: ServiceKey) -> None:
        raw = self.undelivered[key].pop(0)
        self.assigner.service_changed(key, parse_service(raw) if raw else None, 0.0)

    def answer(self, entry: Entry, patch: Mapping[str, Any]) -> None:
        raw = deepcopy(self.objects.get(entry.key))
        if raw is None:
            if self.assigner.entries.get(entry.key) is entry:
                self.assigner.service_changed(entry.key, None, 0.0)
        elif raw["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            self.assigner.write_ended(entry, int(patch["metadata"]["resourceVersion"]) + 1)
        else:
            self.check_new_addresses(raw, patch["status"])
            raw["status"] = raw.get("status", {}) | patch["status"]
            self.store(entry.key, raw)
            self.assigner.write_ended(entry, self.version)

    def check_new_addresses(self, raw: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        had = {one["ip"] for one in raw.get("status", {}).get("loadBalancer", {}).get("ingress", [])}
        for one in status.get("loadBalancer", {}).get("ingress", []):
            address = ip_address(one["ip"])
            assert one["ip"] in had or any(pool.usable(address) for pool in POOLS), f"{address} is in no pool"
            assert one["ip"] in had or address not in POOLS[3], f"{address} is of the pool being deleted"


TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
