"""Whatever befalls a few nodes, in any order: an address is never without a holder, or with two, for longer than told.

What no mechanism could help is left out: nobody serves an address while no node that may hold it runs in reach of the
client, and two nodes that don't hear each other may both hold it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from baremetal_lb.addresses import Address
from tests.simulation.api_server import Asked
from tests.simulation.record import CLIENT
from tests.simulation.world import World, cluster, some_addresses

MOST_NODES = 7
NAMES = tuple(f"n{number}" for number in range(1, MOST_NODES + 1))
ADDRESSES = tuple(some_addresses(4))
PREEMPT_SECONDS = 2.0
HEALED_SECONDS = 1.1
"""An announcement is repeated after a second."""

NOBODY_SECONDS = 6.0
DISAGREEING_SECONDS = 3.0
"""Of two nodes that hear each other but don't know the same, as while the API server is away from one."""

SETTLED_SECONDS = 15.0
MILLION = 1_000_000


@dataclass(frozen=True)
class Step:
    """Something that befalls one node (or two), and how long it lasts until the next."""

    what: str
    node: str
    other: str
    address: Address
    nodes: frozenset[str]
    seconds: float


def unplug(world: World, step: Step) -> None:
    world.unplug(step.node)


def lose_link(world: World, step: Step) -> None:
    world.unplug(step.node, noticed=True)


def plug(world: World, step: Step) -> None:
    world.plug(step.node, noticed=True)


def crash(world: World, step: Step) -> None:
    world.crash(step.node)


def kill_and_restart(world: World, step: Step) -> None:
    world.kill(step.node)
    world.run(0.5)
    boot(world, step)


def boot(world: World, step: Step) -> None:
    if world.nodes[step.node].speaker is None:
        world.boot(step.node)


def stop(world: World, step: Step) -> None:
    if step.node in world.record.running:
        world.stop(step.node)


def freeze(world: World, step: Step) -> None:
    if step.node in world.record.running:
        world.freeze(step.node)


def freeze_speaker(world: World, step: Step) -> None:
    if step.node in world.record.running:
        world.freeze_speaker(step.node)


def thaw(world: World, step: Step) -> None:
    if world.nodes[step.node].speaker is not None and step.node not in world.record.running:
        world.thaw(step.node)


def lose_api(world: World, step: Step) -> None:
    world.api.go_away(step.node)


def find_api(world: World, step: Step) -> None:
    world.api.come_back(step.node)


def api_down(world: World, _: Step) -> None:
    world.api.go_away(*world.nodes)


def api_up(world: World, _: Step) -> None:
    world.api.come_back(*world.nodes)


def one_way(world: World, step: Step) -> None:
    world.wire.deaf.add((step.node, step.other))
    world.record.look()


def part(world: World, step: Step) -> None:
    side = step.nodes & set(world.nodes)
    world.part(side, [*(set(world.nodes) - side), CLIENT])


def block_beats(world: World, step: Step) -> None:
    world.wire.beats_blocked |= {(step.node, step.other), (step.other, step.node)}


def mend(world: World, _: Step) -> None:
    world.mend()


def lossy(world: World, _: Step) -> None:
    world.wire.loss = 0.3


def lossless(world: World, _: Step) -> None:
    world.wire.loss = 0.0


def restrict(world: World, step: Step) -> None:
    """Let only some nodes hold the address."""
    nodes = step.nodes & set(world.nodes)
    world.need(step.address, Asked(dict.fromkeys(nodes or world.nodes, 0)))


def prefer(world: World, step: Step) -> None:
    scores = {name: int(name == step.node) for name in world.nodes}
    world.need(step.address, Asked(scores, PREEMPT_SECONDS))


def need_no_more(world: World, step: Step) -> None:
    world.need_no_more(step.address)


STEPS: dict[str, Callable[[World, Step], None]] = {
    one.__name__: one
    for one in (
        unplug,
        lose_link,
        plug,
        crash,
        kill_and_restart,
        boot,
        stop,
        freeze,
        freeze_speaker,
        thaw,
        lose_api,
        find_api,
        api_down,
        api_up,
        one_way,
        part,
        block_beats,
        mend,
        lossy,
        lossless,
        restrict,
        prefer,
        need_no_more,
    )
}
steps = st.builds(
    Step,
    what=st.sampled_from(sorted(STEPS)),
    node=st.sampled_from(NAMES[:5]),
    other=st.sampled_from(NAMES[:5]),
    address=st.sampled_from(ADDRESSES),
    nodes=st.frozensets(st.sampled_from(NAMES)),
    seconds=st.sampled_from((0.02, 0.2, 0.5, 1.0, 3.0, 6.0)),
)


def play(world: World, step: Step) -> None:
    """Let it happen, if such a node is there, and check for what was for too long."""
    if {step.node, step.other} <= world.nodes.keys():
        STEPS[step.what](world, step)
    world.record.disturb()
    world.run(step.seconds)
    if world.wire.loss:
        world.record.forget()


def heal(world: World) -> None:
    """Let everything be well again, and everything be needed."""
    world.wire.loss = 0.0
    world.mend()
    for name, node in world.nodes.items():
        if node.speaker is None:
            world.boot(name)
        elif node.speaker.is_stopping:
            world.kill(name)
            world.boot(name)
        elif name not in world.record.running:
            world.thaw(name)
    world.api.come_back(*world.nodes)
    for address in ADDRESSES:
        if address not in world.record.asked:
            world.need(address)
    world.record.disturb()


@settings(max_examples=25)
@given(st.integers(3, MOST_NODES), st.lists(steps, max_size=12), st.integers(0, MILLION))
def test_whatever_happened_it_settles(size: int, history: list[Step], seed: int) -> None:
    """Each address has one holder then, all agree who, the client knows, and nothing moves any more."""
    world = cluster(size, len(ADDRESSES), seed)
    for step in history:
        play(world, step)
    world.record.close()
    assert world.record.longest_overlap() <= DISAGREEING_SECONDS
    heal(world)
    world.record.forget()
    world.run(SETTLED_SECONDS)
    world.record.close()
    assert world.record.longest_overlap() <= HEALED_SECONDS
    assert world.record.longest_gap() <= NOBODY_SECONDS
    world.record.forget()
    world.run(10.0)
    assert world.record.moves == []
    for address in ADDRESSES:
        (holder,) = world.record.holders[address]
        named = {node.speaker and node.speaker.elections.holder(address) for node in world.nodes.values()}
        assert named == {holder}
        assert world.record.believed[address] == holder
