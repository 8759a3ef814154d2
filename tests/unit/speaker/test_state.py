from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.cluster.endpoints import EndpointSliceView
from baremetal_lb.cluster.service import ServiceKey, TrafficPolicy
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
        "spec": {"addresses": ["192.0.2.0/24"]},
        "status": status,
    }


def test_the_counters_of_a_pool_mark_nothing(state: ClusterState) -> None:
    """They change with every Service."""
    state.pool_changed(("", "pool"), pool())
    assert state.take_dirty() == {IPV4, IPV6}
    state.pool_changed(("", "pool"), pool(assignedIPv4=7))
    assert state.take_dirty() == set()


def raw_service(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": "web", "uid": "u"},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {
            "loadBalancer": {"ingress": [{"ip": str(IPV4)}, {"ip": str(IPV6)}]},
            "conditions": [{"type": "baremetal-lb.io/AddressAssigned", "status": "True"}],
        },
    }


def test_a_service_is_reduced_to_what_is_announced() -> None:
    expected = AddressedService(ServiceKey(*WEB), "u", (IPV4, IPV6), TrafficPolicy.LOCAL, kept=True)
    assert parse_addressed_service(raw_service(externalTrafficPolicy="Local")) == expected


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        pytest.param(raw_service(loadBalancerClass="else"), None, id="another's class: nothing to announce"),
        pytest.param(raw_service(type="ClusterIP"), None, id="another type: nothing to announce"),
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
