"""Which Services would not keep the address that MetalLB gave them, and what to do about each before switching."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from baremetal_lb.addresses import Address
from baremetal_lb.allocator.request import AllocationRequest, Refusal, parse_request
from baremetal_lb.allocator.sharing import sharing_of
from baremetal_lb.api.annotations import Annotation, annotation
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.config.model import Config
from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.reasons import Reason


def review_services(services: Iterable[ServiceView], config: Config, load_balancer_class: str) -> Iterator[Note]:
    """Find what keeps Services from keeping their addresses.

    MetalLB serves the Services of one class only: those without a class, unless it was started with one.
    """
    balanced = [one for one in services if one.is_load_balancer and not one.deleting]
    metallbs = [one for one in balanced if (one.load_balancer_class or "") == load_balancer_class]
    for service in balanced:
        if service not in metallbs:
            yield from _of_another_class(service)
    for service in metallbs:
        yield from _outside_pools(service, config)
        yield from _asking_for_something_else(service, config)
    yield from _sharing(metallbs)


def _of_another_class(service: ServiceView) -> Iterator[Note]:
    """Others' Services are none of our business, but MetalLB leaves a mark on its own."""
    if annotation(service.annotations, Annotation.FROM_POOL) and service.ingress:
        wanted = service.load_balancer_class
        what = f"--load-balancer-class {wanted}" if wanted else "no --load-balancer-class"
        text = (
            f"has an address of MetalLB, and {f'class {wanted}' if wanted else 'no class'}, which no converted pool "
            f"serves. Convert again with {what}, or write the class into the pool's loadBalancerClasses"
        )
        yield _note(Severity.ERROR, service, text)


def _outside_pools(service: ServiceView, config: Config) -> Iterator[Note]:
    for address in service.ingress:
        if config.pool_of(address) is None:
            entry = f"{address}/{address.max_prefixlen}"
            text = (
                f"{address} is in no converted pool, so it would be left alone as another controller's and not be "
                f"announced. If MetalLB gave it, add {entry} to the addresses of a pool before you switch"
            )
            yield _note(Severity.ERROR, service, text)


def _asking_for_something_else(service: ServiceView, config: Config) -> Iterator[Note]:
    """A request that differs from what the Service has moves it; one that can't be read only waits for a mistake."""
    request = parse_request(service)
    if isinstance(request, Refusal):
        if request.reason is not Reason.PENDING_CLUSTER_IP:
            yield _note(
                Severity.WARNING, service, f"keeps what it has, but its request can't be met: {request.message}"
            )
        return
    if not service.ingress:
        return
    yield from _asking_for_another_pool(service, request, config)
    if missing := [str(one) for one in _wanted(request) if one not in service.ingress]:
        has = ", ".join(map(str, service.ingress))
        text = f"asks for {', '.join(missing)} and has {has}; it moves as soon as it can. Let it ask for what it has"
        yield _note(Severity.ERROR, service, text)


def _asking_for_another_pool(service: ServiceView, request: AllocationRequest, config: Config) -> Iterator[Note]:
    if request.pool is None:
        return
    if all(pool.name != request.pool for pool in config.pools):
        text = f"asks for pool {request.pool}, which there is not; it keeps what it has. Name another pool or none"
        yield _note(Severity.WARNING, service, text)
        return
    homes = {address: pool.name for address in service.ingress if (pool := config.pool_of(address))}
    for address, home in homes.items():
        if home != request.pool:
            text = f"asks for pool {request.pool} and has {address} of {home}; it moves. Name {home} or no pool"
            yield _note(Severity.ERROR, service, text)


def _wanted(request: AllocationRequest) -> tuple[Address, ...]:
    return tuple(itertools.chain.from_iterable(request.wanted.values()))


@dataclass(frozen=True, slots=True)
class _Clash:
    """Two Services on one address that may not share it."""

    address: Address
    older: ServiceView
    younger: ServiceView
    why: str


def _sharing(services: Sequence[ServiceView]) -> Iterator[Note]:
    holders: defaultdict[Address, list[ServiceView]] = defaultdict(list)
    for service in sorted(services, key=lambda one: (one.created_at, one.key)):
        for address in service.ingress:
            holders[address].append(service)
    clashes = [clash for address, group in holders.items() for clash in _clashes(address, group)]
    consents = _consents(clashes)
    for clash in clashes:
        yield _clash_note(clash, consents)


def _clashes(address: Address, group: Sequence[ServiceView]) -> Iterator[_Clash]:
    for older, younger in itertools.combinations(group, 2):
        why = sharing_of(older).refusal(sharing_of(younger))
        if why is not None:
            yield _Clash(address, older, younger, why)


def _consents(clashes: Iterable[_Clash]) -> Mapping[ServiceKey, set[str]]:
    """The namespaces that each Service has to name, for all of its addresses together."""
    missing: defaultdict[ServiceKey, set[str]] = defaultdict(set)
    for clash in clashes:
        if _consent_helps(clash):
            for one, other in ((clash.older, clash.younger), (clash.younger, clash.older)):
                missing[one.key] |= {*sharing_of(one).partners, other.key.namespace}
    return missing


def _consent_helps(clash: _Clash) -> bool:
    """Whether the two only lack the word of both that they share across namespaces."""
    one, other = (replace(sharing_of(side), partners=frozenset("*")) for side in (clash.older, clash.younger))
    return one.refusal(other) is None


def _clash_note(clash: _Clash, consents: Mapping[ServiceKey, set[str]]) -> Note:
    text = (
        f"shares {clash.address} with {clash.older.key}, which is older and would keep it alone: {clash.why}. "
        "Before you switch, "
    )
    if not _consent_helps(clash):
        return _note(Severity.ERROR, clash.younger, f"{text}change that, or give one of the two another address")
    commands = tuple(_consent_command(side.key, consents[side.key]) for side in (clash.older, clash.younger))
    return replace(_note(Severity.ERROR, clash.younger, f"{text}let both agree:"), commands=commands)


def _consent_command(key: ServiceKey, namespaces: Iterable[str]) -> str:
    value = ",".join(sorted(namespaces))
    return (
        f"kubectl annotate service --overwrite --namespace {key.namespace} {key.name} "
        f"{Annotation.SHARING_NAMESPACES}={value}"
    )


def _note(severity: Severity, service: ServiceView, text: str) -> Note:
    return Note(severity, f"Service {service.key}", text)
