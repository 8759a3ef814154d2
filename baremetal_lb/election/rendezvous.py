"""The order of the nodes for an address, by rendezvous hashing: computed by each node alone, equal on all.

Every pair of node and address has a score, and the highest score wins (Thaler and Ravishankar, 1998). So a node that
goes moves only the addresses it had, and one that comes back takes back just those. Scores are products of two 64-bit
hashes modulo 2**64 (multiplicative hashing): a node's hash and an address's are made once, a pair costs one
multiplication. The address's factor is odd, hence two nodes never score alike unless their own hashes collide.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from baremetal_lb.addresses import Address

_MASK = (1 << 64) - 1
_MAX_REMEMBERED_NODES = 16_384


class Candidates:
    """Some nodes, prepared for many elections."""

    __slots__ = ("_hashes", "nodes")

    def __init__(self, nodes: Iterable[str] = ()) -> None:
        self.nodes = tuple(sorted(set(nodes)))
        self._hashes = {node: _node_hash(node) for node in self.nodes}

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._hashes

    def first(self, address: Address) -> str:
        """Name the winner; there must be a candidate."""
        scores = self._scores(address)
        return self.nodes[scores.index(max(scores))]

    def rank(self, address: Address) -> tuple[str, ...]:
        """Name all candidates, the winner first."""
        scored = zip(self._scores(address), self.nodes, strict=True)
        return tuple(node for _, node in sorted(scored, key=lambda pair: (-pair[0], pair[1])))

    def _scores(self, address: Address) -> list[int]:
        factor = _hash(address.packed) | 1
        return [node_hash * factor & _MASK for node_hash in self._hashes.values()]


@lru_cache(maxsize=_MAX_REMEMBERED_NODES)
def _node_hash(node: str) -> int:
    return _hash(node.encode())


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
