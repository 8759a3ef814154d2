"""What a lab looks like, as data: hosts on layer-2 segments, their addresses, and the routes between them.

Nothing here touches the machine. `standard_topology` turns a `Shape` (how many of what) into hosts; `plan_network`
turns its hosts into the links, addresses and routes that `netns.py` then makes. Every host has both families, always.

Addresses on a segment are found by a host number that reads the same in both families: node 1 is number 11, so
192.0.2.11 and 2001:db8:0:2::11. Numbers 100 to 199 stay free for the pools of whoever uses the lab.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from baremetal_lb.addresses import Address
from baremetal_lb.lab.errors import LabError

Network = IPv4Network | IPv6Network

POD_NETWORKS: tuple[Network, Network] = (IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/48"))
SERVICE_NETWORKS: tuple[Network, Network] = (IPv4Network("10.96.0.0/16"), IPv6Network("fd00:10:96::/112"))
CONTROL_PLANE = "cp"
FABRIC = "fabric"
API_PORT = 6443

MAX_NODES = 80
MAX_CLIENTS = 50
MAX_ROUTERS = 9

_FIRST_NODE, _FIRST_CLIENT = 11, 201
_CONTROL_PLANE_NUMBER = 2
# Router 1 sits at .1, where people expect a gateway; .2 is the control plane.
_ROUTER_NUMBERS = (1, 3, 4, 5, 6, 7, 8, 9, 10)


class TopologyError(LabError):
    """A topology that cannot be, or a host that is not in it."""


class Role(StrEnum):
    """What a host is for."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"
    CLIENT = "client"
    ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Segment:
    """One layer-2 segment: a bridge in the fabric and a subnet of each family."""

    name: str
    index: int
    ipv4: IPv4Network
    ipv6: IPv6Network

    def addresses(self, number: int) -> tuple[IPv4Address, IPv6Address]:
        """Tell the addresses of the host with this number; 201 is .201 and ::201."""
        return self.ipv4[number], self.ipv6[int(str(number), 16)]


LAN = Segment("lan", 1, IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:0:2::/64"))
WAN = Segment("wan", 2, IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:0:100::/64"))


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace: its place on every segment that it is plugged into.

    `index` counts hosts of one role from 1; `number` is the host's number on a segment.
    """

    name: str
    role: Role
    index: int
    number: int
    segments: tuple[Segment, ...]

    @property
    def forwards(self) -> bool:
        """Tell whether the host passes packets on that are not its own."""
        return self.role in {Role.NODE, Role.ROUTER}

    @property
    def addresses(self) -> tuple[IPv4Address, IPv6Address]:
        """Its addresses on its first segment, IPv4 first."""
        return self.segments[0].addresses(self.number)

    @property
    def pod_networks(self) -> tuple[Network, ...]:
        """The addresses of Pods that live on it, IPv4 first; none unless it is a node."""
        if self.role is not Role.NODE:
            return ()
        return ip_network(f"10.244.{self.index}.0/24"), ip_network(f"fd00:10:244:{self.index}::/64")

    def mac(self, segment: Segment) -> str:
        """Tell its hardware address on a segment: always the same one, so that captures can be compared."""
        return f"02:62:6d:00:{segment.index:02x}:{self.number:02x}"


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of what; a remote client is one that reaches the nodes through router 1."""

    nodes: int = 3
    clients: int = 1
    routers: int = 0
    remote_clients: int = 0

    def check(self) -> None:
        """Raise TopologyError when this cannot be laid out."""
        limits = (
            ("nodes", self.nodes, MAX_NODES),
            ("clients", self.clients + self.remote_clients, MAX_CLIENTS),
            ("routers", self.routers, MAX_ROUTERS),
        )
        for what, count, limit in limits:
            if not 0 <= count <= limit:
                raise TopologyError(f"{count} {what}: a lab has 0 to {limit}")
        if self.remote_clients and not self.routers:
            raise TopologyError("a remote client needs a router to reach the nodes")


@dataclass(frozen=True, slots=True)
class Topology:
    """All hosts of a lab and the segments they are on."""

    segments: tuple[Segment, ...]
    hosts: tuple[Host, ...]

    def host(self, name: str) -> Host:
        """Find a host; raise TopologyError, naming those there are, when there is none of this name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise TopologyError(f"no host {name!r}; there are {', '.join(one.name for one in self.hosts)}")

    def with_role(self, role: Role) -> tuple[Host, ...]:
        """List the hosts of one role."""
        return tuple(host for host in self.hosts if host.role is role)

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The hosts that are Kubernetes nodes."""
        return self.with_role(Role.NODE)


def standard_topology(shape: Shape) -> Topology:
    """Lay out control plane, nodes and clients on one segment, and routers between it and a second one."""
    shape.check()
    lan, both = (LAN,), (LAN, WAN)
    hosts = [Host(CONTROL_PLANE, Role.CONTROL_PLANE, 1, _CONTROL_PLANE_NUMBER, lan)]
    hosts += [Host(f"node{i}", Role.NODE, i, _FIRST_NODE + i - 1, lan) for i in range(1, shape.nodes + 1)]
    for i in range(1, shape.clients + shape.remote_clients + 1):
        segments = lan if i <= shape.clients else (WAN,)
        hosts.append(Host(f"client{i}", Role.CLIENT, i, _FIRST_CLIENT + i - 1, segments))
    hosts += [Host(f"router{i}", Role.ROUTER, i, _ROUTER_NUMBERS[i - 1], both) for i in range(1, shape.routers + 1)]
    return Topology(segments=both if shape.routers else lan, hosts=tuple(hosts))


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair: `interface` in the host's namespace, `port` in the fabric, on the bridge of a segment."""

    host: str
    interface: str
    port: str
    segment: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """A route of one host; without a `via` the destination is on the link of `eth0` itself."""

    host: str
    destination: Network
    via: Address | None


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Everything that has to be made, in the order in which it can be made."""

    hosts: tuple[Host, ...]
    bridges: tuple[str, ...]
    links: tuple[Link, ...]
    routes: tuple[Route, ...]


def plan_network(topology: Topology) -> NetworkPlan:
    """Work out every bridge, link, address and route of a topology."""
    return NetworkPlan(
        hosts=topology.hosts,
        bridges=tuple(segment.name for segment in topology.segments),
        links=tuple(link for host in topology.hosts for link in links_of(host)),
        routes=tuple(route for host in topology.hosts for route in _routes(topology, host)),
    )


def links_of(host: Host) -> Iterator[Link]:
    """Yield the links of a host, `eth0` first."""
    for position, segment in enumerate(host.segments):
        ipv4, ipv6 = segment.addresses(host.number)
        yield Link(
            host=host.name,
            interface=f"eth{position}",
            port=host.name if position == 0 else f"{host.name}-{segment.name}",
            segment=segment.name,
            mac=host.mac(segment),
            addresses=(f"{ipv4}/{segment.ipv4.prefixlen}", f"{ipv6}/{segment.ipv6.prefixlen}"),
        )


def _routes(topology: Topology, host: Host) -> Iterator[Route]:
    if host.role in {Role.CONTROL_PLANE, Role.NODE}:
        yield from _pod_routes(topology, host)
    if host.role is Role.NODE:
        # A process of the node itself needs a route before kube-proxy gets to rewrite its packet.
        yield from (Route(host.name, network, None) for network in SERVICE_NETWORKS)
    if host.role is not Role.ROUTER:
        yield from _default_routes(topology, host)


def _pod_routes(topology: Topology, host: Host) -> Iterator[Route]:
    for node in topology.nodes:
        if node is not host:
            ipv4, ipv6 = node.addresses
            yield Route(host.name, node.pod_networks[0], ipv4)
            yield Route(host.name, node.pod_networks[1], ipv6)


def _default_routes(topology: Topology, host: Host) -> Iterator[Route]:
    for router in topology.with_role(Role.ROUTER)[:1]:
        gateways = host.segments[0].addresses(router.number)
        yield Route(host.name, IPv4Network("0.0.0.0/0"), gateways[0])
        yield Route(host.name, IPv6Network("::/0"), gateways[1])
