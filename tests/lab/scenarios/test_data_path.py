"""What a client on the segment gets from a Service's address: resolved by ARP and NDP, served through kube-proxy."""

from functools import partial

import pytest

from baremetal_lb.addresses import Family, family_of
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}


def test_a_page_comes_from_an_address_that_was_resolved(sandbox: Sandbox, client: Vantage) -> None:
    """By ARP and by NDP: one node answers, and the client's kernel believes it."""
    sandbox.offer()
    for address in sandbox.request_service("web", ECHO).assigned():
        client.forget(address)
        wait_for(f"a page from {address}", partial(client.reaches, address))
        announcers = client.announcers(address)
        assert len(announcers) == 1, f"{address} is claimed by {announcers}"
        assert {client.neighbour_node(address)} == announcers


def test_an_address_says_where_it_is_before_it_is_asked(sandbox: Sandbox, client: Vantage) -> None:
    """A gratuitous ARP request or an unsolicited neighbor advertisement comes when a node begins to announce."""
    sandbox.offer()
    with client.listening() as heard:
        addresses = sandbox.request_service("web", ECHO).assigned()
        for address in addresses:
            claimed = wait_for(f"{address} is announced unasked", partial(heard.claims, address))
            assert claimed == client.announcers(address)


def test_addresses_spread_over_the_nodes(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    services = [sandbox.request_service(f"web{number}", ECHO) for number in range(5)]
    addresses = [address for service in services for address in service.assigned()]
    holders = [
        wait_for(f"one node announces {address}", partial(client.announcers, address), lambda seen: len(seen) == 1)
        for address in addresses
    ]
    assert len(set().union(*holders)) > 1, f"all {len(addresses)} addresses are at {holders[0]}"


def test_every_pod_serves(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    sandbox.offer()
    for address in sandbox.request_service("web", ECHO).assigned():
        seen: set[str] = set()

        def nodes_that_answered() -> set[str]:
            seen.add(client.fetch(address).json["node"])  # noqa: B023 - called at once
            return seen  # noqa: B023

        everywhere = {node.name for node in lab.topology.nodes}
        wait_for("a page from the Pod of each node", nodes_that_answered, lambda got: got == everywhere)  # noqa: B023


def test_session_affinity_keeps_a_client_at_one_pod(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, sessionAffinity="ClientIP")
    for address in service.assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
        pods = {client.fetch(address).json["pod"] for _ in range(20)}
        assert len(pods) == 1, f"{address} was served by {pods}"


def test_several_ports_share_an_address(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    ports = [{"name": f"port{number}", "port": number, "targetPort": 8080} for number in (80, 443, 8000)]
    for address in sandbox.request_service("web", ECHO, ports=ports).assigned():
        for number in (80, 443, 8000):
            wait_for(f"a page from {address} port {number}", partial(client.reaches, address, number))
        assert not client.reaches(address, 81)


def test_tcp_and_udp_share_an_address_and_a_port(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    ports = [
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"name": "datagrams", "protocol": "UDP", "port": 80, "targetPort": 8080},
    ]
    for address in sandbox.request_service("both", ECHO, ports=ports).assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
        answer = wait_for(f"a datagram from {address}", partial(client.ask_udp, address, 80))
        assert answer["pod"].startswith("echo-")


def test_a_client_outside_of_the_source_ranges_is_refused(
    sandbox: Sandbox, client: Vantage, other_client: Vantage
) -> None:
    sandbox.offer()
    ranges = [f"{client.address(Family.IPV4)}/32", f"{client.address(Family.IPV6)}/128"]
    for address in sandbox.request_service("web", ECHO, loadBalancerSourceRanges=ranges).assigned():
        wait_for(f"the client of {family_of(address)} is served", partial(client.reaches, address))
        stays(
            f"the other client is refused at {address}",
            partial(other_client.reaches, address),
            lambda reached: not reached,
            seconds=1,
        )
        assert client.reaches(address)


@pytest.mark.parametrize("family", list(Family))
def test_a_node_itself_and_a_pod_reach_the_address(sandbox: Sandbox, lab: Lab, family: Family) -> None:
    """Inside of the cluster it is kube-proxy that answers, on every node."""
    sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=(family.value,)).assigned(1)
    for node in lab.topology.nodes:
        wait_for(f"{node.name} gets a page", partial(Vantage(lab.paths, lab.topology, node.name).reaches, address))
