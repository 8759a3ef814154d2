"""MetalLB's pools, new and old, into IPAddressPools of ours: the same addresses for the same Services."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import AddressRange
from baremetal_lb.api.base import GROUP, VERSION, InvalidResourceError
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.config.reading import RawObject
from baremetal_lb.migration.entries import Entry, convert_entry
from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.migration.sources import LEGACY_POOL, Source

Manifest = dict[str, Any]

LAYER2, BGP = "layer2", "bgp"

_COPIED = ("autoAssign", "avoidBuggyIPs")
_COPIED_OF_ALLOCATION = ("namespaces", "namespaceSelectors", "serviceSelectors")
_READ_ELSEWHERE = frozenset({"protocol", "bgpAdvertisements"})
"""What an AddressPool says about announcing."""


@dataclass(frozen=True, slots=True)
class ConvertedPool:
    """A pool of ours, and the one of MetalLB's that it was."""

    source: Source
    name: str
    manifest: Manifest

    @property
    def is_legacy(self) -> bool:
        """Whether it was an AddressPool: these say themselves how they are announced, and L2Advertisements pass by."""
        return self.source.kind == LEGACY_POOL


def manifest(kind: str, name: str, spec: RawObject, labels: Mapping[str, str] | None = None) -> Manifest:
    """Write a resource of ours."""
    metadata = {"name": name} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def convert_pools(
    sources: Sequence[Source], names: Sequence[str], load_balancer_class: str
) -> tuple[list[ConvertedPool], list[Note]]:
    """Convert pools; `names` are theirs here. A pool that can't be converted is left out."""
    converted: list[ConvertedPool] = []
    notes: list[Note] = []
    for source, name in zip(sources, names, strict=True):
        entries = [convert_entry(one) for one in _listed(source.spec.get("addresses"))]
        notes += _remarks(source, entries)
        spec = _spec(source.spec, entries, load_balancer_class)
        written = manifest("IPAddressPool", name, spec, source.labels)
        try:
            IPAddressPool.read(written)
        except InvalidResourceError as error:
            notes.append(Note(Severity.ERROR, str(source), f"not converted: {error}"))
        else:
            converted.append(ConvertedPool(source, name, written))
    return converted, notes


def without_leftovers(pools: Iterable[Source], legacy_pools: Iterable[Source]) -> tuple[list[Source], list[Note]]:
    """Leave out each AddressPool whose addresses an IPAddressPool took over: no MetalLB could have used both."""
    kept: list[Source] = []
    notes: list[Note] = []
    successors = [(pool, block) for pool in pools for block in _ranges(pool)]
    for legacy in legacy_pools:
        blocks = list(_ranges(legacy))
        heir = next((pool for pool, taken in successors if any(taken.overlaps(block) for block in blocks)), None)
        if heir is None:
            kept.append(legacy)
        else:
            notes.append(Note(Severity.INFO, str(legacy), f"{heir} took its addresses over; left out"))
    return kept, notes


def _ranges(source: Source) -> Iterator[AddressRange]:
    for one in _listed(source.spec.get("addresses")):
        if text := convert_entry(one).text:
            yield AddressRange.parse(text)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _spec(spec: RawObject, entries: Iterable[Entry], load_balancer_class: str) -> Manifest:
    written: Manifest = {"addresses": list(dict.fromkeys(one.text for one in entries if one.text))}
    written |= {name: spec[name] for name in _COPIED if name in spec}
    if load_balancer_class:
        written["loadBalancerClasses"] = [load_balancer_class]
    if "serviceAllocation" in spec:
        written["serviceAllocation"] = _allocation(spec["serviceAllocation"])
    return written


def _allocation(allocation: object) -> object:
    if not isinstance(allocation, dict):
        return allocation
    written = {name: allocation[name] for name in ("priority", *_COPIED_OF_ALLOCATION) if name in allocation}
    return written | ({"priority": 0} if _is_negative(allocation.get("priority")) else {})


def _is_negative(priority: object) -> bool:
    return isinstance(priority, int) and priority < 0


def _remarks(source: Source, entries: Iterable[Entry]) -> Iterator[Note]:
    for entry in entries:
        if entry.remark:
            yield Note(entry.severity, str(source), f"spec.addresses: {entry.remark}")
    yield from unknown_fields(source, source.spec, {"addresses", "serviceAllocation", *_COPIED, *_READ_ELSEWHERE})
    if isinstance(allocation := source.spec.get("serviceAllocation"), dict):
        yield from unknown_fields(source, allocation, {"priority", *_COPIED_OF_ALLOCATION}, "serviceAllocation.")
        if _is_negative(allocation.get("priority")):
            yield Note(
                Severity.WARNING,
                str(source),
                f"spec.serviceAllocation.priority: {allocation['priority']} has no defined place in MetalLB's order; "
                "written as 0, which comes last. Lower numbers from 1 on come first",
            )


def unknown_fields(source: Source, written: RawObject, known: Iterable[str], prefix: str = "") -> Iterator[Note]:
    """Name what a newer MetalLB may have added."""
    for name in sorted(written.keys() - set(known)):
        yield Note(Severity.ERROR, str(source), f"spec.{prefix}{name} is unknown here; left out")
