"""The snapshot that every decision works on: the custom resources after parsing, checking and resolving."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from baremetal_lb.addresses import Address, AddressRange, Family, RangeIndex, buggy_count, is_buggy, subtract
from baremetal_lb.api.pool import AllocationOrder, ConflictPolicy, ReclaimPolicy
from baremetal_lb.cluster.service import LOAD_BALANCER_CLASS, ServiceKey
from baremetal_lb.config.selectors import Selector

OLDEST = datetime.min.replace(tzinfo=UTC)
"""The age of an object that does not tell its own."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Which Services may use a pool.

    A namespace is admitted by name or by any selector; a Service by any selector; both must hold. No restriction at
    all admits everyone, but a selector that matches nobody admits nobody.
    """

    namespaces: frozenset[str] = frozenset()
    namespace_selectors: tuple[Selector, ...] = ()
    service_selectors: tuple[Selector, ...] = ()

    def admits_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether Services of the namespace may use the pool."""
        if not self.namespaces and not self.namespace_selectors:
            return True
        return name in self.namespaces or any(one.matches(labels) for one in self.namespace_selectors)

    def admits_service(self, labels: Mapping[str, str]) -> bool:
        """Whether a Service with these labels may, if its namespace may."""
        return not self.service_selectors or any(one.matches(labels) for one in self.service_selectors)


@dataclass(frozen=True, slots=True)
class ConflictingHost:
    """A host that is none of our nodes and uses an address of ours, and where it was heard."""

    mac: str
    interface: str
    node: str

    def __str__(self) -> str:
        return f"the host {self.mac} (on {self.interface} of node {self.node})"


@dataclass(frozen=True, slots=True)
class Pool:
    """An IPAddressPool that is valid. A `deleting` one keeps its addresses but gives no new ones.

    No two of its ranges overlap. What is `excluded` belongs to the pool but is never given to a Service.
    """

    name: str
    ranges: tuple[AddressRange, ...]
    excluded: tuple[AddressRange, ...] = ()
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    order: AllocationOrder = AllocationOrder.SEQUENTIAL
    reclaim_policy: ReclaimPolicy = ReclaimPolicy.RETAIN
    conflict_policy: ConflictPolicy = ConflictPolicy.DEFEND
    quarantined: Mapping[Address, ConflictingHost] = field(default_factory=dict)
    """What nobody gets because a foreign host uses it, or did a while ago."""
    classes: frozenset[str] = frozenset()
    """The loadBalancerClasses it serves; none: Services without a class, or with ours."""
    is_for_some: bool = False
    """Whether it says to whom it belongs (serviceAllocation): such a pool comes before those for everyone."""
    priority: int = 0
    """Lower comes first; 0 comes last."""
    admission: Admission = Admission()
    exclusive: bool = False
    """Whether those whom it admits get addresses of exclusive pools only."""
    namespace_quota: int | None = None
    """How many addresses of each family the Services of one namespace may have of it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime = OLDEST
    deleting: bool = False
    giving: tuple[AddressRange, ...] = field(init=False, repr=False, compare=False)
    """The ranges without what is excluded, in the order written."""
    _owned: RangeIndex[AddressRange] = field(init=False, repr=False, compare=False)
    _given: RangeIndex[AddressRange] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "giving", tuple(subtract(self.ranges, self.excluded)))
        object.__setattr__(self, "_owned", RangeIndex((block, block) for block in self.ranges))
        object.__setattr__(self, "_given", RangeIndex((block, block) for block in self.giving))

    def __contains__(self, address: Address) -> bool:
        return self._owned.find(address) is not None

    def usable(self, address: Address) -> bool:
        """Whether the pool may give the address to a Service."""
        return self._given.find(address) is not None and not (self.avoid_buggy_ips and is_buggy(address))

    def giving_of(self, family: Family) -> tuple[AddressRange, ...]:
        """The ranges of one family to give addresses from (`avoid_buggy_ips` apart), in the order written."""
        return tuple(block for block in self.giving if block.family is family)

    def capacity(self, family: Family) -> int:
        """How many addresses of a family the pool can give at all."""
        ranges = self.giving_of(family)
        size = sum(block.size for block in ranges)
        return size - buggy_count(ranges) if self.avoid_buggy_ips else size

    def serves_class(self, load_balancer_class: str | None) -> bool:
        """Whether Services of this class may use it."""
        return (load_balancer_class or LOAD_BALANCER_CLASS) in (self.classes or {LOAD_BALANCER_CLASS})

    @property
    def rank(self) -> tuple[bool, float, datetime, str]:
        """Its place in the order of pools: those for some before those for all, then by priority, age and name."""
        return not self.is_for_some, self.priority or float("inf"), self.created_at, self.name


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address that is kept for one Service, or (`service` is None) for something that is no Service."""

    reserved_by: str
    """In words: "IPAddressClaim printer", "node worker-1"."""
    service: ServiceKey | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An IPAddressClaim that is valid."""

    name: str
    addresses: tuple[Address, ...]
    service: ServiceKey | None = None
    created_at: datetime = OLDEST


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The addresses that the cluster itself uses, as far as they are known."""

    node_addresses: Mapping[Address, str] = field(default_factory=dict)
    """Each with the name of its node."""
    pod_ranges: tuple[AddressRange, ...] = ()
    service_ranges: tuple[AddressRange, ...] = ()


@dataclass(frozen=True, slots=True)
class L2Advertisement:
    """An L2Advertisement that is valid, its pools resolved to names.

    No node or service selector means every one, no interface means every suitable one. One that `selects_all_pools`
    also speaks for addresses that no pool holds any more. `preferences` are weights of nodes; a better node replaces a
    holder after `preempt_after` seconds, or never.
    """

    name: str
    pools: frozenset[str]
    node_selectors: tuple[Selector, ...] = ()
    service_selectors: tuple[Selector, ...] = ()
    interfaces: frozenset[str] = frozenset()
    selects_all_pools: bool = False
    on_link_only: bool = False
    """Whether an address is announced only where it is in a network of the interface."""
    answers_ping: bool = False
    cordoned_leave: bool = False
    """Whether cordoned nodes give their addresses up."""
    preferences: tuple[tuple[int, Selector], ...] = ()
    preempt_after: float | None = None

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels may announce for it."""
        return not self.node_selectors or any(one.matches(labels) for one in self.node_selectors)

    def preference(self, labels: Mapping[str, str]) -> int:
        """How much a node with these labels is preferred."""
        return sum(weight for weight, selector in self.preferences if selector.matches(labels))

    def selects_service(self, labels: Mapping[str, str]) -> bool:
        """Whether the addresses of a Service with these labels are announced by it."""
        return not self.service_selectors or any(one.matches(labels) for one in self.service_selectors)


@dataclass(frozen=True, slots=True)
class Config:
    """Every valid custom resource. Pools are in the order in which they are tried (`Pool.rank`).

    No two claims reserve the same address, and none reserves an address of a node.
    """

    pools: tuple[Pool, ...] = ()
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    claims: tuple[Claim, ...] = ()
    node_addresses: Mapping[Address, str] = field(default_factory=dict)
    _pool_of: RangeIndex[Pool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entries = ((block, pool) for pool in self.pools for block in pool.ranges)
        object.__setattr__(self, "_pool_of", RangeIndex(entries))

    def pool_of(self, address: Address) -> Pool | None:
        """The pool that holds the address (pools of a Config never overlap)."""
        return self._pool_of.find(address)

    @property
    def quarantined(self) -> Mapping[Address, ConflictingHost]:
        """Every address that no Service may get because a foreign host uses it, or did a while ago."""
        return {address: host for pool in self.pools for address, host in pool.quarantined.items()}

    @property
    def reservations(self) -> Mapping[Address, Reservation]:
        """Every address that not just any Service may get."""
        return dict(self._reserved())

    def _reserved(self) -> Iterator[tuple[Address, Reservation]]:
        for claim in self.claims:
            for address in claim.addresses:
                yield address, Reservation(f"IPAddressClaim {claim.name}", claim.service)
        for address, node in self.node_addresses.items():
            yield address, Reservation(f"node {node}")
