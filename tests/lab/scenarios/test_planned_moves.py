"""Addresses move on purpose: the new holder announces before the old one stops, so no connection fails."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.connections import Connections, connecting
from baremetal_lb.lab.holders import Sightings, watching
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.stage import Stage, prefer_nodes, select_nodes
from baremetal_lb.lab.waiting import wait_for

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
MOVES_WITHIN_SECONDS = 10.0
AFTERWARDS_SECONDS = 2.0
SHARED_LIMIT_SECONDS = 1.0
UNANSWERED_LIMIT_SECONDS = 0.3
"""A busy machine may well answer so late; nobody is to ask twice."""
SERVICES = 15
FIRST = (ip_address("198.51.100.101"), ip_address("2001:db8:100::101"))


@contextmanager
def unnoticed(stage: Stage) -> Iterator[Sightings]:
    """Whatever moves in the block, all connections come about, somebody answers always, and two only for a moment."""
    with connecting(stage.client, stage.addresses) as noted, watching(stage.observer, stage.addresses) as seen:
        yield seen
        time.sleep(AFTERWARDS_SECONDS)
    assert_all_came_about(noted)
    assert seen.longest_shared_seconds(stage.addresses) < SHARED_LIMIT_SECONDS
    assert seen.longest_unanswered_seconds(stage.addresses) < UNANSWERED_LIMIT_SECONDS


def assert_all_came_about(noted: Mapping[Address, Connections]) -> None:
    assert all(len(one.attempts) > 100 for one in noted.values())
    assert {address: one.failed_at() for address, one in noted.items() if one.failed_at()} == {}


def wait_until_moved(seen: Sightings, stage: Stage) -> None:
    """Wait until others than node1 hold all of the addresses, and the client's kernel knows them."""
    wait_for(
        "others than node1 answer, and the client knows",
        lambda: [(seen.last(one), stage.client.neighbour_node(one)) for one in stage.addresses],
        lambda all_seen: all(len(last) == 1 and last == {known} and known != "node1" for last, known in all_seen),
        within=MOVES_WITHIN_SECONDS,
    )


def exclude(stage: Stage) -> None:
    stage.corner.patch("Node", "node1", {"metadata": {"labels": {EXCLUDED: ""}}})


def cordon(stage: Stage) -> None:
    stage.corner.patch("Node", "node1", {"spec": {"unschedulable": True}})


def leave_it_out(stage: Stage) -> None:
    stage.advertise(nodeSelectors=select_nodes(["node2", "node3"]))


def prefer_another(stage: Stage) -> None:
    stage.advertise(preferredNodeSelectors=prefer_nodes({"node2": 10}), preemptionDelaySeconds=1)


@pytest.fixture
def equal_nodes(stage: Stage) -> Iterator[Stage]:
    """The nodes are as they were, afterwards."""
    stage.advertise(cordonedNodes="Leave")
    yield stage
    stage.corner.patch("Node", "node1", {"metadata": {"labels": {EXCLUDED: None}}, "spec": {"unschedulable": None}})


@pytest.mark.parametrize("how", [exclude, cordon, leave_it_out, prefer_another])
def test_a_node_is_to_give_its_addresses_up(equal_nodes: Stage, how: Callable[[Stage], None]) -> None:
    with unnoticed(equal_nodes) as seen:
        how(equal_nodes)
        wait_until_moved(seen, equal_nodes)


def test_a_better_node_returns(stage: Stage, lab: Lab) -> None:
    lab.fail("link", "node2")
    stage.advertise(preferredNodeSelectors=prefer_nodes({"node2": 10}), preemptionDelaySeconds=1)
    with unnoticed(stage) as seen:
        lab.heal("link", "node2")
        wait_until_moved(seen, stage)
    assert stage.announcers() == {"node2"}


def test_a_rolling_update_of_the_speakers(stage: Stage, lab: Lab) -> None:
    with unnoticed(stage):
        lab.kubectl("rollout", "restart", "daemonset/speaker", "-n", PRODUCT_NAMESPACE)
        lab.kubectl("rollout", "status", "daemonset/speaker", "-n", PRODUCT_NAMESPACE, "--timeout=180s", timeout=190)


def test_a_node_is_drained(equal_nodes: Stage, lab: Lab) -> None:
    """kubectl drain evicts what it may; the speaker is a DaemonSet's, so it stays and hands over."""
    with unnoticed(equal_nodes) as seen:
        lab.kubectl(
            "drain", "node1", "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=60s", timeout=70
        )
        wait_until_moved(seen, equal_nodes)


def test_thirty_new_addresses_have_one_holder_each(healthy_afterwards: Sandbox, other_client: Vantage) -> None:
    """Speakers hear of new Services at different times; what they make of it must not differ for long."""
    sandbox = healthy_afterwards
    pool = sandbox.name("burst")
    sandbox.create(objects.pool(pool, [f"{first}-{first + SERVICES - 1}" for first in FIRST]))
    sandbox.create(objects.advertisement(pool, [pool]))
    addresses = [first + number for first in FIRST for number in range(SERVICES)]
    with watching(other_client, addresses, every_seconds=0.1) as seen:
        for number in range(SERVICES):
            sandbox.request_service(f"web{number}", {"app": "echo"})
        wait_for("each has one holder", partial(without_one_holder, seen, addresses), lambda left: not left)
        time.sleep(AFTERWARDS_SECONDS)
    assert without_one_holder(seen, addresses) == {}
    assert seen.longest_shared_seconds(addresses) < SHARED_LIMIT_SECONDS


def without_one_holder(seen: Sightings, addresses: Collection[Address]) -> dict[str, set[str]]:
    """Tell who answered last for those addresses for which not exactly one node did."""
    return {str(address): set(seen.last(address)) for address in addresses if len(seen.last(address)) != 1}
