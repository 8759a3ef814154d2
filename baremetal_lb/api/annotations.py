"""The annotations on a user's Service: our names, and MetalLB's, which mean the same.

Where several spellings of one annotation are present they must ask for the same thing: whichever we took, the user
could have meant the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Annotation(StrEnum):
    """What a Service may ask for, and what we note on it, under the names that we document."""

    ADDRESSES = "baremetal-lb.io/addresses"
    POOL = "baremetal-lb.io/pool"
    SHARING_KEY = "baremetal-lb.io/sharing-key"
    SHARING_NAMESPACES = "baremetal-lb.io/sharing-namespaces"
    FROM_POOL = "baremetal-lb.io/from-pool"
    """Written by us: the pool of each address of the status, in its order; one word where all are of one pool."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every key that is read for it, the strongest first."""
        return _SPELLINGS[self]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two spellings of one annotation that ask for different things."""

    stronger: str
    weaker: str

    def __str__(self) -> str:
        return f"annotations {self.stronger} and {self.weaker} ask for different things; remove one of the two"


def annotation(annotations: Mapping[str, str], name: Annotation) -> str | None:
    """The value under the strongest spelling present, without blanks around it; None where all are absent or blank."""
    return next((value for _, value in _present(annotations, name)), None)


def contradictions(annotations: Mapping[str, str]) -> tuple[Contradiction, ...]:
    """Each weaker spelling whose value differs from the strongest's. The order of addresses is no difference."""
    if len(annotations) < 2:
        return ()
    return tuple(
        Contradiction(stronger, key)
        for name in Annotation
        if name is not Annotation.FROM_POOL
        for (stronger, wanted), *weaker in [list(_present(annotations, name)) or [("", "")]]
        for key, value in weaker
        if _items(value) != _items(wanted)
    )


_METALLB_NAMES: Mapping[Annotation, str] = {
    Annotation.ADDRESSES: "loadBalancerIPs",
    Annotation.POOL: "address-pool",
    Annotation.SHARING_KEY: "allow-shared-ip",
    Annotation.FROM_POOL: "ip-allocated-from-pool",
}
_METALLB_PREFIXES = ("metallb.io/", "metallb.universe.tf/")
_SPELLINGS: Mapping[Annotation, tuple[str, ...]] = {
    name: (name.value, *(prefix + _METALLB_NAMES[name] for prefix in _METALLB_PREFIXES if name in _METALLB_NAMES))
    for name in Annotation
}


def _present(annotations: Mapping[str, str], name: Annotation) -> Iterator[tuple[str, str]]:
    """Yield the spellings that are there with their values, the strongest first."""
    for key in name.spellings:
        value = annotations.get(key, "").strip()
        if value:
            yield key, value


def _items(value: str) -> frozenset[str]:
    return frozenset(item.strip() for item in value.split(","))
