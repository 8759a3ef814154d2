"""What a planned move costs: connections that fail while an address goes from one node to another on purpose."""

import time
from collections.abc import Callable

from baremetal_lb.lab.connections import connecting
from baremetal_lb.lab.holders import watching
from baremetal_lb.lab.stage import Stage, prefer_nodes, select_nodes
from bench.figures import report

ANNOUNCERS = ("node1", "node2")
MOVES_OF_A_KIND = 3
BEFORE_SECONDS, AFTER_SECONDS = 0.5, 1.5
PREEMPTION_SECONDS = 1
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
GOAL, LIMIT = 0, 20


def measure_moves(stage: Stage) -> None:
    failed = sum(move(stage, how) for _ in range(MOVES_OF_A_KIND) for how in MOVES)
    report("planned_move_failed_connections", failed, "", goal=GOAL, limit=LIMIT)


def move(stage: Stage, how: Callable[[Stage, str, str], None]) -> int:
    """Make the addresses move, and count the connections that failed meanwhile."""
    holder = stage.holder()
    new = other(holder)
    prepare(stage, new, how)
    with connecting(stage.client, stage.addresses) as noted, watching(stage.observer, stage.addresses) as seen:
        time.sleep(BEFORE_SECONDS)
        how(stage, holder, new)
        stage.wait_until_holder(new)
        time.sleep(AFTER_SECONDS)
    tidy(stage)
    stage.wait_until_idle(holder)
    failed = sum(len(one.failed_at()) for one in noted.values())
    shared_ms = 1000 * seen.longest_shared_seconds(stage.addresses)
    unanswered_ms = 1000 * seen.longest_unanswered_seconds(stage.addresses)
    restarts = sum(one.download.restarts for one in noted.values())
    attempts = sum(len(one.attempts) for one in noted.values())
    print(
        f"{how.__name__}: {holder} to {new}, {failed} of {attempts} connections failed;"
        f" two holders for {shared_ms:,.0f} ms, none for {unanswered_ms:,.0f} ms; {restarts} downloads broken",
        flush=True,
    )
    return failed


def other(node: str) -> str:
    """Name the announcer that is not this one."""
    return next(one for one in ANNOUNCERS if one != node)


def prepare(stage: Stage, new: str, how: Callable[[Stage, str, str], None]) -> None:
    """The better node has to be away before it can return."""
    if how is better_node_returns:
        stage.lab.fail("link", new)
        stage.advertise(preferredNodeSelectors=prefer_nodes({new: 10}), preemptionDelaySeconds=PREEMPTION_SECONDS)


def tidy(stage: Stage) -> None:
    """Let all announcers be equal again, which moves nothing."""
    stage.advertise(nodeSelectors=select_nodes(ANNOUNCERS), preferredNodeSelectors=[])
    for node in ANNOUNCERS:
        stage.corner.patch("Node", node, {"metadata": {"labels": {EXCLUDED: None}}})


def speaker_is_replaced(stage: Stage, holder: str, _new: str) -> None:
    """As in a rolling update."""
    stage.replace_speaker(holder)


def node_is_excluded(stage: Stage, holder: str, _new: str) -> None:
    stage.corner.patch("Node", holder, {"metadata": {"labels": {EXCLUDED: ""}}})


def advertisement_is_edited(stage: Stage, _holder: str, new: str) -> None:
    stage.advertise(nodeSelectors=select_nodes([new]))


def better_node_returns(stage: Stage, _holder: str, new: str) -> None:
    stage.lab.heal("link", new)


MOVES = (speaker_is_replaced, node_is_excluded, advertisement_is_edited, better_node_returns)
