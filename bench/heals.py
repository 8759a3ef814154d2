"""How long an address has two holders when a segment that fell apart is whole again, as a client on it sees it.

The holder goes on in its part, another one begins in the other. Every second time the parts still share the API server.
"""

import time

from baremetal_lb.addresses import Address
from baremetal_lb.lab.holders import Sightings, watching
from baremetal_lb.lab.stage import PATIENCE_SECONDS, Stage
from baremetal_lb.lab.waiting import wait_for
from bench.figures import report
from bench.moves import other

HEALS = 10
APART_SECONDS, AFTERWARDS_SECONDS = 1.0, 2.5
GOAL_MS, LIMIT_MS = 1_000, 5_000


def measure_heals(stage: Stage) -> None:
    times = [one for number in range(HEALS) for one in heal(stage, ("isolated", "split")[number % 2])]
    report("partition_heal_two_holders_ms", max(times), "ms", goal=GOAL_MS, limit=LIMIT_MS)


def heal(stage: Stage, kind: str) -> list[float]:
    """Part the holder from the rest, join them again, and answer how long the observer heard both, by address."""
    holder = stage.holder()
    new = other(holder)
    with watching(stage.observer, stage.addresses) as seen:
        stage.lab.fail(kind, holder)
        wait_for(
            f"{new} has taken over",
            lambda: [seen.last(address) for address in stage.addresses],
            lambda last: last == [{new}] * len(stage.addresses),
            within=PATIENCE_SECONDS,
        )
        time.sleep(APART_SECONDS)
        healed_at = time.monotonic()
        stage.lab.heal(kind, holder)
        time.sleep(AFTERWARDS_SECONDS)
    times = [milliseconds_shared(seen, address, healed_at) for address in stage.addresses]
    print(f"{kind} {holder}: two holders for {', '.join(f'{one:,.0f}' for one in times)} ms", flush=True)
    stage.wait_until_idle(other(stage.holder()))
    return times


def milliseconds_shared(seen: Sightings, address: Address, healed_at: float) -> float:
    """Tell how many milliseconds after the heal two nodes answered for the last time; 0 where only one ever did."""
    ends = [one.ended_at for one in seen.shared(address) if one.ended_at > healed_at]
    return 1000 * (max(ends, default=healed_at) - healed_at)
