"""L2Advertisements -> what they say of the pools that are in force."""

from collections.abc import Iterable, Iterator

from baremetal_lb.api.l2 import CordonedNodes, Preemption, Segment
from baremetal_lb.api.l2 import L2Advertisement as L2AdvertisementResource
from baremetal_lb.config.model import L2Advertisement, Pool
from baremetal_lb.config.problems import Problem
from baremetal_lb.config.reading import RawObject, read_all
from baremetal_lb.config.selectors import compile_selector
from baremetal_lb.reasons import Reason


def compile_l2_advertisements(
    raw_objects: Iterable[RawObject], pools: Iterable[Pool], *, existing: frozenset[str]
) -> tuple[list[L2Advertisement], list[Problem]]:
    """Resolve each one's pools; `existing` names every pool that there is, also the faulty ones."""
    resources, problems = read_all(L2AdvertisementResource, raw_objects)
    compiled = [_l2_advertisement(resource, pools) for resource in resources]
    for resource, advertisement in zip(resources, compiled, strict=True):
        problems += _unknown_pools(resource, existing)
        problems += _selects_nothing(resource, advertisement)
    return compiled, problems


def _l2_advertisement(resource: L2AdvertisementResource, pools: Iterable[Pool]) -> L2Advertisement:
    spec = resource.spec
    selectors = [compile_selector(selector) for selector in spec.ip_address_pool_selectors]
    selects_all = not spec.ip_address_pools and not selectors
    return L2Advertisement(
        name=resource.metadata.name,
        pools=frozenset(
            pool.name
            for pool in pools
            if selects_all
            or pool.name in spec.ip_address_pools
            or any(selector.matches(pool.labels) for selector in selectors)
        ),
        node_selectors=tuple(compile_selector(selector) for selector in spec.node_selectors),
        service_selectors=tuple(compile_selector(selector) for selector in spec.service_selectors),
        interfaces=frozenset(spec.interfaces),
        on_link_only=spec.segment is Segment.ON_LINK,
        answers_ping=spec.answer_ping,
        cordoned_leave=spec.cordoned_nodes is CordonedNodes.LEAVE,
        selects_all_pools=selects_all,
        preferences=tuple((one.weight, compile_selector(one.preference)) for one in spec.preferred_node_selectors),
        preempt_after=spec.preemption_delay_seconds if spec.preemption is Preemption.DELAYED else None,
    )


def _selects_nothing(resource: L2AdvertisementResource, advertisement: L2Advertisement) -> Iterator[Problem]:
    if resource.spec.ip_address_pool_selectors and not advertisement.pools:
        message = "spec.ipAddressPoolSelectors: no pool in use has such labels; label a pool or change the selectors"
        yield Problem("L2Advertisement", advertisement.name, Reason.NO_POOL_SELECTED, message, fatal=False)


def _unknown_pools(resource: L2AdvertisementResource, existing: frozenset[str]) -> Iterator[Problem]:
    for number, name in enumerate(resource.spec.ip_address_pools):
        if name not in existing:
            message = f"spec.ipAddressPools[{number}]: there is no pool {name}; create it or remove the name"
            yield Problem("L2Advertisement", resource.metadata.name, Reason.UNKNOWN_POOL, message, fatal=False)
