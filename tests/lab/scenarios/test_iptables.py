"""The core of it with kube-proxy in iptables mode, on a lab of its own; all else runs with nftables."""

from collections.abc import Iterator
from functools import partial

import pytest

from baremetal_lb.addresses import Family, family_of
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.state import ProxyMode
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A small lab of our own in the place of the one that all others share."""
    with Lab("iptables", nodes=2, clients=2, proxy_mode=ProxyMode.IPTABLES) as own:
        own.install()
        yield own


@pytest.mark.parametrize("policy", list(TrafficPolicy))
def test_both_policies_serve_both_families(sandbox: Sandbox, client: Vantage, policy: TrafficPolicy) -> None:
    sandbox.offer()
    for address in sandbox.request_service("web", ECHO, policy=policy).assigned():
        page = wait_for(f"a page from {address}", partial(client.fetch, address))
        sees_client = page.json["client"] == str(client.address(family_of(address)))
        assert sees_client == (policy is TrafficPolicy.LOCAL)
        assert {client.neighbour_node(address)} == client.announcers(address)


def test_tcp_and_udp_share_an_address_and_a_port(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    ports = [
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"name": "datagrams", "protocol": "UDP", "port": 80, "targetPort": 8080},
    ]
    for address in sandbox.request_service("both", ECHO, ports=ports).assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
        wait_for(f"a datagram from {address}", partial(client.ask_udp, address, 80))


def test_a_client_outside_of_the_source_ranges_is_refused(
    sandbox: Sandbox, client: Vantage, other_client: Vantage
) -> None:
    sandbox.offer()
    ranges = [f"{client.address(Family.IPV4)}/32", f"{client.address(Family.IPV6)}/128"]
    for address in sandbox.request_service("web", ECHO, loadBalancerSourceRanges=ranges).assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
        stays("the other client is refused", partial(other_client.reaches, address), lambda got: not got, seconds=1)


def test_the_holder_loses_its_link(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    sandbox.offer()
    addresses = sandbox.request_service("web", ECHO).assigned()
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    holder = client.holder(addresses[0])
    lab.fail("link", holder)
    for address in addresses:
        wait_for(
            f"another node than {holder} announces {address}",
            partial(client.announcers, address),
            lambda seen: bool(seen) and holder not in seen,
        )
        wait_for(f"a page from {address}", partial(client.reaches, address))
    lab.heal("link", holder)
