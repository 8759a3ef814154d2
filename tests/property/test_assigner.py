"""Random histories of Services, pools, late watches, failing writes and lost leaders: who shows what, and to the end.

The model is the API server: it holds the objects, answers patches (or conflicts), and delivers its changes late. What a
former leader has sent may arrive long after another took over.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from baremetal_lb.addresses import Address, AddressRange, Family, family_of
from baremetal_lb.allocator.allocate import Allocation
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.choose import could_serve
from baremetal_lb.allocator.entry import Entry
from baremetal_lb.allocator.sharing import sharing_of
from baremetal_lb.api.pool import AllocationOrder, ReclaimPolicy
from baremetal_lb.api.selector import Operator
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey, parse_service
from baremetal_lb.config.model import Admission, Claim, Config, ConflictingHost, Pool
from baremetal_lb.config.selectors import Requirement, Selector
from baremetal_lb.reasons import Reason
from baremetal_lb.status import service_patch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = Selector((Requirement("tenant", Operator.EXISTS),))
FREE_POOLS = (
    Pool("a", (AddressRange.parse("192.0.2.0-192.0.2.2"), AddressRange.parse("2001:db8::-2001:db8::1"))),
    Pool("b", (AddressRange.parse("198.51.100.254-198.51.101.1"),), avoid_buggy_ips=True),
    Pool("c", (AddressRange.parse("2001:db8:c::/127"),), auto_assign=False, order=AllocationOrder.STICKY),
    Pool("d", (AddressRange.parse("203.0.113.0/31"), AddressRange.parse("2001:db8:d::/127")), deleting=True),
    Pool(
        "e",
        (AddressRange.parse("203.0.113.8/30"), AddressRange.parse("2001:db8:e::/126")),
        excluded=(AddressRange.parse("203.0.113.9/32"),),
        order=AllocationOrder.RANDOM,
        namespace_quota=2,
        is_for_some=True,
        admission=Admission(namespace_selectors=(TENANT,)),
    ),
    Pool(
        "f",
        (AddressRange.parse("203.0.113.16/31"), AddressRange.parse("2001:db8:f::/127")),
        is_for_some=True,
        exclusive=True,
        admission=Admission(namespaces=frozenset({"two"})),
        reclaim_policy=ReclaimPolicy.REASSIGN,
    ),
    Pool("g", (AddressRange.parse("203.0.113.24/31"),), reclaim_policy=ReclaimPolicy.REASSIGN, deleting=True),
)
SHRUNK = replace(FREE_POOLS[5], ranges=(AddressRange.parse("203.0.113.17/32"), AddressRange.parse("2001:db8:f::1/128")))
POOLS = (*FREE_POOLS, SHRUNK)
CLAIMS = (
    Claim("printer", (ip_address("192.0.2.1"), ip_address("2001:db8:e::1"))),
    Claim("shop", (ip_address("203.0.113.10"),), ServiceKey("one", "plain1")),
)
NAMESPACES = st.sampled_from(
    [NamespaceView("one"), NamespaceView("one", {"tenant": "x"}), NamespaceView("one", quota=2), NamespaceView("two")]
)
PLAIN = [ServiceKey(namespace, f"plain{n}") for namespace in ("one", "two") for n in range(3)]
SOCIABLE = [ServiceKey(namespace, f"social{n}") for namespace in ("one", "two") for n in range(2)]
KEYS = st.sampled_from([*PLAIN, *SOCIABLE])
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
        for text in ("192.0.2.1", "2001:db8:c::1", "198.51.100.255", "10.0.0.1", "192.0.2.0,192.0.2.2", "?")
    ]
    + [{"baremetal-lb.io/pool": name} for name in ("b", "c", "e", "none")]
)
SHARINGS = st.sampled_from(
    [{}]
    + [{"metallb.io/allow-shared-ip": "k"}] * 3
    + [{"baremetal-lb.io/sharing-key": "k", "baremetal-lb.io/sharing-namespaces": "*"}] * 2
)
PORTS = st.sampled_from([80, 443])
POLICIES = st.sampled_from(["Cluster", "Cluster", "Local"])
HOST = ConflictingHost("02:00:00:00:00:99", "eth0", "n1")
USED_BY_A_HOST = st.sets(
    st.sampled_from(["192.0.2.0", "192.0.2.1", "2001:db8::", "2001:db8:e::1", "203.0.113.16", "2001:db8:f::1"])
).map(lambda texts: frozenset(map(ip_address, texts)))


class SimulatedCluster:
    """The API server, and a controller before it. What a test may do with them are the methods."""

    def __init__(self) -> None:
        self.objects: dict[ServiceKey, dict[str, Any]] = {}
        self.version = 0
        self.undelivered: dict[ServiceKey, list[dict[str, Any] | None]] = {}
        self.config = Config()
        self.namespaces: dict[str, NamespaceView] = {}
        self.in_flight: list[tuple[Entry, Mapping[str, Any]]] = []
        self.late: list[tuple[ServiceKey, Mapping[str, Any]]] = []
        self.assigner = self.new_assigner(fence=False)

    def new_assigner(self, *, fence: bool) -> Assigner:
        """Begin with a controller that knows what the API server says now."""
        assigner = Assigner()
        for name, namespace in self.namespaces.items():
            assigner.namespace_changed(name, namespace)
        for key, raw in self.objects.items():
            assigner.service_changed(key, parse_service(raw), 0.0)
        assigner.start(self.config, fence=fence)
        return assigner

    def decide(self) -> None:
        before = self.held()
        for entry in self.assigner.decide(3):
            self.check_quarantine(entry, before)
            self.send(entry)

    def move_one(self) -> None:
        before = self.held()
        if entry := self.assigner.move_one():
            self.check_quarantine(entry, before)
            self.send(entry)

    def held(self) -> dict[ServiceKey, frozenset[Address]]:
        return {key: self.assigner.ledger.held_by(key) for key in self.assigner.entries}

    def quarantine(self, used: frozenset[Address]) -> None:
        """Let foreign hosts use just these addresses."""
        pools = (
            replace(pool, quarantined={address: HOST for address in used if address in pool})
            for pool in self.config.pools
        )
        self.config = replace(self.config, pools=tuple(pools))
        self.assigner.set_config(self.config)

    def take_over(self) -> None:
        """Let another lead, while what the former leader sent is still on its way."""
        self.late += [(entry.key, patch) for entry, patch in self.in_flight]
        self.in_flight.clear()
        self.undelivered.clear()
        self.assigner = self.new_assigner(fence=True)

    def write(
        self, key: ServiceKey, families: tuple[list[str], str], annotations: Mapping[str, str], **spec: Any
    ) -> None:
        raw = deepcopy(self.objects.get(key)) or self.new_object(key)
        before = raw["metadata"].get("annotations", {})
        noted = {name: value for name, value in before.items() if name == "baremetal-lb.io/from-pool"}
        raw["metadata"]["annotations"] = {**annotations, **noted}
        raw["spec"] = {
            "type": "LoadBalancer",
            "ipFamilies": families[0],
            "ipFamilyPolicy": families[1],
            "clusterIPs": ["10.96.0.9"],
            "selector": {"app": "x"},
            **spec,
        }
        self.store(key, raw)

    def delete(self, key: ServiceKey) -> None:
        if self.objects.pop(key, None):
            self.undelivered.setdefault(key, []).append(None)

    def deliver_one(self, data: st.DataObject) -> None:
        if waiting := [key for key, queue in self.undelivered.items() if queue]:
            self.deliver(data.draw(st.sampled_from(waiting)))

    def end_a_write(self, data: st.DataObject, *, fails: bool = False) -> None:
        entry, patch = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if fails:
            self.assigner.write_ended(entry)
        else:
            self.answer(entry, patch)

    def let_a_late_write_arrive(self, data: st.DataObject) -> None:
        key, patch = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        self.apply(key, patch)

    def settle(self) -> None:
        for _ in range(40):
            self.deliver_all()
            while self.in_flight:
                self.answer(*self.in_flight.pop())
            self.decide()
            self.move_one()
        assert not self.in_flight
        assert not self.assigner.has_movable, "somebody could leave an address and did not"
        for entry in self.assigner.entries.values():
            assert service_patch(entry.view, entry.outcome, NOW) is None, "a status was never written"
            applicant = self.assigner.applicant(entry)
            if applicant and entry.awaits and not (applicant.request.wanted or applicant.request.needs_all):
                assert not could_serve(applicant, entry.awaits, self.assigner.ledger), "something free was not given"
        self.check_addresses_are_where_they_may_be()
        self.check_who_shares_may()
        self.check_a_rebuilt_ledger_is_the_same()

    def check_quarantine(self, entry: Entry, before: Mapping[ServiceKey, frozenset[Address]]) -> None:
        """What a foreign host uses is given to nobody, and who has it is told."""
        if entry.outcome and entry.outcome.reason is not Reason.FOREIGN_ADDRESS:
            used = set(entry.addresses) & self.config.quarantined.keys()
            assert used <= before[entry.key], f"{used} was given in quarantine"
            assert not used or entry.outcome.reason in {Reason.ADDRESS_KEPT, Reason.LEADER_CHANGED}

    def check_addresses_are_where_they_may_be(self) -> None:
        for entry in self.assigner.entries.values():
            if isinstance(entry.outcome, Allocation) and entry.view.is_ours:
                assert {family_of(one) for one in entry.addresses} <= set(entry.view.families) | self.foreign(entry)

    def check_who_shares_may(self) -> None:
        for (one, raw), (other, other_raw) in combinations(self.objects.items(), 2):
            if shown(raw) & shown(other_raw):
                why = sharing_of(parse_service(raw)).refusal(sharing_of(parse_service(other_raw)))
                assert why is None, f"{one} and {other} share {shown(raw) & shown(other_raw)}: {why}"

    def check_a_rebuilt_ledger_is_the_same(self) -> None:
        rebuilt = self.new_assigner(fence=False)
        for entry in self.assigner.entries.values():
            assert rebuilt.ledger.held_by(entry.key) == self.assigner.ledger.held_by(entry.key)

    def foreign(self, entry: Entry) -> set[Family]:
        return {family_of(one) for one in entry.addresses if str(one).startswith("10.9.9.")}

    def new_object(self, key: ServiceKey) -> dict[str, Any]:
        return {"metadata": {"namespace": key.namespace, "name": key.name, "uid": f"{self.version}"}}

    def store(self, key: ServiceKey, raw: dict[str, Any]) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = raw
        self.undelivered.setdefault(key, []).append(deepcopy(raw))

    def deliver_all(self) -> None:
        for key in list(self.undelivered):
            while self.undelivered[key]:
                self.deliver(key)

    def deliver(self, key: ServiceKey) -> None:
        raw = self.undelivered[key].pop(0)
        self.assigner.service_changed(key, parse_service(raw) if raw else None, 0.0)

    def send(self, entry: Entry) -> None:
        patch = service_patch(entry.view, entry.outcome, NOW)
        if patch and not entry.writing:
            self.assigner.write_begun(entry)
            self.in_flight.append((entry, patch))

    def answer(self, entry: Entry, patch: Mapping[str, Any]) -> None:
        if self.apply(entry.key, patch):
            self.assigner.write_ended(entry, self.version)
        elif entry.key in self.objects:
            self.assigner.write_ended(entry, int(patch["metadata"]["resourceVersion"]) + 1)
        elif self.assigner.entries.get(entry.key) is entry:
            self.assigner.service_changed(entry.key, None, 0.0)

    def apply(self, key: ServiceKey, patch: Mapping[str, Any]) -> bool:
        """Do what the API server does with a patch."""
        raw = deepcopy(self.objects.get(key))
        if raw is None or raw["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            return False
        self.check_new_addresses(raw, patch["status"])
        raw["status"] = raw.get("status", {}) | patch["status"]
        annotations = raw["metadata"].get("annotations", {}) | patch["metadata"].get("annotations", {})
        raw["metadata"]["annotations"] = {name: value for name, value in annotations.items() if value is not None}
        self.store(key, raw)
        return True

    def check_new_addresses(self, raw: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        for one in status.get("loadBalancer", {}).get("ingress", []):
            address = ip_address(one["ip"])
            if address not in shown(raw):
                assert any(pool.usable(address) for pool in POOLS), f"{address} is in no pool"
                assert not any(address in pool for pool in POOLS if pool.deleting), f"{address} is of a dying pool"


class Machine(SimulatedCluster, RuleBasedStateMachine):
    """What must hold whatever happens."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        SimulatedCluster.__init__(self)

    @invariant()
    def no_address_is_shown_twice_by_accident(self) -> None:
        """Those that may share are checked when all has settled: only their users can break the rules meanwhile."""
        holders: dict[Address, ServiceKey] = {}
        for key, raw in self.objects.items():
            for address in shown(raw):
                other = holders.setdefault(address, key)
                assert other == key or {key, other} <= set(SOCIABLE), f"{address} is shown by {other} and {key}"

    @invariant()
    def indexes_agree(self) -> None:
        self.assigner.check_invariants()


class EverythingMachine(Machine):
    """All that can happen."""

    @initialize(chosen=st.sets(st.sampled_from(range(len(POOLS)))))
    def choose_pools(self, chosen: set[int]) -> None:
        self.pools_change(chosen, claims=True)

    @rule(chosen=st.sets(st.sampled_from(range(len(POOLS)))), claims=st.booleans())
    def pools_change(self, chosen: set[int], claims: bool) -> None:
        by_name = {POOLS[n].name: POOLS[n] for n in sorted(chosen)}
        self.config = Config(tuple(by_name.values()), claims=CLAIMS if claims else ())
        self.assigner.set_config(self.config)

    @rule(used=USED_BY_A_HOST)
    def foreign_hosts_come_and_go(self, used: frozenset[Address]) -> None:
        self.quarantine(used)

    @rule(namespace=NAMESPACES)
    def namespace_changes(self, namespace: NamespaceView) -> None:
        self.namespaces[namespace.name] = namespace
        self.assigner.namespace_changed(namespace.name, namespace)

    @rule(key=KEYS, families=FAMILIES, wish=WISHES, sharing=SHARINGS, port=PORTS, policy=POLICIES)
    def service_is_written(
        self,
        key: ServiceKey,
        families: tuple[list[str], str],
        wish: dict[str, str],
        sharing: dict[str, str],
        port: int,
        policy: str,
    ) -> None:
        annotations = wish | (sharing if key in SOCIABLE else {})
        self.write(key, families, annotations, externalTrafficPolicy=policy, ports=[{"port": port}])

    @rule(key=KEYS)
    def service_is_deleted(self, key: ServiceKey) -> None:
        self.delete(key)

    @rule(key=KEYS)
    def service_changes_type(self, key: ServiceKey) -> None:
        if raw := deepcopy(self.objects.get(key)):
            raw["spec"]["type"] = "ClusterIP"
            raw.get("status", {}).pop("loadBalancer", None)
            self.store(key, raw)

    @rule(key=KEYS, is_ours=st.booleans())
    def another_writes_a_foreign_address(self, key: ServiceKey, is_ours: bool) -> None:
        if raw := deepcopy(self.objects.get(key)):
            place = [*PLAIN, *SOCIABLE].index(key)
            raw.setdefault("status", {})["loadBalancer"] = {"ingress": [{"ip": f"10.9.9.{place}"}] if is_ours else []}
            self.store(key, raw)

    @rule(data=st.data())
    def watch_delivers(self, data: st.DataObject) -> None:
        self.deliver_one(data)

    @rule(data=st.data())
    def watch_misses_a_change_and_shows_the_next(self, data: st.DataObject) -> None:
        """As after a list that came too late for what was between."""
        if waiting := [key for key, queue in self.undelivered.items() if len(queue) > 1]:
            key = data.draw(st.sampled_from(waiting))
            del self.undelivered[key][:-1]
            self.deliver(key)

    @rule(data=st.data())
    def watch_shows_the_same_again(self, data: st.DataObject) -> None:
        if self.assigner.entries:
            key = data.draw(st.sampled_from(sorted(self.assigner.entries)))
            self.assigner.service_changed(key, self.assigner.entries[key].view, 0.0)

    @rule()
    def assigner_decides(self) -> None:
        self.decide()

    @rule()
    def the_turn_of_one_to_move_comes(self) -> None:
        self.move_one()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), fails=st.sampled_from([False, False, False, True]))
    def write_ends(self, data: st.DataObject, fails: bool) -> None:
        self.end_a_write(data, fails=fails)

    @rule()
    def controller_restarts(self) -> None:
        """All that was sent arrived or is lost."""
        self.in_flight.clear()
        self.undelivered.clear()
        self.assigner = self.new_assigner(fence=False)

    @rule()
    def leader_is_frozen_and_another_takes_over(self) -> None:
        self.take_over()

    @rule()
    def leader_steps_down_and_leads_again(self) -> None:
        self.late += [(entry.key, patch) for entry, patch in self.in_flight]
        for entry, _ in self.in_flight:
            self.assigner.write_ended(entry)
        self.in_flight.clear()
        self.assigner.stop()
        self.deliver_all()
        self.assigner.start(self.config, fence=True)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def late_write_arrives(self, data: st.DataObject) -> None:
        self.let_a_late_write_arrive(data)

    @rule()
    def everything_settles(self) -> None:
        self.settle()


class TakeoverMachine(Machine):
    """Few addresses, few Services, and leaders that are frozen in the middle of their writes."""

    @initialize()
    def there_is_one_pool(self) -> None:
        self.config = Config(FREE_POOLS[:1])
        self.assigner.set_config(self.config)

    @rule(key=st.sampled_from(PLAIN[:3]), family=st.sampled_from(["IPv4", "IPv6"]))
    def service_is_written_and_seen(self, key: ServiceKey, family: str) -> None:
        self.write(key, ([family], "SingleStack"), {})
        self.deliver_all()

    @rule(key=st.sampled_from(PLAIN[:3]))
    def service_is_deleted_and_that_is_seen(self, key: ServiceKey) -> None:
        self.delete(key)
        self.deliver_all()

    @rule()
    def one_decision_is_sent(self) -> None:
        self.decide()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def write_arrives_and_is_seen(self, data: st.DataObject) -> None:
        self.end_a_write(data)
        self.deliver_all()

    @rule()
    def another_takes_over(self) -> None:
        self.take_over()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def late_write_arrives(self, data: st.DataObject) -> None:
        self.let_a_late_write_arrive(data)
        self.deliver_all()


class QuarantineMachine(Machine):
    """A few addresses, some of which foreign hosts use, and Services that are to leave those."""

    @initialize()
    def there_is_one_pool(self) -> None:
        self.config = Config(FREE_POOLS[:1])
        self.assigner.set_config(self.config)

    @rule(used=USED_BY_A_HOST)
    def foreign_hosts_come_and_go(self, used: frozenset[Address]) -> None:
        self.quarantine(used)

    @rule(key=st.sampled_from(PLAIN[:3]), families=FAMILIES)
    def service_is_written(self, key: ServiceKey, families: tuple[list[str], str]) -> None:
        self.write(key, families, {})
        self.deliver_all()

    @rule(key=st.sampled_from(PLAIN[:3]))
    def service_is_deleted(self, key: ServiceKey) -> None:
        self.delete(key)
        self.deliver_all()

    @rule()
    def assigner_decides(self) -> None:
        self.decide()

    @rule()
    def the_turn_of_one_to_move_comes(self) -> None:
        self.move_one()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def write_ends_and_is_seen(self, data: st.DataObject) -> None:
        self.end_a_write(data)
        self.deliver_all()

    @rule()
    def everything_settles(self) -> None:
        self.settle()


class SharingMachine(Machine):
    """One address of each family, and Services that change their minds about sharing it."""

    @initialize()
    def there_is_one_address(self) -> None:
        pool = Pool("one", (AddressRange.parse("192.0.2.1/32"), AddressRange.parse("2001:db8::1/128")))
        self.config = Config((pool,))
        self.assigner.set_config(self.config)

    @rule(key=st.sampled_from(SOCIABLE), sharing=SHARINGS, port=PORTS, policy=POLICIES)
    def service_is_written(self, key: ServiceKey, sharing: dict[str, str], port: int, policy: str) -> None:
        families = (["IPv4", "IPv6"], "PreferDualStack")
        self.write(key, families, sharing, externalTrafficPolicy=policy, ports=[{"port": port}])

    @rule(key=st.sampled_from(SOCIABLE))
    def service_is_deleted(self, key: ServiceKey) -> None:
        self.delete(key)

    @rule(data=st.data())
    def watch_delivers(self, data: st.DataObject) -> None:
        self.deliver_one(data)

    @rule()
    def assigner_decides(self) -> None:
        self.decide()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def write_ends(self, data: st.DataObject) -> None:
        self.end_a_write(data)

    @rule()
    def everything_settles(self) -> None:
        self.settle()


def shown(raw: Mapping[str, Any]) -> set[Address]:
    entries = raw.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return {ip_address(one["ip"]) for one in entries}


TestEverything = EverythingMachine.TestCase
TestEverything.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestTakeover = TakeoverMachine.TestCase
TestTakeover.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestQuarantine = QuarantineMachine.TestCase
TestQuarantine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestSharing = SharingMachine.TestCase
TestSharing.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@given(order=st.permutations(range(12)), pools=st.permutations(FREE_POOLS), data=st.data())
def test_who_gets_what_does_not_depend_on_the_order_of_arrival(
    order: list[int], pools: list[Pool], data: st.DataObject
) -> None:
    services = [service_of_age(n, data) for n in range(12)]

    expected = addresses_given(services, FREE_POOLS)
    assert addresses_given([services[n] for n in order], tuple(pools)) == expected


def addresses_given(services: list[dict[str, Any]], pools: tuple[Pool, ...]) -> dict[ServiceKey, tuple[Address, ...]]:
    assigner = Assigner()
    for raw in services:
        view = parse_service(raw)
        assigner.service_changed(view.key, view, 0.0)
    assigner.start(Config(pools, claims=CLAIMS))
    while assigner.decide(5):
        pass
    return {key: entry.addresses for key, entry in assigner.entries.items()}


def service_of_age(number: int, data: st.DataObject) -> dict[str, Any]:
    families, policy = data.draw(FAMILIES)
    return {
        "metadata": {
            "namespace": data.draw(st.sampled_from(["one", "two"])),
            "name": f"s{number}",
            "uid": f"{number}",
            "resourceVersion": "1",
            "creationTimestamp": f"2026-01-01T00:00:{number // 2:02}Z",
            "annotations": data.draw(WISHES) | data.draw(SHARINGS),
        },
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": families,
            "ipFamilyPolicy": policy,
            "clusterIPs": ["10.96.0.9"],
            "selector": {"app": "x"},
            "ports": [{"port": data.draw(PORTS)}],
        },
    }
