"""The snapshot that every decision works on: the custom resources after parsing, checking and resolving."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from baremetal_lb.addresses import Address, AddressRange, Family, RangeIndex, buggy_count, is_buggy
from baremetal_lb.config.selectors import Selector

OLDEST = datetime.min.replace(tzinfo=UTC)
"""The age of an object that does not tell its own."""


@dataclass(frozen=True, slots=True)
class Pool:
    """An IPAddressPool that is valid. A `deleting` one keeps its addresses but gives no new ones.

    No two of its ranges overlap.
    """

    name: str
    ranges: tuple[AddressRange, ...]
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime = OLDEST
    deleting: bool = False
    _index: RangeIndex[AddressRange] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", RangeIndex((block, block) for block in self.ranges))

    def __contains__(self, address: Address) -> bool:
        return self._index.find(address) is not None

    def usable(self, address: Address) -> bool:
        """Whether the pool holds the address and may give it to a Service."""
        return address in self and not (self.avoid_buggy_ips and is_buggy(address))

    def ranges_of(self, family: Family) -> tuple[AddressRange, ...]:
        """The pool's ranges of one family, in the order written."""
        return tuple(block for block in self.ranges if block.family is family)

    def capacity(self, family: Family) -> int:
        """How many addresses of a family the pool can give at all."""
        ranges = self.ranges_of(family)
        size = sum(block.size for block in ranges)
        return size - buggy_count(ranges) if self.avoid_buggy_ips else size


@dataclass(frozen=True, slots=True)
class L2Advertisement:
    """An L2Advertisement that is valid, its pools resolved to names.

    No node selector means every node, no interface means every suitable one. One that `selects_all_pools` also speaks
    for addresses that no pool holds any more.
    """

    name: str
    pools: frozenset[str]
    node_selectors: tuple[Selector, ...] = ()
    interfaces: frozenset[str] = frozenset()
    selects_all_pools: bool = False

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels may announce for it."""
        return not self.node_selectors or any(one.matches(labels) for one in self.node_selectors)


@dataclass(frozen=True, slots=True)
class Config:
    """Every valid custom resource. Pools are in order of preference: the oldest first, then by name."""

    pools: tuple[Pool, ...] = ()
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    _pool_of: RangeIndex[Pool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entries = ((block, pool) for pool in self.pools for block in pool.ranges)
        object.__setattr__(self, "_pool_of", RangeIndex(entries))

    def pool_of(self, address: Address) -> Pool | None:
        """The pool that holds the address (pools of a Config never overlap)."""
        return self._pool_of.find(address)
