"""What a person wants to know about the hosts of a lab at a glance."""

from collections.abc import Iterator
from typing import Any

from baremetal_lb.lab import api
from baremetal_lb.lab.bringup import is_ready
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.state import Record
from baremetal_lb.lab.topology import Host, Role

HostRow = tuple[str, str, str, str, str]


def host_rows(paths: LabPaths, record: Record) -> Iterator[HostRow]:
    """Yield name, role, addresses, Pod networks and state of every host."""
    nodes = _nodes(paths)
    for host in record.topology.hosts:
        addresses = (str(address) for segment in host.segments for address in segment.addresses(host.number))
        networks = map(str, host.pod_networks)
        yield host.name, host.role.value, "\n".join(addresses), "\n".join(networks), host_state(host, nodes)


def host_state(host: Host, nodes: dict[str, Any] | None) -> str:
    """Tell what Kubernetes says of a host; `nodes` is None while the API server does not answer."""
    if host.role is not Role.NODE:
        return ""
    if nodes is None:
        return "unknown: no answer from the API server"
    if host.name not in nodes:
        return "not registered"
    return "Ready" if is_ready(nodes[host.name]) else "NotReady"


def _nodes(paths: LabPaths) -> dict[str, Any] | None:
    try:
        answer = api.request(paths, "GET", "/api/v1/nodes")
    except api.RequestError:
        return None
    return {node["metadata"]["name"]: node for node in answer["items"]}
