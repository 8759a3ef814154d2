"""The annotations on a user's Service: our names, and MetalLB's, which mean the same.

Where several spellings of one annotation are present, ours wins, then MetalLB's present one, then its older one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Annotation(StrEnum):
    """What a Service may ask for, under the name that we document."""

    ADDRESSES = "baremetal-lb.io/addresses"
    POOL = "baremetal-lb.io/pool"

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every key that is read for it, the strongest first."""
        return (self.value, f"metallb.io/{_METALLB_NAMES[self]}", f"{_DEPRECATED_PREFIX}{_METALLB_NAMES[self]}")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two spellings of one annotation that ask for different things; `used` is the one that counts."""

    used: str
    ignored: str

    def __str__(self) -> str:
        return f"annotations {self.used} and {self.ignored} differ; {self.used} counts, remove {self.ignored}"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A spelling that still works but that MetalLB itself gave up."""

    found: str
    replacement: str

    def __str__(self) -> str:
        return f"annotation {self.found} is deprecated; use {self.replacement}"


def annotation(annotations: Mapping[str, str], name: Annotation) -> str | None:
    """The value under the strongest spelling present, without blanks around it; None where all are absent or blank."""
    return next((value for _, value in _present(annotations, name)), None)


def contradictions(annotations: Mapping[str, str]) -> tuple[Contradiction, ...]:
    """Each weaker spelling whose value differs from the one that counts. The order of addresses is no difference."""
    return tuple(
        Contradiction(used=used, ignored=key)
        for name in Annotation
        for (used, wanted), *weaker in [list(_present(annotations, name)) or [("", "")]]
        for key, value in weaker
        if _items(value) != _items(wanted)
    )


def deprecations(annotations: Mapping[str, str]) -> tuple[Deprecation, ...]:
    """Each deprecated spelling on the Service, also where a stronger one is there."""
    return tuple(
        Deprecation(found=key, replacement=name)
        for name in Annotation
        for key, _ in _present(annotations, name)
        if key.startswith(_DEPRECATED_PREFIX)
    )


_DEPRECATED_PREFIX = "metallb.universe.tf/"

_METALLB_NAMES: Mapping[Annotation, str] = {
    Annotation.ADDRESSES: "loadBalancerIPs",
    Annotation.POOL: "address-pool",
}


def _present(annotations: Mapping[str, str], name: Annotation) -> Iterator[tuple[str, str]]:
    """Yield the spellings that are there with their values, the strongest first."""
    for key in name.spellings:
        value = annotations.get(key, "").strip()
        if value:
            yield key, value


def _items(value: str) -> frozenset[str]:
    return frozenset(item.strip() for item in value.split(","))
