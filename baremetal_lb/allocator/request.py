"""What a Service asks for: families, particular addresses, a pool, company. Read once per change of the Service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, Family, family_of, parse_address
from baremetal_lb.allocator.sharing import NO_SHARING, Sharing, sharing_of
from baremetal_lb.api.annotations import Annotation, annotation, contradictions
from baremetal_lb.cluster.service import FamilyPolicy, ServiceKey, ServiceView
from baremetal_lb.reasons import Reason

ADDRESSES_MAX = 16
"""How many addresses one Service may ask for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request cannot be met, and in the message what the user can do about it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """One address per family of `families`, or those `wanted`; all families or none where `needs_all` is set."""

    service: ServiceKey
    families: tuple[Family, ...]
    needs_all: bool = False
    wanted: Mapping[Family, tuple[Address, ...]] = field(default_factory=dict)
    pool: str | None = None
    uid: str = ""
    load_balancer_class: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    sharing: Sharing = NO_SHARING

    @property
    def is_explicit(self) -> bool:
        """Whether the user named an address or a pool."""
        return bool(self.wanted) or self.pool is not None


def parse_request(service: ServiceView) -> AllocationRequest | Refusal:
    """Read the request out of a Service, or say what is wrong with it."""
    if not service.has_cluster_ip or not service.families:
        return Refusal(Reason.PENDING_CLUSTER_IP, "the Service has no cluster IP yet; its families follow from it")
    if clashes := contradictions(service.annotations):
        return Refusal(Reason.CONTRADICTORY_REQUEST, str(clashes[0]))
    families = _families(service)
    wanted = _wanted_addresses(service)
    if isinstance(wanted, Refusal):
        return wanted
    if len(wanted) > ADDRESSES_MAX:
        return Refusal(
            Reason.INVALID_REQUEST, f"asks for {len(wanted)} addresses; no more than {ADDRESSES_MAX} can be asked for"
        )
    if strangers := [address for address in wanted if family_of(address) not in families]:
        return _family_mismatch(strangers[0], families)
    return AllocationRequest(
        service=service.key,
        families=families,
        needs_all=service.family_policy is FamilyPolicy.REQUIRE_DUAL_STACK,
        wanted=_by_family(wanted),
        pool=annotation(service.annotations, Annotation.POOL),
        uid=service.uid,
        load_balancer_class=service.load_balancer_class,
        labels=service.labels,
        sharing=sharing_of(service),
    )


def _by_family(wanted: tuple[Address, ...]) -> Mapping[Family, tuple[Address, ...]]:
    families = dict.fromkeys(family_of(address) for address in wanted)
    return {family: tuple(one for one in wanted if family_of(one) is family) for family in families}


def from_pools(service: ServiceView) -> Mapping[Address, str]:
    """The pool that each address of the status came from, as far as the Service's annotation tells."""
    if not service.ingress:
        return {}
    names = (annotation(service.annotations, Annotation.FROM_POOL) or "").split(",")
    if len(names) == 1:
        names *= len(service.ingress)
    if len(names) != len(service.ingress):
        return {}
    pairs = zip(service.ingress, (name.strip() for name in names), strict=True)
    return {address: name for address, name in pairs if name}


def _families(service: ServiceView) -> tuple[Family, ...]:
    """Take the families of the spec: the API server reduces them to what the cluster really has."""
    if service.family_policy is FamilyPolicy.SINGLE_STACK:
        return service.families[:1]
    return service.families


def _wanted_addresses(service: ServiceView) -> tuple[Address, ...] | Refusal:
    try:
        from_field = _parse_list(service.load_balancer_ip)
        from_annotation = _parse_list(annotation(service.annotations, Annotation.ADDRESSES) or "")
    except ValueError as error:
        return Refusal(Reason.INVALID_REQUEST, f"cannot read the requested addresses: {error}")
    if from_field and from_annotation and not set(from_field) <= set(from_annotation):
        return Refusal(
            Reason.CONTRADICTORY_REQUEST,
            f"spec.loadBalancerIP asks for {_join(from_field)}, the annotation for {_join(from_annotation)}; "
            "remove one of the two",
        )
    return from_annotation or from_field


def _parse_list(text: str) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(parse_address(part) for part in text.split(",") if part.strip()))


def _family_mismatch(address: Address, families: tuple[Family, ...]) -> Refusal:
    return Refusal(
        Reason.FAMILY_MISMATCH,
        f"{address} is {family_of(address)}, but the Service has {_join(families)} only; "
        "ask for another address or change spec.ipFamilies and spec.ipFamilyPolicy",
    )


def _join(things: Iterable[object]) -> str:
    return " and ".join(str(thing) for thing in things)
