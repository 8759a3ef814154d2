"""The controller's machine: in which order it decides, when it holds back, and what becomes of an address in use.

A mark like [C13] names a defect or a trap of MetalLB's that the test shows we do not have; the words say which.
"""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.config.model import Config, Pool
from baremetal_lb.reasons import Reason
from baremetal_lb.status import service_patch

if TYPE_CHECKING:
    from tests.unit.allocator.conftest import Cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Pool("one", (AddressRange.parse("192.0.2.10/32"), AddressRange.parse("2001:db8::10/128")))
THREE = Pool("three", (AddressRange.parse("192.0.2.10-192.0.2.12"), AddressRange.parse("2001:db8::10-2001:db8::12")))
FAMILIES = pytest.mark.parametrize(("family", "first"), [("IPv4", "192.0.2.10"), ("IPv6", "2001:db8::10")])


def view(name: str, family: str, *, at: int = 0, version: int = 1, uid: str = "", **status: Any) -> ServiceView:
    metadata = {
        "namespace": "shop",
        "name": name,
        "uid": uid or name,
        "resourceVersion": str(version),
        "creationTimestamp": f"2026-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z",
    }
    spec = {"type": "LoadBalancer", "ipFamilies": [family], "clusterIPs": ["10.96.0.1"]}
    return parse_service({"metadata": metadata, "spec": spec, "status": status})


def shown(address: str) -> dict[str, Any]:
    return {"loadBalancer": {"ingress": [{"ip": address}]}}


def started(pool: Pool, *views: ServiceView) -> Assigner:
    assigner = Assigner()
    for one in views:
        assigner.service_changed(one.key, one, 0.0)
    assigner.start(Config((pool,)))
    return assigner


def decide_all(assigner: Assigner) -> list[str]:
    return [entry.key.name for entry in assigner.decide(100_000)]


@FAMILIES
def test_the_oldest_is_decided_on_first_and_no_more_than_asked_for(family: str, first: str) -> None:
    assigner = started(THREE, view("a", family, at=3), view("b", family, at=1), view("c", family, at=2))

    assert [entry.key.name for entry in assigner.decide(2)] == ["b", "c"]
    assert [entry.key.name for entry in assigner.decide(2)] == ["a"]
    assert assigner.ledger.holders_of(ip_address(first)) == (ServiceKey("shop", "b"),)
    assert assigner.is_idle


@FAMILIES
def test_of_thousands_that_wait_for_one_address_one_is_decided_on(family: str, first: str) -> None:
    """[C27] To free an address costs one decision, not one for every Service."""
    waiting = [view(f"s{number:04}", family, at=number) for number in range(2000)]
    assigner = started(ONE, *waiting)
    assert len(decide_all(assigner)) == 2000

    assigner.service_changed(waiting[0].key, None, 0.0)

    assert decide_all(assigner) == ["s0001"]
    assert assigner.ledger.holders_of(ip_address(first)) == (ServiceKey("shop", "s0001"),)
    assigner.check_invariants()


@FAMILIES
def test_nothing_is_decided_while_a_write_is_on_its_way(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family))
    (entry,) = assigner.decide(1)
    assigner.write_begun(entry)

    assigner.service_changed(entry.key, view("a", family, version=2), 0.0)
    assert decide_all(assigner) == []

    assigner.write_ended(entry, 3)
    assert decide_all(assigner) == []

    assigner.service_changed(entry.key, view("a", family, version=3, **shown(first)), 0.0)
    assert decide_all(assigner) == ["a"]


@FAMILIES
def test_a_write_that_failed_is_decided_anew(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family))
    (entry,) = assigner.decide(1)
    assigner.write_begun(entry)
    assigner.write_ended(entry)

    assert decide_all(assigner) == ["a"]
    assert [str(one) for one in entry.addresses] == [first]


@FAMILIES
def test_an_address_stays_held_until_no_status_shows_it(family: str, first: str) -> None:
    """A Service asks for another address: the old one is free only when the status has changed."""
    assigner = started(THREE, view("a", family, version=1, **shown(first)))
    decide_all(assigner)
    other = f"{ip_address(first) + 1}"
    wishing = replace(view("a", family, version=2, **shown(first)), load_balancer_ip=other)
    assigner.service_changed(wishing.key, wishing, 0.0)
    (entry,) = assigner.decide(1)
    assert assigner.ledger.held_by(entry.key) == {ip_address(first), ip_address(other)}

    assigner.write_begun(entry)
    assigner.write_ended(entry, 3)
    assert assigner.ledger.holders_of(ip_address(first)) == (entry.key,)

    assigner.service_changed(wishing.key, view("a", family, version=3, **shown(other)), 0.0)
    assert assigner.ledger.held_by(entry.key) == {ip_address(other)}


@FAMILIES
def test_a_service_made_anew_under_an_old_name_is_another_one(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family, at=1), view("b", family, at=2))
    decide_all(assigner)

    assigner.service_changed(ServiceKey("shop", "a"), view("a", family, at=3, version=9, uid="new"), 0.0)
    decide_all(assigner)

    assert assigner.ledger.holders_of(ip_address(first)) == (ServiceKey("shop", "b"),)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_services_that_are_not_ours_and_show_nothing_are_not_kept(family: str) -> None:
    assigner = started(ONE)
    raw = {"metadata": {"namespace": "shop", "name": "a"}, "spec": {"type": "ClusterIP", "ipFamilies": [family]}}
    assigner.service_changed(ServiceKey("shop", "a"), parse_service(raw), 0.0)

    assert not assigner.entries
    assert assigner.is_idle


@FAMILIES
def test_a_loser_says_who_holds_its_address(family: str, first: str) -> None:
    assigner = started(THREE, view("a", family, at=2, **shown(first)), view("b", family, at=1, **shown(first)))
    decide_all(assigner)

    entry = assigner.entries[ServiceKey("shop", "a")]
    assert entry.lost is not None
    assert entry.lost.reason is Reason.ADDRESS_IN_USE
    assert "shop/b" in entry.lost.message
    assert service_patch(entry.view, entry.outcome, NOW) is not None


@FAMILIES
def test_reasons_are_counted(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family, at=1), view("b", family, at=2), view("c", family, at=3))
    decide_all(assigner)

    assert assigner.count_reasons() == {Reason.ASSIGNED: 1, Reason.POOL_EXHAUSTED: 2}
    assert assigner.ledger.holders_of(ip_address(first)) == (ServiceKey("shop", "a"),)


def test_whatever_a_status_shows_is_held_before_anything_is_given_out(cluster: "Cluster") -> None:
    """[C28] After a restart, a waiting Service that is older does not get the address of one that has it."""
    cluster.pool("gold", 0, 1)
    cluster.service("older")
    cluster.service("younger")
    cluster.status("younger", 0)

    cluster.restart()
    cluster.settle()

    assert (cluster.has("younger"), cluster.has("older")) == ([0], [1])


def test_who_waits_is_served_by_age_not_by_name(cluster: "Cluster") -> None:
    """[C52] The order in which a cache or a restart yields Services does not matter."""
    cluster.pool("gold", 0, 0)
    for name in ("holder", "z", "y", "x"):
        cluster.service(name)
    cluster.settle()
    cluster.delete("holder")
    cluster.restart()
    cluster.settle()

    assert [cluster.has(name) for name in ("x", "y", "z")] == [[], [], [0]]


def test_a_status_that_cannot_be_written_holds_up_nobody(cluster: "Cluster") -> None:
    """[C29] [C51] One Service that fails for ever does not starve the others, nor lose its address to them."""
    cluster.pool("gold", 0, 2)
    cluster.service("broken")
    cluster.refuses_writes_to = {ServiceKey("shop", "broken")}
    cluster.service("a")
    cluster.restart()
    cluster.settle()
    cluster.service("b")
    cluster.settle()

    assert [cluster.has(name) for name in ("broken", "a", "b")] == [[], [1], [2]]


def test_who_waits_is_served_also_where_the_write_that_frees_an_address_fails_first(cluster: "Cluster") -> None:
    """[C50] A conflict does not make it forgotten that an address is to be freed."""
    cluster.pool("gold", 0, 1)
    cluster.wants("leaver", 0)
    cluster.settle()
    cluster.wants("waiter", 0)
    cluster.settle()
    assert cluster.told("waiter") == "AddressInUse"

    cluster.wants("leaver", 1)
    cluster.send_late()
    cluster.wants("leaver", 1, labels={"touched": "meanwhile"})
    assert cluster.let_late_writes_arrive() == [False]
    cluster.settle()

    assert (cluster.has("leaver"), cluster.has("waiter")) == ([1], [0])


def test_a_status_that_somebody_wiped_is_written_again(cluster: "Cluster") -> None:
    """[C56] The address is not lost, also where a lower one is free by now."""
    cluster.pool("gold", 0, 3)
    cluster.service("first")
    cluster.service("second")
    cluster.settle()
    cluster.delete("first")
    cluster.store_status("second", {})
    cluster.settle()

    assert cluster.has("second") == [1]


def test_a_service_that_is_being_deleted_keeps_its_address_until_it_is_gone(cluster: "Cluster") -> None:
    """[C57] Nobody gets an address that a status still shows."""
    cluster.pool("gold", 0, 0)
    cluster.service("going")
    cluster.service("waiting")
    cluster.settle()
    cluster.begin_deletion("going")
    cluster.settle()
    assert (cluster.has("going"), cluster.has("waiting")) == ([0], [])

    cluster.delete("going")
    cluster.settle()
    assert cluster.has("waiting") == [0]


def test_a_service_that_is_being_deleted_gets_nothing_any_more(cluster: "Cluster") -> None:
    cluster.service("going")
    cluster.settle()
    cluster.begin_deletion("going")
    cluster.pool("gold", 0, 3)
    cluster.settle()

    assert cluster.has("going") == []


def test_a_service_that_waits_is_told_once(cluster: "Cluster") -> None:
    """[C54] However often it is decided on again, also after a restart."""
    cluster.pool("gold", 0, 0)
    cluster.service("holder")
    cluster.service("waiting")
    cluster.settle()
    for number in range(3):
        cluster.pool("other", 10 + number, 10 + number, autoAssign=False)
        cluster.service("waiting", labels={"changed": str(number)})
        cluster.settle()
    cluster.restart()
    cluster.settle()

    assert cluster.events == [("holder", "Assigned"), ("waiting", "PoolExhausted")]


X = "example.org/x"


@pytest.mark.parametrize(
    ("classes", "of_service", "is_served"),
    [
        pytest.param([], None, True, id="a pool without classes serves Services without one"),
        pytest.param([], "baremetal-lb.io/load-balancer", True, id="and those of our class"),
        pytest.param([], X, False, id="but no others"),
        pytest.param([X], X, True, id="a pool with a class serves it"),
        pytest.param([X], None, False, id="and not those without one"),
        pytest.param([X], "example.org/y", False, id="nor another class"),
        pytest.param([X, "baremetal-lb.io/load-balancer"], None, True, id="our class in the list stands for none"),
    ],
)
def test_pools_per_class(cluster: "Cluster", classes: list[str], of_service: str | None, is_served: bool) -> None:
    cluster.pool("gold", 0, 3, loadBalancerClasses=classes)
    cluster.service("web", loadBalancerClass=of_service)
    cluster.settle()

    assert cluster.has("web") == ([0] if is_served else [])


@pytest.mark.parametrize("of_service", [None, X])
def test_a_change_of_type_sets_the_address_free(cluster: "Cluster", of_service: str | None) -> None:
    """[B2] Also where the API server drops the class along with the type."""
    cluster.pool("gold", 0, 0, loadBalancerClasses=[of_service] if of_service else [])
    cluster.service("web", loadBalancerClass=of_service)
    cluster.service("waiting", loadBalancerClass=of_service)
    cluster.settle()
    assert cluster.told("waiting") == "PoolExhausted"

    conditions = cluster.services[ServiceKey("shop", "web")]["status"]["conditions"]
    cluster.store_status("web", {"loadBalancer": {}, "conditions": conditions})
    cluster.service("web", type="ClusterIP")
    cluster.settle()

    assert cluster.has("waiting") == [0]
    assert (cluster.told("web"), cluster.from_pool("web")) == ("", None)
    assert ServiceKey("shop", "web") not in cluster.assigner.entries


def test_what_a_speaker_says_too_late_is_taken_back(cluster: "Cluster") -> None:
    """Speakers do not see a Service any more that is of another type."""
    cluster.service("web", type="ClusterIP")
    cluster.settle()
    cluster.store_status("web", {"conditions": [{"type": "baremetal-lb.io/Announced", "status": "True"}]})
    cluster.settle()
    assert cluster.services[ServiceKey("shop", "web")]["status"]["conditions"] == []
    assert ServiceKey("shop", "web") not in cluster.assigner.entries


def test_a_service_keeps_its_address_when_the_pools_of_its_class_go(cluster: "Cluster") -> None:
    """[B2] It stays ours by its condition; one that merely waited is no longer ours, and what we said is taken back."""
    cluster.pool("gold", 0, 0, loadBalancerClasses=[X])
    cluster.service("served", loadBalancerClass=X)
    cluster.service("waiting", loadBalancerClass=X)
    cluster.settle()
    cluster.delete_pool("gold")
    cluster.settle()
    cluster.restart()
    cluster.settle()

    assert (cluster.has("served"), cluster.told("served")) == ([0], "AddressKept")
    assert cluster.told("waiting") == ""

    cluster.pool("silver", 0, 9, loadBalancerClasses=[X])
    cluster.settle()
    assert (cluster.told("served"), cluster.has("waiting")) == ("Assigned", [1])


def test_what_another_controller_wrote_is_left_alone(cluster: "Cluster") -> None:
    """[B20] [C53] A host name, or addresses of no pool; until the user asks for something of ours."""
    cluster.pool("gold", 0, 3)
    cluster.service("address")
    cluster.status("address", 99)
    cluster.service("host")
    cluster.store_status("host", {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}})
    cluster.settle()
    assert cluster.writes == 0

    for name in ("address", "host"):
        cluster.service(name, {"baremetal-lb.io/pool": "gold"})
    cluster.settle()
    assert (cluster.has("address"), cluster.has("host")) == ([0], [1])


@pytest.mark.parametrize("wish", [{}, {"baremetal-lb.io/pool": "gold"}])
def test_another_controller_that_writes_over_our_address_is_not_fought(
    cluster: "Cluster", wish: dict[str, str]
) -> None:
    """[C53] We take back what we said, once, and our address is free; when the other one has gone, we serve again."""
    cluster.pool("gold", 0, 3)
    cluster.service("web", wish)
    cluster.settle()
    writes = cluster.writes
    for number in (98, 99):
        cluster.status("web", number)
        cluster.settle()
    assert (cluster.has("web"), cluster.told("web"), cluster.from_pool("web")) == ([99], "", None)
    assert cluster.writes == writes + 1

    cluster.service("other")
    cluster.settle()
    assert cluster.has("other") == [0]

    cluster.status("web")
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([1], "Assigned")


SOME = {"namespaceSelectors": [{"matchLabels": {"team": "a"}}], "serviceSelectors": [{"matchLabels": {"app": "a"}}]}


def change_pool(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, serviceAllocation={"namespaces": ["other"]})


def change_namespace(cluster: "Cluster") -> None:
    cluster.namespace("shop", team="b")


def change_service(cluster: "Cluster") -> None:
    cluster.service("web", labels={"app": "b"})


def bind_to_exclusive_pool(cluster: "Cluster") -> None:
    cluster.pool("platinum", 20, 23, serviceAllocation={"namespaces": ["shop"], "exclusive": True})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change_pool, id="the pool's serviceAllocation"),
        pytest.param(change_namespace, id="the labels of the namespace"),
        pytest.param(change_service, id="the labels of the Service"),
        pytest.param(bind_to_exclusive_pool, id="another pool, which is exclusive"),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_who_is_no_longer_admitted_keeps_the_address(cluster: "Cluster", change: Any, restarts: bool) -> None:
    """[C2] A change of rules, or of labels that they look at, evicts nobody; the condition tells of it."""
    cluster.pool("silver", 10, 13)
    cluster.pool("gold", 0, 3, serviceAllocation=SOME)
    cluster.namespace("shop", team="a")
    cluster.service("web", labels={"app": "a"})
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([0], "Assigned")

    change(cluster)
    if restarts:
        cluster.restart()
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")
    assert "recreate the Service" in cluster.message("web")


@pytest.mark.parametrize(
    ("pools", "told", "from_pool"),
    [
        pytest.param({}, "AddressKept", "gold", id="[C4] all pools deleted"),
        pytest.param({"gold": (4, 7)}, "AddressKept", "gold", id="[C5] its pool shrunk, with other addresses free"),
        pytest.param({"gold": (0, 9)}, "Assigned", "gold", id="its pool grew"),
        pytest.param({"silver": (0, 3)}, "Assigned", "silver", id="[C5] its pool renamed"),
        pytest.param({"low": (0, 1), "high": (2, 3)}, "Assigned", "high", id="its pool split"),
        pytest.param({"all": (0, 50)}, "Assigned", "all", id="its pool merged into another"),
    ],
)
def test_an_address_in_use_stays_whatever_becomes_of_its_pool(
    cluster: "Cluster", pools: dict[str, tuple[int, int]], told: str, from_pool: str
) -> None:
    cluster.pool("gold", 0, 3)
    cluster.wants("keeper", 2)
    cluster.settle()
    cluster.service("keeper")
    cluster.settle()

    cluster.pools.clear()
    cluster.configure()
    for name, (first, last) in pools.items():
        cluster.pool(name, first, last)
    cluster.settle()
    cluster.restart()
    cluster.settle()

    assert (cluster.has("keeper"), cluster.told("keeper")) == ([2], told)
    assert cluster.from_pool("keeper") == from_pool


def test_the_order_of_addresses_is_not_ours_to_mend(cluster: "Cluster") -> None:
    """[C6] [C49] They are written in the order asked for; another order, in the status or the request, moves none."""
    cluster.pool("gold", 0, 3)
    cluster.wants("web", 3, 1)
    cluster.settle()
    assert cluster.has("web") == [3, 1]

    writes = cluster.writes
    cluster.status("web", 1, 3)
    cluster.settle()
    assert (cluster.writes, cluster.has("web")) == (writes, [1, 3])

    cluster.wants("web", 1, 3)
    cluster.settle()
    cluster.wants("web", 3, 1)
    cluster.settle()
    assert cluster.has("web") == [1, 3]


def test_a_recreated_service_gets_its_address_again_from_a_sticky_pool(cluster: "Cluster") -> None:
    """[C32] Without any stored state; not from another that took it in the meantime."""
    cluster.pool("gold", 0, 255, allocation="Sticky")
    for name in ("web", "mail"):
        cluster.service(name)
    cluster.settle()
    before = shown_by(cluster, "web")
    assert before != shown_by(cluster, "mail")

    cluster.delete("web")
    cluster.restart()
    cluster.service("web")
    cluster.settle()
    assert shown_by(cluster, "web") == before

    cluster.delete("web")
    cluster.service("thief", {"baremetal-lb.io/addresses": ",".join(before)})
    cluster.settle()
    cluster.service("web")
    cluster.settle()
    assert set(shown_by(cluster, "web")).isdisjoint(before)
    assert cluster.told("web") == "Assigned"


def test_what_random_pools_give_does_not_depend_on_the_hour(cluster: "Cluster") -> None:
    """Another controller that decides on the same Service comes to the same address."""
    cluster.pool("gold", 0, 255, allocation="Random")
    cluster.service("web")
    cluster.settle()
    before = shown_by(cluster, "web")
    cluster.store_status("web", {})
    cluster.restart()
    cluster.settle()

    assert shown_by(cluster, "web") == before


def shown_by(cluster: "Cluster", name: str) -> list[str]:
    return [one["ip"] for one in cluster.services[ServiceKey("shop", name)]["status"]["loadBalancer"]["ingress"]]


def dual_pool(cluster: "Cluster", name: str, *addresses: str) -> None:
    cluster.pool(name, 0, 0)
    cluster.pools[name]["spec"]["addresses"] = list(addresses)
    cluster.configure()


PREFER = "PreferDualStack"


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_preferred_dual_stack_with_one_cluster_ip_stays_at_one_address(dual: "Cluster", family: str) -> None:
    """[C24] [C24b] The written status, fed back, causes no second write, however many addresses the pool has."""
    dual.pool("gold", 0, 9)
    dual.service("web", ipFamilyPolicy=PREFER, ipFamilies=[family])
    for _ in range(3):
        dual.settle()
        dual.restart()

    assert shown_by(dual, "web") == ["192.0.2.0" if family == "IPv4" else "2001:db8::"]
    assert (dual.writes, dual.events) == (1, [("web", "Assigned")])


def test_a_missing_family_is_told_once_and_added_when_a_pool_has_it(dual: "Cluster") -> None:
    """[C24] [C25] The address that is there stays, although a later pool has both."""
    dual_pool(dual, "four", "192.0.2.0/30")
    dual.service("web", ipFamilyPolicy=PREFER)
    dual.settle()
    dual.restart()
    dual.settle()
    assert shown_by(dual, "web") == ["192.0.2.0"]
    assert dual.events == [("web", "Assigned")]
    assert "no IPv6 address" in dual.message("web")

    dual_pool(dual, "both", "198.51.100.0/30", "2001:db8:b::/126")
    dual.settle()
    assert shown_by(dual, "web") == ["192.0.2.0", "2001:db8:b::"]
    assert dual.from_pool("web") == "four,both"


def test_a_pool_that_loses_a_family_takes_neither_address_away(dual: "Cluster") -> None:
    """[C26]"""
    dual.pool("gold", 0, 9)
    dual.service("web", ipFamilyPolicy=PREFER)
    dual.settle()
    dual_pool(dual, "gold", "192.0.2.0/29")
    dual.settle()

    assert shown_by(dual, "web") == ["192.0.2.0", "2001:db8::"]
    assert dual.told("web") == "AddressKept"


@pytest.mark.parametrize("policy", ["PreferDualStack", "RequireDualStack"])
def test_a_change_of_families_moves_no_address_that_is_still_right(dual: "Cluster", policy: str) -> None:
    dual.pool("gold", 0, 9)
    for name in ("filler", "web"):
        dual.service(name, ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    dual.settle()
    dual.delete("filler")
    assert shown_by(dual, "web") == ["192.0.2.1"]

    dual.service("web", ipFamilyPolicy=policy)
    dual.settle()
    assert shown_by(dual, "web") == ["192.0.2.1", "2001:db8::"]

    dual.service("web", ipFamilyPolicy="SingleStack")
    dual.settle()
    assert shown_by(dual, "web") == ["192.0.2.1"]

    dual.service("web", ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"])
    dual.settle()
    assert shown_by(dual, "web") == ["2001:db8::"]


def test_of_two_statuses_with_one_address_the_older_keeps_it(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 1)
    for name in ("older", "younger"):
        cluster.service(name)
        cluster.status(name, 0)
    cluster.restart()
    cluster.settle()

    assert (cluster.has("older"), cluster.has("younger")) == ([0], [1])
    assert ("younger", "AddressInUse") in cluster.events


def test_a_contested_address_goes_to_whoever_shows_it_as_well_before_anyone_else(cluster: "Cluster") -> None:
    """Its holder goes while another status shows it still: an older Service that waits must not get it."""
    cluster.pool("gold", 0, 0)
    for name in ("holder", "waiting", "rival"):
        cluster.service(name)
    for name in ("holder", "rival"):
        cluster.status(name, 0)
    cluster.restart()
    cluster.decide()

    cluster.delete("holder")
    for text in cluster.addresses(0):
        assert cluster.assigner.ledger.holders_of(ip_address(text)) == (ServiceKey("shop", "rival"),)
    cluster.settle()

    assert (cluster.has("waiting"), cluster.has("rival")) == ([], [0])


def test_a_contested_address_is_free_once_no_status_shows_it(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 1)
    for name in ("holder", "rival", "waiting"):
        cluster.service(name)
    for name in ("holder", "rival"):
        cluster.status(name, 0)
    cluster.restart()
    cluster.settle()
    assert [cluster.has(name) for name in ("holder", "rival", "waiting")] == [[0], [1], []]

    cluster.delete("holder")
    cluster.settle()
    assert (cluster.has("rival"), cluster.has("waiting")) == ([1], [0])


REASSIGN = {"reclaimPolicy": "Reassign"}


def three_given_up(cluster: "Cluster", **policy: str) -> None:
    """Three Services whose pool has shrunk to one other address; another pool has one as well."""
    cluster.pool("gold", 0, 3, **policy)
    for name in ("c", "b", "a"):
        cluster.service(name)
    cluster.settle()
    cluster.pool("gold", 3, 3, **policy)
    cluster.pool("silver", 10, 10)
    cluster.settle()


def test_addresses_given_up_are_left_one_at_a_time_oldest_first(cluster: "Cluster") -> None:
    three_given_up(cluster, **REASSIGN)
    assert [cluster.has(name) for name in ("a", "b", "c")] == [[2], [1], [0]]
    assert cluster.told("c") == "AddressKept"
    assert "moves to another address as soon as one is free" in cluster.message("c")
    assert cluster.assigner.has_movable

    assert cluster.move_one() == "c"
    assert [cluster.has(name) for name in ("a", "b", "c")] == [[2], [1], [3]]
    assert cluster.events[-2:] == [("a", "AddressKept"), ("c", "Reassigned")]
    assert cluster.move_one() == "b"
    assert [cluster.has(name) for name in ("a", "b", "c")] == [[2], [10], [3]]

    assert cluster.move_one() is None
    assert (cluster.has("a"), cluster.told("a")) == ([2], "AddressKept")
    assert not cluster.assigner.has_movable


def test_who_found_nothing_to_move_to_moves_when_something_becomes_free(cluster: "Cluster") -> None:
    three_given_up(cluster, **REASSIGN)
    while cluster.move_one():
        pass
    cluster.delete("b")
    cluster.settle()

    assert cluster.move_one() == "a"
    assert cluster.has("a") == [10]


def test_who_should_move_is_known_after_a_restart(cluster: "Cluster") -> None:
    """By the annotation that names the pool of each address."""
    three_given_up(cluster, **REASSIGN)
    assert cluster.from_pool("c") == "gold"
    cluster.restart()
    cluster.settle()

    assert cluster.move_one() == "c"
    assert (cluster.has("c"), cluster.from_pool("c")) == ([3], "gold")


def test_a_move_that_another_decision_overtakes_comes_again(cluster: "Cluster") -> None:
    three_given_up(cluster, **REASSIGN)
    assert cluster.assigner.move_one() is not None
    cluster.configure()
    cluster.settle()
    assert cluster.has("c") == [0]

    assert cluster.move_one() == "c"


def test_an_address_that_was_asked_for_is_not_left(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, **REASSIGN)
    cluster.wants("web", 0)
    cluster.settle()
    cluster.pool("gold", 1, 3, **REASSIGN)
    cluster.settle()

    assert cluster.move_one() is None
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")


def test_an_address_that_is_claimed_for_its_service_is_not_left(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, **REASSIGN)
    cluster.claim("for-web", 0, service="web")
    cluster.service("web")
    cluster.settle()
    cluster.delete_pool("gold", drains=True)
    cluster.pool("silver", 10, 13)
    cluster.settle()

    assert not cluster.assigner.has_movable
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")


@pytest.mark.parametrize("policy", ["Retain", "Reassign"])
def test_who_names_a_pool_that_shrinks_keeps_the_address_until_its_turn(cluster: "Cluster", policy: str) -> None:
    """It asked for an address of the pool and has one that came from it; so it does not move with all the others."""
    cluster.pool("gold", 0, 3, reclaimPolicy=policy)
    cluster.pool("silver", 10, 13)
    cluster.service("web", {"baremetal-lb.io/pool": "gold"})
    cluster.settle()
    cluster.pool("gold", 2, 3, reclaimPolicy=policy)
    cluster.settle()
    cluster.restart()
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")

    assert cluster.move_one() == ("web" if policy == "Reassign" else None)
    assert cluster.has("web") == ([2] if policy == "Reassign" else [0])


def test_who_names_another_pool_leaves_an_address_that_no_pool_has(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("web")
    cluster.settle()
    cluster.delete_pool("gold")
    cluster.pool("silver", 10, 13)
    cluster.service("web", {"baremetal-lb.io/pool": "silver"})
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([10], "Assigned")


def test_the_pool_retains(cluster: "Cluster") -> None:
    three_given_up(cluster, reclaimPolicy="Retain")

    assert cluster.move_one() is None


def test_a_pool_that_is_unknown_by_now_retains(cluster: "Cluster") -> None:
    three_given_up(cluster, **REASSIGN)
    for name in ("a", "b", "c"):
        cluster.annotate(name, from_pool="gone")
    cluster.settle()

    assert cluster.move_one() is None


@pytest.mark.parametrize(("policy", "moves"), [("Retain", None), ("Reassign", "web")])
def test_a_pool_that_drains_lets_go_by_its_policy(cluster: "Cluster", policy: str, moves: str | None) -> None:
    cluster.pool("gold", 0, 3, reclaimPolicy=policy)
    cluster.service("web")
    cluster.settle()
    cluster.pool("silver", 10, 13)
    cluster.delete_pool("gold", drains=True)
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")

    assert cluster.move_one() == moves
    assert cluster.has("web") == ([10] if moves else [0])
