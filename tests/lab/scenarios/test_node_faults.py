"""The node that announces an address fails in one way or another: somebody else serves, the address stays."""

import logging
import time
from collections.abc import Callable
from functools import partial

import pytest

from baremetal_lb.addresses import Address, Family
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
FAILOVER_LIMIT_SECONDS = 10.0
"""A wide limit against hanging, no figure: the benchmarks measure."""

log = logging.getLogger(__name__)

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


@pytest.fixture
def only_holder(client: Vantage) -> Callable[[Address], str]:
    """Wait until an address is served and one node announces it, and name the node."""

    def find(address: Address) -> str:
        wait_for(f"a page from {address}", partial(client.reaches, address))
        return client.holder(address)

    return find


@pytest.mark.parametrize("family", list(Family))
def test_the_holder_loses_its_link(
    sandbox: Sandbox,
    client: Vantage,
    lab: Lab,
    only_holder: Callable[[Address], str],
    family: Family,
) -> None:
    """The client is served by another node, to which its neighbour entry has moved."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, families=(family.value,))
    (address,) = service.assigned(1)
    holder = only_holder(address)
    with client.traffic(address) as traffic:
        cut_at = time.monotonic()
        lab.fail("link", holder)
        wait_for(
            "another node announces it",
            partial(client.neighbour_node, address),
            lambda node: node not in {None, holder},
            within=FAILOVER_LIMIT_SECONDS,
        )
        moved_at = time.monotonic()
        wait_for("the client is served", partial(traffic.served_since, moved_at), within=FAILOVER_LIMIT_SECONDS)
        log.info("neighbour moved after %.2f s, longest gap %.2f s", moved_at - cut_at, traffic.longest_gap_seconds)
        lab.heal("link", holder)
        wait_for("one node is left", partial(client.announcers, address), lambda seen: len(seen) == 1)
        healed_at = time.monotonic()
        wait_for("the client is served", partial(traffic.served_since, healed_at), within=FAILOVER_LIMIT_SECONDS)
    assert service.addresses() == (address,)


@pytest.mark.parametrize("family", list(Family))
def test_the_speaker_of_the_holder_is_killed(
    sandbox: Sandbox, client: Vantage, lab: Lab, only_holder: Callable[[Address], str], family: Family
) -> None:
    """Who knows the address is served all the time, and who has to ask is answered again soon."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, families=(family.value,))
    (address,) = service.assigned(1)
    holder = only_holder(address)
    with client.traffic(address) as traffic:
        lab.fail("speaker", holder)
        client.forget(address)
        wait_for("one node answers", partial(client.announcers, address), lambda seen: len(seen) == 1)
        answered_at = time.monotonic()
        wait_for("the client is served", partial(traffic.served_since, answered_at))
    assert traffic.longest_gap_seconds < FAILOVER_LIMIT_SECONDS
    assert service.addresses() == (address,)


def test_the_node_of_a_local_pod_loses_its_link(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    """With the Local policy another node with a Pod takes over, and no other."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, policy=TrafficPolicy.LOCAL)
    addresses = service.assigned()
    holders = {}
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
        holders[address] = client.holder(address)
    cut = holders[addresses[0]]
    lab.fail("link", cut)
    for address in addresses:
        page = wait_for(f"a page from {address}", partial(_page_from_elsewhere, client, address, cut))
        assert {page} == client.announcers(address)


def _page_from_elsewhere(client: Vantage, address: Address, cut: str) -> str:
    client.forget(address)
    node = str(client.fetch(address).json["node"])
    return "" if node == cut else node


def test_a_rollout_of_the_speakers(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    """Every speaker is replaced in turn: no address changes, and clients are served meanwhile."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    ipv4, ipv6 = service.assigned()
    for address in (ipv4, ipv6):
        wait_for(f"a page from {address}", partial(client.reaches, address))
    with client.traffic(ipv4) as traffic4, client.traffic(ipv6) as traffic6:
        lab.kubectl("rollout", "restart", "daemonset/speaker", "-n", PRODUCT_NAMESPACE)
        lab.kubectl("rollout", "status", "daemonset/speaker", "-n", PRODUCT_NAMESPACE, "--timeout=180s", timeout=190)
    gap = max(traffic4.longest_gap_seconds, traffic6.longest_gap_seconds)
    log.info("longest gap during the rollout %.2f s", gap)
    assert gap < FAILOVER_LIMIT_SECONDS
    assert service.addresses() == (ipv4, ipv6)
    for address in (ipv4, ipv6):
        wait_for(f"one node announces {address}", partial(client.announcers, address), lambda seen: len(seen) == 1)


@pytest.mark.parametrize("family", list(Family))
def test_the_holder_is_excluded_by_its_label(
    sandbox: Sandbox, client: Vantage, lab: Lab, only_holder: Callable[[Address], str], family: Family
) -> None:
    """The well-known label takes a node out of service, and gives it back when it goes."""
    sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=(family.value,)).assigned(1)
    holder = only_holder(address)
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    lab.kubectl("label", "node", holder, f"{label}=")
    try:
        wait_for(
            f"another node than {holder} announces {address}",
            partial(client.announcers, address),
            lambda seen: len(seen) == 1 and holder not in seen,
        )
        assert client.reaches(address)
    finally:
        lab.kubectl("label", "node", holder, f"{label}-")
