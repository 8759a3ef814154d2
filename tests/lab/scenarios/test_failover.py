"""The node that holds addresses fails in every way it can: another one takes over soon, and what returns moves nothing.

A dual-stack Service has an address of each family at node1. Times are limits against hanging: `bench/failover.py`
measures.
"""

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab.connections import Connections, connecting
from baremetal_lb.lab.holders import Sightings, watching
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.stage import Stage, prefer_nodes
from baremetal_lb.lab.waiting import stays, wait_for

MOVES_WITHIN_SECONDS = 5.0
STAYS_SECONDS = 4.0
SHARED_LIMIT_SECONDS = 1.0
"""For longer than this an address never has two holders that can hear each other."""

log = logging.getLogger(__name__)


@contextmanager
def moving(stage: Stage, lost: Collection[str] = ("node1",)) -> Iterator[Sightings]:
    """The block lets nodes fail: others hold the addresses soon, and never two of those that hear each other."""
    with watching(stage.observer, stage.addresses) as seen:
        began = time.monotonic()
        yield seen
        wait_for(
            f"others than {lost} answer",
            lambda: [seen.last(address) for address in stage.addresses],
            lambda last: all(len(nodes) == 1 and not nodes & set(lost) for nodes in last),
            within=MOVES_WITHIN_SECONDS,
        )
        log.info("others answer after %.0f ms", 1000 * (time.monotonic() - began))
    assert seen.longest_shared_seconds(stage.addresses) < SHARED_LIMIT_SECONDS


def holders(stage: Stage) -> dict[Address, frozenset[str]]:
    return {address: frozenset(stage.observer.announcers(address)) for address in stage.addresses}


@contextmanager
def nothing_moves(stage: Stage) -> Iterator[None]:
    """The block gives a node back: whatever it does, who held an address holds it, and soon alone."""
    before = holders(stage)
    with watching(stage.observer, stage.addresses) as seen:
        yield
        time.sleep(STAYS_SECONDS)
    assert seen.longest_shared_seconds(stage.addresses) < SHARED_LIMIT_SECONDS
    assert holders(stage) == before
    for address, nodes in before.items():
        assert {stage.client.neighbour_node(address)} == nodes, "the client's kernel knows it"


def known_elsewhere(client: Vantage, address: Address, lost: str) -> None:
    """Wait until the client's kernel knows another node, by what that one has told unasked."""
    wait_for(
        f"the client's kernel knows another node than {lost}",
        lambda: client.neighbour_node(address),
        lambda node: node not in {None, lost},
        within=MOVES_WITHIN_SECONDS,
    )


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("link", id="its link is cut"),
        pytest.param("node", id="it loses power"),
        pytest.param("node-frozen", id="all its processes freeze, and it goes on forwarding"),
        pytest.param("speaker-frozen", id="its speaker freezes, and the beat process says so"),
    ],
)
def test_the_holder_is_followed_and_its_return_moves_nothing(stage: Stage, lab: Lab, kind: str) -> None:
    """The clients' neighbour tables learn the new holder. The old one steps down before it answers for long."""
    with moving(stage):
        lab.fail(kind, "node1")
        for address in stage.addresses:
            known_elsewhere(stage.client, address, "node1")
    for address in stage.addresses:
        assert stage.client.reaches(address)
    with nothing_moves(stage):
        lab.heal(kind, "node1")


def test_a_killed_speaker(stage: Stage, lab: Lab) -> None:
    """Another one takes over, and the one that the kubelet starts again moves nothing."""
    with moving(stage):
        lab.fail("speaker", "node1")
        for address in stage.addresses:
            known_elsewhere(stage.client, address, "node1")
    with nothing_moves(stage):
        stage.wait_until_idle("node1")


def test_holder_and_runner_up_die_together(stage: Stage, lab: Lab) -> None:
    weights = {"node1": 30, "node2": 20, "node3": 10}
    stage.advertise(preferredNodeSelectors=prefer_nodes(weights), preemption="Never")
    stage.wait_until_holder("node1")
    with moving(stage, lost=("node1", "node2")):
        lab.fail("link", "node2")
        lab.fail("link", "node1")
    assert set().union(*holders(stage).values()) == {"node3"}
    with nothing_moves(stage):
        lab.heal("link", "node1")
        lab.heal("link", "node2")


@pytest.mark.parametrize("kind", ["api", "api-frozen"])
def test_the_api_server_is_away(stage: Stage, lab: Lab, kind: str) -> None:
    """Nothing moves for that; a cut link is followed nevertheless; and its return says nothing new."""
    with nothing_moves(stage):
        lab.fail(kind)
    with moving(stage):
        lab.fail("link", "node1")
        for address in stage.addresses:
            known_elsewhere(stage.client, address, "node1")
    with nothing_moves(stage):
        lab.heal("link", "node1")
    with nothing_moves(stage):
        lab.heal(kind)
        stage.wait_until_idle("node1")


def test_a_speaker_that_restarts_without_the_api_server_does_no_harm(stage: Stage, lab: Lab) -> None:
    with nothing_moves(stage):
        lab.fail("api")
        lab.fail("speaker", "node2")
    with nothing_moves(stage):
        lab.heal("api")


def test_lost_beats_move_nothing_while_the_segment_is_whole(stage: Stage, lab: Lab) -> None:
    """Who still answers on the segment holds on, though all others miss its beats; no client notices anything."""
    with connecting(stage.client, stage.addresses) as noted, watching(stage.observer, stage.addresses) as seen:
        lab.fail("beats-blocked", "node1")
        time.sleep(STAYS_SECONDS)
        lab.heal("beats-blocked", "node1")
        time.sleep(1.0)
    assert [seen.holders(address) for address in stage.addresses] == [["node1"], ["node1"]]
    assert_unharmed(noted)


def test_a_cut_link_is_noticed_although_no_beats_came_before(stage: Stage, lab: Lab) -> None:
    lab.fail("beats-blocked", "node1")
    stays("node1 holds", stage.announcers, lambda nodes: nodes == {"node1"}, seconds=2.0)
    with moving(stage):
        lab.fail("link", "node1")


def assert_unharmed(noted: dict[Address, Connections]) -> None:
    assert [one.failed_at() for one in noted.values()] == [[], []]
    assert [one.download.restarts for one in noted.values()] == [0, 0]


@pytest.mark.parametrize("node", ["node2", "node3"])
def test_the_loss_of_another_node_moves_nothing(stage: Stage, lab: Lab, node: str) -> None:
    with nothing_moves(stage):
        lab.fail("link", node)
    with nothing_moves(stage):
        lab.heal("link", node)
