"""A segment falls apart and is whole again, and no cable ever loses its carrier.

node1, which holds the addresses, and client2 are in one part; everybody else is in the other.
"""

import time

import pytest

from baremetal_lb.lab.holders import watching
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.stage import Stage
from baremetal_lb.lab.waiting import stays, wait_for

TOGETHER = "node1,client2"
MOVES_WITHIN_SECONDS = 5.0
AFTERWARDS_SECONDS = 3.0
SHARED_LIMIT_SECONDS = 1.0


def test_each_part_has_a_holder_and_the_whole_has_one(stage: Stage, lab: Lab) -> None:
    """Who cannot be heard cannot be asked, so both parts are served; then one gives way, and every client knows."""
    lab.fail("isolated", TOGETHER)
    for address in stage.addresses:
        wait_for(
            f"the larger part is served from {address}",
            lambda: stage.client.announcers(address),  # noqa: B023 - called at once
            lambda nodes: len(nodes) == 1 and "node1" not in nodes,
            within=MOVES_WITHIN_SECONDS,
        )
    stays("node1 serves its part", stage.announcers, lambda nodes: nodes == {"node1"}, seconds=2.0)
    with watching(stage.observer, stage.addresses) as seen:
        lab.heal("isolated", TOGETHER)
        time.sleep(AFTERWARDS_SECONDS)
    assert seen.longest_shared_seconds(stage.addresses) <= SHARED_LIMIT_SECONDS
    for address in stage.addresses:
        (node,) = seen.last(address)
        assert stage.client.neighbour_node(address) == node
        assert stage.observer.neighbour_node(address) in {node, None}
        assert stage.client.reaches(address)


@pytest.mark.parametrize("kind", ["isolated", "split"])
def test_a_holder_alone_is_followed_and_gives_way(stage: Stage, lab: Lab, kind: str) -> None:
    """Whether or not it can still say through the API server what it does."""
    with watching(stage.observer, stage.addresses) as seen:
        lab.fail(kind, "node1")
        wait_for(
            "another node answers",
            lambda: [seen.last(address) for address in stage.addresses],
            lambda last: all(len(nodes) == 1 and "node1" not in nodes for nodes in last),
            within=MOVES_WITHIN_SECONDS,
        )
        time.sleep(1.0)
        lab.heal(kind, "node1")
        time.sleep(AFTERWARDS_SECONDS)
    assert seen.longest_shared_seconds(stage.addresses) <= SHARED_LIMIT_SECONDS
    stage.wait_until_idle("node1")
    for address in stage.addresses:
        assert len(seen.last(address)) == 1
        assert stage.client.reaches(address)


def test_only_the_api_server_is_out_of_reach(stage: Stage, lab: Lab) -> None:
    """Who still answers on the segment stays the holder, though its Lease runs out."""
    lab.fail("partition", "node1")
    stays("node1 holds", stage.announcers, lambda nodes: nodes == {"node1"}, seconds=6.0)
    lab.heal("partition", "node1")
    stays("node1 holds", stage.announcers, lambda nodes: nodes == {"node1"}, seconds=3.0)
