"""When two Services may have one address: both must want it, and the node must be able to tell their packets apart."""

from dataclasses import dataclass

from baremetal_lb.api.annotations import Annotation, annotation
from baremetal_lb.cluster.service import Port, ServiceView, TrafficPolicy

EVERY_NAMESPACE = "*"


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a Service says about sharing, and what has to differ or be equal for it. Without a key it shares nothing.

    `local_selector` is None for the policy Cluster; for Local it is the selector, since only Services with the same
    Pods answer on the same nodes.
    """

    key: str = ""
    namespace: str = ""
    partners: frozenset[str] = frozenset()
    """The other namespaces with which it shares; `*` means all."""
    local_selector: frozenset[tuple[str, str]] | None = None
    ports: frozenset[Port] = frozenset()

    def refusal(self, other: "Sharing") -> str | None:
        """Say why the two can't have one address; None where they can. It is the same both ways."""
        if not self.key or not other.key:
            return f"both need the same annotation {Annotation.SHARING_KEY}"
        if self.key != other.key:
            return f"their annotations {Annotation.SHARING_KEY} differ ({_both(self.key, other.key)})"
        if not (_consents(self, other) and _consents(other, self)):
            both = _both(self.namespace, other.namespace)
            return f"each needs the other's namespace in {Annotation.SHARING_NAMESPACES} ({both})"
        if common := self.ports & other.ports:
            return f"both have port {', '.join(sorted(f'{port.number}/{port.protocol}' for port in common))}"
        return self._policy_refusal(other)

    def _policy_refusal(self, other: "Sharing") -> str | None:
        if self.local_selector is None and other.local_selector is None:
            return None
        if self.local_selector is None or other.local_selector is None:
            return "one has externalTrafficPolicy Local, the other Cluster"
        if self.namespace != other.namespace:
            return "externalTrafficPolicy is Local, so both must be in one namespace"
        if not self.local_selector or self.local_selector != other.local_selector:
            return "externalTrafficPolicy is Local, so both need the same selector"
        return None


NO_SHARING = Sharing()


def sharing_of(service: ServiceView) -> Sharing:
    """Read what the Service says about sharing."""
    key = annotation(service.annotations, Annotation.SHARING_KEY)
    if key is None:
        return NO_SHARING
    partners = annotation(service.annotations, Annotation.SHARING_NAMESPACES) or ""
    is_local = service.traffic_policy is TrafficPolicy.LOCAL
    return Sharing(
        key=key,
        namespace=service.key.namespace,
        partners=frozenset(name.strip() for name in partners.split(",") if name.strip()),
        local_selector=frozenset(service.selector.items()) if is_local else None,
        ports=frozenset(service.ports),
    )


def _consents(one: Sharing, other: Sharing) -> bool:
    return one.namespace == other.namespace or bool(one.partners & {other.namespace, EVERY_NAMESPACE})


def _both(one: str, other: str) -> str:
    return " and ".join(sorted((one, other)))
