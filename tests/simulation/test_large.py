"""Large clusters: the loss of a node, its return, and who has how much."""

from collections import Counter
from math import ceil

from tests.simulation.large import LargeWorld

NODES, ADDRESSES = 30, 10_000
SHARE = ADDRESSES / NODES
PACED_SECONDS = 1.25 * SHARE / 2_500
"""Frames for all addresses of a node leave at this pace; its successors share them."""

SETTLED_SECONDS = 1.0
"""A node that was cut off asks for all that it holds, twice, at that pace."""


def test_thirty_nodes_with_ten_thousand_addresses_lose_one() -> None:
    """All of its addresses are announced again in time, no others move, and none moves when it is back."""
    world = LargeWorld(NODES, ADDRESSES, bystanders=NODES)
    held = Counter(name for nodes in world.record.holders.values() for name in nodes)
    assert sum(held.values()) == ADDRESSES
    assert max(held.values()) <= ceil(1.25 * SHARE)
    lost, its_own = world.busiest, world.record.held_by(world.busiest)
    world.record.forget()
    world.unplug(lost)
    world.run(1.5)
    world.record.close()
    assert {move.address for move in world.record.moves if move.node != lost} == its_own
    assert world.record.longest_gap() <= 0.4 + PACED_SECONDS
    world.record.forget()
    world.plug(lost)
    world.run(1.5)
    world.record.close()
    assert world.record.moves == []
    assert world.record.longest_overlap() <= SETTLED_SECONDS


def test_a_thousand_nodes_with_a_thousand_addresses_lose_one() -> None:
    world = LargeWorld(nodes=1_000, addresses=1_000, bystanders=20)
    lost, its_own = world.busiest, world.record.held_by(world.busiest)
    world.record.forget()
    world.crash(lost)
    world.run(2.5)
    world.record.close()
    assert {move.address for move in world.record.moves} == its_own
    assert world.record.longest_gap() <= 0.4
