"""Which nodes watch a holder: few, yet for each of its addresses somebody who can take it over.

The nodes stand in a circle, in the order of a hash of their names, and the next few after a holder watch it. So every
node is watched by as many as it watches, however many addresses there are, and a node that goes or comes is a matter
for its neighbours alone.

The addresses of one holder may have different candidates. The circle is walked for each such set of candidates, better
nodes first: each set gets a first watcher, then each a second, and so on until there are enough. Small sets go first,
for their nodes are mostly in the large ones too. A holder with many sets that have nothing in common runs out of
watchers: the last of these addresses then have no successor that watches.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, islice

from baremetal_lb.election.rendezvous import Candidates

Tiers = tuple[Candidates, ...]
"""The candidates of an address, the best first."""

WATCHERS = 8
_MAX_REMEMBERED_NODES = 16_384
_MAX_REMEMBERED_CIRCLES = 64


def choose_watchers(holder: str, candidates: Collection[Tiers], most: int = WATCHERS) -> tuple[str, ...]:
    """Choose who watches the holder of addresses with these candidates."""
    by_names = {tuple(tier.nodes for tier in tiers): tiers for tiers in set(candidates)}
    smallest_first = sorted(by_names, key=lambda names: (sum(map(len, names)), names))
    walks = [(by_names[names], _walk(holder, by_names[names])) for names in smallest_first]
    chosen: dict[str, None] = {}
    for wanted in range(1, most + 1):
        for tiers, walk in walks:
            if len(chosen) == most:
                return tuple(chosen)
            if _count_able(chosen, tiers) < wanted:
                chosen.update((node, None) for node in islice((one for one in walk if one not in chosen), 1))
    return tuple(chosen)


def _count_able(nodes: Collection[str], tiers: Tiers) -> int:
    return sum(any(node in tier for tier in tiers) for node in nodes)


def _walk(holder: str, tiers: Tiers) -> Iterator[str]:
    """Go once around the circle from the holder, tier by tier."""
    for tier in tiers:
        circle = _circle(tier.nodes)
        start = bisect_right(circle, (_place(holder), holder))
        for _, node in chain(islice(circle, start, None), islice(circle, start)):
            if node != holder:
                yield node


@lru_cache(maxsize=_MAX_REMEMBERED_CIRCLES)
def _circle(nodes: tuple[str, ...]) -> list[tuple[int, str]]:
    return sorted((_place(node), node) for node in nodes)


@lru_cache(maxsize=_MAX_REMEMBERED_NODES)
def _place(node: str) -> int:
    """Independent of the hash that elects, so that neighbours are not each other's heirs for all addresses."""
    return int.from_bytes(blake2b(node.encode(), digest_size=8, person=b"watchers").digest())
