"""What happens to the holder of an address, in the words of the table in `docs/failover.md`."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.api_server import Asked
from tests.simulation.record import CLIENT
from tests.simulation.world import World, some_addresses

ADDRESSES = some_addresses(8)
OVER_SECONDS = 6.0
"""By then Leases have expired, and everything is settled."""

ITS_OWN, NOTHING, EVERYTHING = "its own", "nothing", "everything"


@dataclass(frozen=True)
class Scenario:
    """What happens, and which addresses other nodes may begin to hold."""

    happen: Callable[[World, str], None]
    moves: str = ITS_OWN
    nodes: int = 5


def cut(world: World, node: str) -> None:
    world.unplug(node)
    world.run(OVER_SECONDS)


def notice(world: World, node: str) -> None:
    world.unplug(node, noticed=True)
    world.run(OVER_SECONDS)


def freeze(world: World, node: str) -> None:
    world.freeze(node)
    world.run(OVER_SECONDS)


def crash(world: World, node: str) -> None:
    world.crash(node)
    world.run(OVER_SECONDS)


def kill(world: World, node: str) -> None:
    world.kill(node)
    world.run(OVER_SECONDS)


def freeze_speaker(world: World, node: str) -> None:
    world.freeze_speaker(node)
    world.run(OVER_SECONDS)


def lose_api(world: World) -> None:
    world.api.go_away(*world.nodes)
    world.run(OVER_SECONDS)


def cut_without_api(world: World, node: str) -> None:
    lose_api(world)
    cut(world, node)


def crash_with(successors: int) -> Callable[[World, str], None]:
    def happen(world: World, node: str) -> None:
        speaker = world.nodes[node].speaker
        assert speaker is not None
        first = min(world.record.held_by(node), key=int)
        dead = speaker.elections.successors(first)[:successors]
        for one in dead:
            world.record.asked -= world.record.held_by(one)
        world.record.asked &= {first}
        for one in (node, *dead):
            world.crash(one)
        world.run(OVER_SECONDS)

    return happen


def deafen(world: World, node: str) -> None:
    world.wire.deaf |= {(other, node) for other in (*world.nodes, CLIENT)}
    world.record.look()
    world.run(OVER_SECONDS)


def silence(world: World, node: str) -> None:
    world.wire.deaf |= {(node, other) for other in (*world.nodes, CLIENT)}
    world.record.look()
    world.run(OVER_SECONDS)


def block_beats(world: World, node: str) -> None:
    world.wire.beats_blocked |= {pair for other in world.nodes for pair in ((node, other), (other, node))}
    world.run(OVER_SECONDS)


def only_lose_api(world: World, _: str) -> None:
    lose_api(world)
    world.api.come_back(*world.nodes)
    world.run(OVER_SECONDS)


def restart(world: World, node: str) -> None:
    world.stop(node)
    world.run(OVER_SECONDS)
    world.boot(node)
    world.run(OVER_SECONDS)


def stop_without_api(world: World, node: str) -> None:
    lose_api(world)
    world.stop(node)
    world.run(OVER_SECONDS)


def exclude(world: World, node: str) -> None:
    others = Asked({other: 0 for other in world.nodes if other != node})
    for address in ADDRESSES:
        world.need(address, others)
    world.run(OVER_SECONDS)


def prefer_another(world: World, node: str) -> None:
    better = next(other for other in world.nodes if other != node)
    preferred = Asked({other: int(other == better) for other in world.nodes}, preempt_after=1.0)
    for address in ADDRESSES:
        world.need(address, preferred)
    world.run(OVER_SECONDS)


def cut_and_heal(world: World, node: str) -> None:
    cut(world, node)
    world.plug(node)
    world.run(OVER_SECONDS)


def cut_and_heal_without_api(world: World, node: str) -> None:
    lose_api(world)
    cut_and_heal(world, node)
    world.api.come_back(*world.nodes)
    world.run(OVER_SECONDS)


def freeze_and_thaw(world: World, node: str) -> None:
    freeze(world, node)
    world.thaw(node)
    world.run(OVER_SECONDS)


def part_and_heal(world: World, node: str) -> None:
    """The client is on the other side."""
    with_it = [node, next(other for other in world.nodes if other != node)]
    world.part(with_it, [*(other for other in world.nodes if other not in with_it), CLIENT])
    world.run(OVER_SECONDS)
    world.mend()
    world.run(OVER_SECONDS)


SCENARIOS = {
    "its link is cut": Scenario(cut),
    "its node freezes": Scenario(freeze),
    "its node loses power": Scenario(crash),
    "its node sees its link go, and can tell the API server": Scenario(notice),
    "its speaker is killed": Scenario(kill),
    "its speaker freezes": Scenario(freeze_speaker),
    "its link is cut while the API server is away": Scenario(cut_without_api),
    "it loses power together with its first successor": Scenario(crash_with(1), EVERYTHING),
    "it loses power together with its first two successors": Scenario(crash_with(2), EVERYTHING, nodes=7),
    "it loses power together with all its watchers": Scenario(crash_with(8), EVERYTHING, nodes=12),
    "it is heard but hears nobody": Scenario(deafen, EVERYTHING),
    "it hears but is not heard": Scenario(silence),
    "its beats are blocked, and nothing else": Scenario(block_beats, NOTHING),
    "the API server is away": Scenario(only_lose_api, NOTHING),
    "its speaker stops, and starts again": Scenario(restart),
    "its speaker stops while the API server is away": Scenario(stop_without_api),
    "its node may not hold the address any more": Scenario(exclude),
    "a better node returns": Scenario(prefer_another, EVERYTHING),
    "its link is healed after it was followed": Scenario(cut_and_heal),
    "its link is healed after it was followed, while the API server is away": Scenario(cut_and_heal_without_api),
    "its node thaws after it was followed": Scenario(freeze_and_thaw),
    "a partition ends after both sides have followed": Scenario(part_and_heal, EVERYTHING),
}
