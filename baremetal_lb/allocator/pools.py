"""Which pools may serve a Service, in which order, and what speaks against each of the others.

The rules are a list of checks. A pool is judged by the first that speaks against it, and a Service that gets nothing is
told of the pools that came furthest: "pool gold is full" says more than "pool silver is not for you".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, Family, RangeIndex
from baremetal_lb.allocator.request import AllocationRequest, Refusal, from_pools
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceView
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason


@dataclass(frozen=True, slots=True)
class Applicant:
    """A Service that asks for addresses, with what else decides on its rights."""

    request: AllocationRequest
    namespace: NamespaceView
    came_from: Mapping[Address, str] = field(default_factory=dict)
    """The pool that each address of its status came from, as far as that is known."""


def applicant_of(
    service: ServiceView, request: AllocationRequest, namespaces: Mapping[str, NamespaceView]
) -> Applicant:
    """The Service that makes the request; a Namespace that is not known (yet) has no labels and no quota."""
    name = service.key.namespace
    return Applicant(request, namespaces.get(name) or NamespaceView(name), from_pools(service))


@dataclass(frozen=True, slots=True)
class Judgement:
    """The pools that may serve, in order, and what speaks against each of the others."""

    candidates: tuple[Pool, ...]
    refused: tuple[tuple[Pool, Refusal], ...] = ()


class PoolIndex:
    """The pools of one Config, found by name, by address and by what a Service needs.

    It never changes; what it derives on the way is remembered, since thousands of Services ask the same. So it must be
    made anew where the labels of a Namespace change.
    """

    def __init__(self, pools: Iterable[Pool] = ()) -> None:
        self.pools = tuple(sorted(pools, key=lambda pool: pool.rank))
        self.classes = frozenset(name for pool in self.pools for name in pool.classes)
        self.position: Mapping[str, int] = {pool.name: place for place, pool in enumerate(self.pools)}
        self._by_name: Mapping[str, Pool] = {pool.name: pool for pool in self.pools}
        self._by_range = RangeIndex((block, pool) for pool in self.pools for block in pool.ranges)
        self._label_keys = tuple(sorted(_labels_that_matter(self.pools)))
        self._judgements: dict[tuple[object, ...], Judgement] = {}

    def named(self, name: str) -> Pool | None:
        """The pool with this name."""
        return self._by_name.get(name)

    def holding(self, address: Address) -> Pool | None:
        """The pool the address belongs to (pools of a Config never overlap)."""
        return self._by_range.find(address)

    def judge(self, applicant: Applicant, family: Family) -> Judgement:
        """Judge every pool as a source of an address of this family, whatever it has left."""
        request = applicant.request
        labels = tuple(request.labels.get(key) for key in self._label_keys)
        key = (applicant.namespace.name, request.load_balancer_class, request.pool, labels, family)
        if key not in self._judgements:
            self._judgements[key] = self._judge(applicant, family)
        return self._judgements[key]

    def permission(self, applicant: Applicant, pool: Pool) -> Refusal | None:
        """Say why the Service may not have addresses of the pool, also not those that it has or names."""
        return next((no for check in _PERMISSIONS if (no := check(pool, applicant, self.pools))), None)

    def _judge(self, applicant: Applicant, family: Family) -> Judgement:
        candidates: list[Pool] = []
        refused: list[tuple[Pool, Refusal]] = []
        for pool in self.pools:
            refusal = self._refusal(pool, applicant, family)
            if refusal is None:
                candidates.append(pool)
            else:
                refused.append((pool, refusal))
        return Judgement(tuple(candidates), tuple(refused))

    def _refusal(self, pool: Pool, applicant: Applicant, family: Family) -> Refusal | None:
        wanted = applicant.request.pool
        if wanted is not None and pool.name != wanted:
            return Refusal(Reason.POOL_NOT_NAMED, f"the Service names pool {wanted}, not pool {pool.name}")
        if not pool.giving_of(family):
            return Refusal(Reason.NO_POOL_FOR_FAMILY, f"pool {pool.name} has no {family} addresses")
        if refusal := self.permission(applicant, pool):
            return refusal
        if wanted is None and not pool.auto_assign:
            return Refusal(Reason.NO_POOL_AUTO_ASSIGNS, f"pool {pool.name} has autoAssign: false")
        if pool.deleting:
            return Refusal(Reason.POOL_BEING_DELETED, f"pool {pool.name} is being deleted")
        return None


Check = Callable[[Pool, Applicant, tuple[Pool, ...]], Refusal | None]


def _class_refusal(pool: Pool, applicant: Applicant, _pools: tuple[Pool, ...]) -> Refusal | None:
    if pool.serves_class(applicant.request.load_balancer_class):
        return None
    theirs = applicant.request.load_balancer_class or "none"
    return Refusal(
        Reason.POOL_OF_OTHER_CLASS, f"pool {pool.name} does not serve the Service's loadBalancerClass ({theirs})"
    )


def _namespace_refusal(pool: Pool, applicant: Applicant, _pools: tuple[Pool, ...]) -> Refusal | None:
    namespace = applicant.namespace
    if pool.admission.admits_namespace(namespace.name, namespace.labels):
        return None
    return Refusal(Reason.POOL_NOT_PERMITTED, f"pool {pool.name} does not admit namespace {namespace.name}")


def _labels_refusal(pool: Pool, applicant: Applicant, _pools: tuple[Pool, ...]) -> Refusal | None:
    if pool.admission.admits_service(applicant.request.labels):
        return None
    return Refusal(Reason.POOL_NOT_PERMITTED, f"pool {pool.name} does not admit Services with such labels")


def _exclusiveness_refusal(pool: Pool, applicant: Applicant, pools: tuple[Pool, ...]) -> Refusal | None:
    if pool.exclusive:
        return None
    binding = next((one for one in pools if one.exclusive and _admits(one, applicant, pools)), None)
    if binding is None:
        return None
    return Refusal(
        Reason.NOT_EXCLUSIVE, f"pool {pool.name} is not exclusive, and the Service is bound to pool {binding.name}"
    )


_ADMISSION: tuple[Check, ...] = (_class_refusal, _namespace_refusal, _labels_refusal)
_PERMISSIONS: tuple[Check, ...] = (*_ADMISSION, _exclusiveness_refusal)

ADVICE: dict[Reason, str] = {
    Reason.POOL_NOT_NAMED: "name another pool",
    Reason.NO_POOL_FOR_FAMILY: "add some to a pool",
    Reason.POOL_OF_OTHER_CLASS: "change loadBalancerClasses of a pool, or recreate the Service with another class",
    Reason.POOL_NOT_PERMITTED: "change serviceAllocation of a pool, or the labels of the Service or its namespace",
    Reason.NOT_EXCLUSIVE: "ask for an address of an exclusive pool",
    Reason.NO_POOL_AUTO_ASSIGNS: "name a pool or an address in an annotation",
    Reason.POOL_BEING_DELETED: "create another pool",
    Reason.QUOTA_EXCEEDED: "change the quota or delete a Service of the namespace",
    Reason.POOL_EXHAUSTED: "add addresses or delete a Service",
}
"""What can be done, by what speaks against a pool; in the order of the checks."""

FURTHEST_FIRST = tuple(reversed(ADVICE))


def _admits(pool: Pool, applicant: Applicant, pools: tuple[Pool, ...]) -> bool:
    return all(check(pool, applicant, pools) is None for check in _ADMISSION)


def _labels_that_matter(pools: Iterable[Pool]) -> Iterator[str]:
    for pool in pools:
        for selector in pool.admission.service_selectors:
            for requirement in selector.requirements:
                yield requirement.key
