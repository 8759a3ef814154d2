"""The table of bounds in `docs/failover.md`, row by row, against what the simulation sees."""

import re
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from tests.simulation.scenarios import ADDRESSES, ITS_OWN, NOTHING, SCENARIOS
from tests.simulation.world import World, cluster

PAGE = Path(__file__).parents[2] / "docs" / "failover.md"
SEEDS = range(4)


class Row(NamedTuple):
    event: str
    nobody_ms: float
    two_ms: float


def table() -> list[Row]:
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return [Row(event, float(nobody), float(two)) for event, nobody, two in rows]


def test_every_row_has_its_scenario_and_no_scenario_is_left_out() -> None:
    assert [row.event for row in table()] == list(SCENARIOS)


def settled(nodes: int, seed: int) -> tuple[World, str]:
    """A cluster, and the holder of one of its addresses."""
    world = cluster(nodes, len(ADDRESSES), seed)
    holders = [sorted(world.record.holders[address]) for address in ADDRESSES]
    assert all(len(one) == 1 for one in holders)
    return world, holders[seed % len(ADDRESSES)][0]


@pytest.mark.parametrize("row", table(), ids=lambda row: row.event)
def test_what_happens_to_a_holder_is_over_within_its_bounds(row: Row) -> None:
    """And other nodes begin to hold no more than they have to."""
    scenario = SCENARIOS[row.event]
    nobody_ms, two_ms = [], []
    for seed in SEEDS:
        world, holder = settled(scenario.nodes, seed)
        its_own = world.record.held_by(holder)
        scenario.happen(world, holder)
        world.record.close()
        nobody_ms.append(1000 * world.record.longest_gap())
        two_ms.append(1000 * world.record.longest_overlap())
        moved = {move.address for move in world.record.moves if move.node != holder}
        if scenario.moves == NOTHING:
            assert not world.record.moves
        if scenario.moves == ITS_OWN:
            assert moved == its_own
    assert max(nobody_ms) <= row.nobody_ms, nobody_ms
    assert max(two_ms) <= row.two_ms, two_ms
    assert median(nobody_ms) >= row.nobody_ms / 3, f"the bound could be tighter: {nobody_ms}"
