"""What a lab looks like is worked out without touching the machine."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from baremetal_lb.lab.topology import (
    LAN,
    POD_NETWORKS,
    SERVICE_NETWORKS,
    WAN,
    NetworkPlan,
    Role,
    Shape,
    Topology,
    TopologyError,
    links_of,
    plan_network,
    standard_topology,
)

EVERYTHING = Shape(nodes=3, clients=2, routers=2, remote_clients=1)
LARGEST = Shape(nodes=80, clients=40, routers=9, remote_clients=10)


def plan(shape: Shape) -> tuple[Topology, NetworkPlan]:
    topology = standard_topology(shape)
    return topology, plan_network(topology)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        pytest.param("cp", ("192.0.2.2", "2001:db8:0:2::2"), id="the control plane is number 2"),
        pytest.param("node1", ("192.0.2.11", "2001:db8:0:2::11"), id="nodes start at 11"),
        pytest.param("node3", ("192.0.2.13", "2001:db8:0:2::13"), id="and count up"),
        pytest.param("client1", ("192.0.2.201", "2001:db8:0:2::201"), id="clients start at 201"),
        pytest.param("router1", ("192.0.2.1", "2001:db8:0:2::1"), id="router 1 is number 1"),
        pytest.param("router2", ("192.0.2.3", "2001:db8:0:2::3"), id="later routers leave out the control plane"),
        pytest.param(
            "client3", ("198.51.100.203", "2001:db8:0:100::203"), id="remote clients are on the second segment"
        ),
    ],
)
def test_addresses_of_hosts(host: str, addresses: tuple[str, str]) -> None:
    assert standard_topology(EVERYTHING).host(host).addresses == tuple(map(ip_address, addresses))


def test_pod_networks_of_a_node_are_its_share_of_both_families() -> None:
    networks = standard_topology(Shape(nodes=12)).host("node12").pod_networks
    assert networks == (ip_network("10.244.12.0/24"), ip_network("fd00:10:244:12::/64"))


@pytest.mark.parametrize("shape", [EVERYTHING, LARGEST], ids=["a lab with everything", "the largest lab"])
def test_nothing_is_given_out_twice(shape: Shape) -> None:
    topology, network = plan(shape)
    addresses = [address for link in network.links for address in link.addresses]
    ports = [link.port for link in network.links]
    macs = [link.mac for link in network.links]
    pods = [network for host in topology.hosts for network in host.pod_networks]
    for given in (addresses, ports, macs, pods, [host.name for host in topology.hosts]):
        assert len(given) == len(set(given))
    assert all(len(port) <= 15 for port in ports), "the kernel's limit"
    assert all(len(link.addresses) == 2 for link in network.links)


@pytest.mark.parametrize("shape", [EVERYTHING, LARGEST], ids=["a lab with everything", "the largest lab"])
def test_pod_networks_are_within_the_clusters(shape: Shape) -> None:
    for node in standard_topology(shape).nodes:
        for network, whole in zip(node.pod_networks, POD_NETWORKS, strict=True):
            assert network.supernet(new_prefix=whole.prefixlen) == whole


def test_every_gateway_is_on_the_link_of_its_host() -> None:
    topology, network = plan(EVERYTHING)
    for route in network.routes:
        link = next(links_of(topology.host(route.host)))
        on_link = [ip_interface(address).network for address in link.addresses]
        assert route.via is None or any(route.via in one for one in on_link), route


@pytest.mark.parametrize("host", ["cp", "node1", "node2", "node3"])
def test_control_plane_and_nodes_reach_the_pods_of_every_other_node(host: str) -> None:
    topology, network = plan(Shape(nodes=3))
    routes = {(route.destination, route.via) for route in network.routes if route.host == host}
    wanted = {
        (pods, via)
        for node in topology.nodes
        if node.name != host
        for pods, via in zip(node.pod_networks, node.addresses, strict=True)
    }
    assert wanted <= routes


def test_only_nodes_have_services_on_their_link() -> None:
    _, network = plan(EVERYTHING)
    hosts = {route.host for route in network.routes if route.destination in SERVICE_NETWORKS}
    assert hosts == {"node1", "node2", "node3"}
    assert all(route.via is None for route in network.routes if route.destination in SERVICE_NETWORKS)


def test_everybody_but_routers_goes_through_router_1() -> None:
    topology, network = plan(EVERYTHING)
    router = topology.host("router1")
    for host in topology.hosts:
        gateways = [
            route.via for route in network.routes if route.host == host.name and route.destination.prefixlen == 0
        ]
        expected = [] if host.role is Role.ROUTER else list(host.segments[0].addresses(router.number))
        assert gateways == expected


def test_without_a_router_nothing_leaves_the_segment() -> None:
    topology, network = plan(Shape())
    assert topology.segments == (LAN,)
    assert network.bridges == ("lan",)
    assert all(route.destination.prefixlen > 0 for route in network.routes)


def test_a_router_is_plugged_into_both_segments() -> None:
    links = list(links_of(standard_topology(EVERYTHING).host("router1")))
    assert [(link.interface, link.port, link.segment) for link in links] == [
        ("eth0", "router1", LAN.name),
        ("eth1", "router1-wan", WAN.name),
    ]


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        pytest.param(Shape(nodes=81), "81 nodes", id="more nodes than numbers are refused"),
        pytest.param(Shape(clients=-1), "-1 clients", id="fewer than none are refused"),
        pytest.param(Shape(clients=50, routers=1, remote_clients=1), "51 clients", id="all clients count together"),
        pytest.param(Shape(routers=10), "10 routers", id="more routers than numbers are refused"),
        pytest.param(Shape(remote_clients=1), "needs a router", id="a remote client without a router is refused"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(shape: Shape, complaint: str) -> None:
    with pytest.raises(TopologyError, match=complaint):
        standard_topology(shape)


def test_an_unknown_host_is_answered_with_those_there_are() -> None:
    with pytest.raises(TopologyError, match="cp, node1, client1"):
        standard_topology(Shape(nodes=1)).host("node2")
