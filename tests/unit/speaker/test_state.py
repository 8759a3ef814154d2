"""What a change of the cluster makes dirty, and what the addresses then ask of the nodes."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.announce.decision import decide_l2, nominate_l2
from baremetal_lb.announce.model import Decision
from baremetal_lb.announce.offer import Offer, OfferedInterface
from baremetal_lb.cluster.endpoints import EndpointSliceView
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import ServiceKey, TrafficPolicy
from baremetal_lb.reasons import Reason
from baremetal_lb.speaker.state import AddressedService, ClusterState, parse_addressed_service

WEB, API = ("default", "web"), ("default", "api")
IPV4, IPV6 = ip_address("192.0.2.100"), ip_address("2001:db8:0:2::100")


def service(
    key: tuple[str, str], *addresses: Address, policy: TrafficPolicy = TrafficPolicy.CLUSTER
) -> AddressedService:
    return AddressedService(ServiceKey(*key), "uid", addresses, policy, kept=False)


def endpoint_slice(name: str, owner: tuple[str, str], *nodes: str) -> EndpointSliceView:
    return EndpointSliceView("default", name, ServiceKey(*owner), frozenset(nodes), anywhere=bool(nodes))


@pytest.fixture
def state() -> ClusterState:
    """One dual-stack Service with an endpoint, nothing dirty."""
    state = ClusterState()
    state.service_changed(WEB, service(WEB, IPV4, IPV6))
    state.slice_changed(("default", "web-1"), endpoint_slice("web-1", WEB, "node1"))
    state.take_dirty()
    return state


def endpoint_nodes(state: ClusterState, address: Address) -> frozenset[str]:
    demand = state.demand(address)
    assert demand is not None
    return frozenset().union(*(one.endpoints.nodes for one in demand.services))


def test_the_same_again_marks_nothing(state: ClusterState) -> None:
    state.service_changed(WEB, service(WEB, IPV4, IPV6))
    state.slice_changed(("default", "web-1"), endpoint_slice("web-1", WEB, "node1"))
    assert state.take_dirty() == set()


def test_a_service_that_loses_a_family_marks_both(state: ClusterState) -> None:
    state.service_changed(WEB, service(WEB, IPV6))
    assert state.take_dirty() == {IPV4, IPV6}
    assert state.demand(IPV4) is None
    assert state.demand(IPV6) is not None


def test_a_service_that_goes_marks_its_addresses(state: ClusterState) -> None:
    state.service_changed(WEB, None)
    assert state.take_dirty() == {IPV4, IPV6}
    assert state.services_on(IPV4) == ()


def test_the_other_service_of_an_address_stays(state: ClusterState) -> None:
    state.service_changed(API, service(API, IPV4))
    assert [str(one.key) for one in state.services_on(IPV4)] == ["default/api", "default/web"]
    state.service_changed(WEB, None)
    assert [str(one.key) for one in state.services_on(IPV4)] == ["default/api"]


def test_endpoints_add_up_over_slices(state: ClusterState) -> None:
    state.slice_changed(("default", "web-2"), endpoint_slice("web-2", WEB, "node2"))
    assert state.take_dirty() == {IPV4, IPV6}
    assert endpoint_nodes(state, IPV4) == {"node1", "node2"}
    state.slice_changed(("default", "web-1"), None)
    assert endpoint_nodes(state, IPV4) == {"node2"}


def test_one_more_pod_on_the_same_node_marks_nothing(state: ClusterState) -> None:
    state.slice_changed(("default", "web-2"), endpoint_slice("web-2", WEB, "node1"))
    assert state.take_dirty() == set()


def test_a_slice_that_changes_its_service_counts_there_only(state: ClusterState) -> None:
    state.service_changed(API, service(API, ip_address("192.0.2.101")))
    state.take_dirty()
    state.slice_changed(("default", "web-1"), endpoint_slice("web-1", API, "node1"))
    assert endpoint_nodes(state, IPV4) == frozenset()
    assert endpoint_nodes(state, ip_address("192.0.2.101")) == {"node1"}
    assert state.take_dirty() == {IPV4, IPV6, ip_address("192.0.2.101")}


def test_endpoints_may_come_before_their_service(state: ClusterState) -> None:
    state.slice_changed(("default", "api-1"), endpoint_slice("api-1", API, "node3"))
    assert state.take_dirty() == set()
    state.service_changed(API, service(API, ip_address("192.0.2.101")))
    assert endpoint_nodes(state, ip_address("192.0.2.101")) == {"node3"}


def pool(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "baremetal-lb.io/v1",
        "kind": "IPAddressPool",
        "metadata": {"name": "pool", "resourceVersion": str(len(status)), "generation": 1},
        "spec": {"addresses": ["192.0.2.0/24", "2001:db8:0:2::/64"]},
        "status": status,
    }


def test_the_counters_of_a_pool_mark_nothing(state: ClusterState) -> None:
    """They change with every Service."""
    state.pool_changed(("", "pool"), pool())
    assert state.take_dirty() == {IPV4, IPV6}
    state.pool_changed(("", "pool"), pool(assignedIPv4=7))
    assert state.take_dirty() == set()


ASSIGNED = {"type": "baremetal-lb.io/AddressAssigned", "status": "True"}


def raw_service(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": "web", "uid": "u"},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {
            "loadBalancer": {"ingress": [{"ip": str(IPV4)}, {"ip": str(IPV6)}]},
            "conditions": [ASSIGNED],
        },
    }


def test_a_service_is_reduced_to_what_is_announced() -> None:
    expected = AddressedService(ServiceKey(*WEB), "u", (IPV4, IPV6), TrafficPolicy.LOCAL, kept=True)
    assert parse_addressed_service(raw_service(externalTrafficPolicy="Local")) == expected


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        pytest.param(
            raw_service(loadBalancerClass="else"), True, id="a class of a pool's, for which the controller vouches"
        ),
        pytest.param(
            {**raw_service(loadBalancerClass="else"), "status": {**raw_service()["status"], "conditions": []}},
            None,
            id="another's class: nothing to announce",
        ),
        pytest.param(
            {
                **raw_service(loadBalancerClass="else"),
                "status": {**raw_service()["status"], "conditions": [{**ASSIGNED, "status": "False"}]},
            },
            None,
            id="another's class, and the controller refused it: nothing to announce",
        ),
        pytest.param(raw_service(type="ClusterIP"), None, id="[B2] another type: nothing, whatever the status says"),
        pytest.param(
            raw_service(type="ClusterIP", loadBalancerClass="else"),
            None,
            id="[B2] another type, and a class that was left behind: nothing to announce",
        ),
        pytest.param({**raw_service(), "status": {}}, None, id="no address: nothing to announce"),
        pytest.param(raw_service(loadBalancerClass="baremetal-lb.io/load-balancer"), True, id="our class"),
        pytest.param(
            {**raw_service(), "status": {**raw_service()["status"], "conditions": []}},
            False,
            id="the controller does not vouch for the addresses",
        ),
    ],
)
def test_whose_services_count(raw: dict[str, Any], kept: bool | None) -> None:
    parsed = parse_addressed_service(raw)
    assert (parsed.kept if parsed else None) is kept


@pytest.mark.parametrize(
    ("apps", "announced"),
    [
        pytest.param(["web"], True, id="a Service that is selected"),
        pytest.param(["api"], False, id="a Service that is not"),
        pytest.param(["api", "web"], True, id="a shared address with one that is selected"),
    ],
)
@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_an_advertisement_with_service_selectors_speaks_for(address: Address, apps: list[str], announced: bool) -> None:
    state = ClusterState()
    metadata = {"name": "gold", "creationTimestamp": "2026-01-01T00:00:00Z"}
    state.pool_changed(
        ("", "gold"), {"metadata": metadata, "spec": {"addresses": ["192.0.2.0/24", "2001:db8:0:2::/64"]}}
    )
    selectors = [{"matchLabels": {"app": "web"}}]
    state.l2_advertisement_changed(("", "l2"), {"metadata": {"name": "l2"}, "spec": {"serviceSelectors": selectors}})
    for app in apps:
        one = replace(service(("default", app), address), labels={"app": app})
        state.service_changed(("default", app), one)
    demand = state.demand(address)
    assert demand is not None
    assert bool(demand.advertisements) is announced


MORE4, MORE6 = ip_address("192.0.2.101"), ip_address("2001:db8:0:2::101")


def test_every_address_of_a_family_is_announced(state: ClusterState) -> None:
    """Also the second and third of one family, with the same endpoints behind each."""
    everything = (IPV4, MORE4, IPV6, MORE6)
    state.service_changed(WEB, service(WEB, *everything))
    assert state.take_dirty() == set(everything)
    for address in everything:
        assert endpoint_nodes(state, address) == {"node1"}

    state.service_changed(WEB, service(WEB, IPV4, IPV6, MORE6))
    assert state.demand(MORE4) is None
    assert state.demand(MORE6) is not None


def test_all_addresses_of_a_status_are_read() -> None:
    raw = raw_service()
    raw["status"]["loadBalancer"]["ingress"] = [
        {"hostname": "lb.example"},
        *({"ip": str(address)} for address in (IPV6, MORE6, IPV4, MORE4)),
    ]
    parsed = parse_addressed_service(raw)

    assert parsed is not None
    assert parsed.addresses == (IPV6, MORE6, IPV4, MORE4)


@pytest.fixture
def announced(state: ClusterState) -> ClusterState:
    """The same with two nodes that announce everything, and a second Service on both addresses."""
    for node in ("node1", "node2"):
        state.node_changed(("", node), NodeView(node, {}, excluded=False, network_unavailable=False))
        state.offer_changed(node, Offer((OfferedInterface("eth0"),)))
    state.alive_changed(frozenset({"node1", "node2"}))
    state.pool_changed(("", "pool"), pool())
    state.l2_advertisement_changed(("", "all"), {"metadata": {"name": "all"}, "spec": {}})
    state.service_changed(API, service(API, IPV4, IPV6))
    return state


def decide(state: ClusterState, address: Address) -> Decision:
    demand = state.demand(address)
    assert demand is not None
    nomination = nominate_l2(demand, state.electorate)
    holder = nomination.tiers[0].first(address) if nomination.tiers else None
    return decide_l2(demand, state.electorate, nomination, holder)


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_one_of_two_services_with_endpoints_is_enough(announced: ClusterState, address: Address) -> None:
    assert decide(announced, address).reason is Reason.ELECTED

    announced.slice_changed(("default", "web-1"), None)
    assert decide(announced, address).reason is Reason.NO_ENDPOINT
    announced.slice_changed(("default", "api-1"), endpoint_slice("api-1", API, "node2"))
    assert decide(announced, address).reason is Reason.ELECTED


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_with_the_local_policy_the_node_that_serves_most_of_those_on_an_address_announces_it(
    announced: ClusterState, address: Address
) -> None:
    for key in (WEB, API):
        announced.service_changed(key, service(key, IPV4, IPV6, policy=TrafficPolicy.LOCAL))
    assert decide(announced, address).holder == "node1"

    announced.slice_changed(("default", "web-1"), endpoint_slice("web-1", WEB, "node1", "node2"))
    announced.slice_changed(("default", "api-1"), endpoint_slice("api-1", API, "node2"))
    assert decide(announced, address).holder == "node2"

    announced.slice_changed(("default", "web-1"), None)
    announced.slice_changed(("default", "api-1"), endpoint_slice("api-1", API, "node3"))
    assert decide(announced, address).reason is Reason.NO_LOCAL_ENDPOINT


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_an_address_is_vouched_for_if_one_of_its_services_is(announced: ClusterState, address: Address) -> None:
    """Its pool is gone: what one of them keeps goes on being announced."""
    announced.pool_changed(("", "pool"), None)
    assert decide(announced, address).reason is Reason.NO_ADVERTISEMENT

    announced.service_changed(API, replace(service(API, IPV4, IPV6), kept=True))
    assert decide(announced, address).reason is Reason.ELECTED
