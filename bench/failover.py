"""How long a client is without service when the node that announces an address fails, and what a planned move costs.

Two nodes may announce; a third one, which may not, has the Pods. A client opens a connection every 10 ms and keeps a
long download. The time runs from before the fault to the first connection that was begun after it and came about. A
frozen node goes on forwarding, and so does one without a speaker: who knows the address notices nothing. There the
client forgets it when the fault has struck, and is a newcomer. Each fault strikes at another moment of the beats.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.connections import Connections, connecting
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.stage import PATIENCE_SECONDS, Stage, set_stage
from baremetal_lb.lab.waiting import wait_for
from bench.figures import report
from bench.heals import measure_heals
from bench.moves import ANNOUNCERS, measure_moves, other

ENDPOINTS_ON = "node3"
STRIKES = 10
WARM_UP_SECONDS = 0.3
PHASE_SECONDS = 0.037
"""Ten of these are spread evenly over an interval of the beats."""

SETTLE_SECONDS = 2.2
"""By then the announcements of a new holder are over, and all speakers know who is there."""

API_AWAY_SECONDS = 1.0
GOAL_P50_MS, GOAL_MAX_MS, LIMIT_MS = 400, 800, 5_000


@dataclass(frozen=True, slots=True)
class Blow:
    """One of the faults: what strikes the holder, and how it is mended."""

    name: str
    strike: Callable[[Stage, str], None]
    mend: Callable[[Stage, str], None]
    newcomer: bool = False
    """Whether only who does not know the address yet can notice."""


def main() -> None:
    with Lab("failover", nodes=3, clients=2) as lab:
        lab.install()
        corner, labels = Sandbox(lab.paths, "default", 0), {"app": "echo"}
        corner.create(objects.echo("echo", labels, node=ENDPOINTS_ON))
        stage = set_stage(lab, corner, labels, ANNOUNCERS)
        for blow in BLOWS:
            measure_blow(stage, blow)
        measure_moves(stage)
        measure_heals(stage)
        with api_away(stage):
            measure_blow(stage, BLOW_WITHOUT_API)


def measure_blow(stage: Stage, blow: Blow) -> None:
    milliseconds = [one for number in range(STRIKES) for one in strike(stage, blow, number)]
    report(f"{blow.name}_p50_ms", statistics.median(milliseconds), "ms", goal=GOAL_P50_MS, limit=LIMIT_MS)
    report(f"{blow.name}_max_ms", max(milliseconds), "ms", goal=GOAL_MAX_MS, limit=LIMIT_MS)


def strike(stage: Stage, blow: Blow, number: int) -> list[float]:
    """Let the holder fail, mend it again, and answer the milliseconds without service of each address."""
    holder = stage.holder()
    with connecting(stage.client, stage.addresses) as noted:
        time.sleep(WARM_UP_SECONDS + number * PHASE_SECONDS)
        began = time.monotonic()
        blow.strike(stage, holder)
        if blow.newcomer:
            for address in stage.addresses:
                stage.client.forget(address)
        struck = time.monotonic()
        served_at = {address: served_since(struck, address, one) for address, one in noted.items()}
        time.sleep(WARM_UP_SECONDS)
    blow.mend(stage, holder)
    milliseconds = [(at - began) * 1000 for at in served_at.values()]
    gaps = [one.download.gap_seconds(began, max(served_at.values()) + WARM_UP_SECONDS) for one in noted.values()]
    print(
        f"{blow.name} {holder}: served again after {', '.join(f'{one:,.0f}' for one in milliseconds)} ms;"
        f" gaps in the downloads {', '.join(f'{1000 * gap:,.0f}' for gap in gaps)} ms",
        flush=True,
    )
    return milliseconds


def served_since(moment: float, address: Address, connections: Connections) -> float:
    """Wait for a connection that was begun after a moment, and tell when the first came about."""
    look = connections.first_since
    return wait_for(f"a connection to {address}", lambda: look(moment), within=PATIENCE_SECONDS)


@contextmanager
def api_away(stage: Stage) -> Iterator[None]:
    stage.lab.fail("api")
    time.sleep(API_AWAY_SECONDS)
    yield
    stage.lab.heal("api")
    stage.wait_until_idle(other(stage.holder()))


def cut(stage: Stage, node: str) -> None:
    stage.lab.fail("link", node)


def join(stage: Stage, node: str) -> None:
    stage.lab.heal("link", node)
    stage.wait_until_idle(node)
    time.sleep(SETTLE_SECONDS)


def join_without_api(stage: Stage, node: str) -> None:
    stage.lab.heal("link", node)
    stage.wait_until_holder(other(node))
    time.sleep(SETTLE_SECONDS)


def freeze(stage: Stage, node: str) -> None:
    stage.lab.fail("node-frozen", node)


def thaw(stage: Stage, node: str) -> None:
    stage.lab.heal("node-frozen", node)
    stage.wait_until_idle(node)
    time.sleep(SETTLE_SECONDS)


def kill(stage: Stage, node: str) -> None:
    stage.lab.fail("speaker", node)


def replace(stage: Stage, node: str) -> None:
    """With a new Pod: the kubelet would make a container wait that ends again and again."""
    stage.replace_speaker(node, grace_seconds=0)
    stage.wait_until_idle(node)
    time.sleep(SETTLE_SECONDS)


BLOWS = (
    Blow("link_cut", cut, join),
    Blow("node_frozen", freeze, thaw, newcomer=True),
    Blow("speaker_killed", kill, replace, newcomer=True),
)
BLOW_WITHOUT_API = Blow("api_down_link_cut", cut, join_without_api)
