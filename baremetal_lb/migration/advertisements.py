"""Which pools are announced on the local network, and from where: MetalLB's L2Advertisements into ours.

The trap is what an advertisement without pools means: all of them. In MetalLB that is all IPAddressPools of its
namespace; here it is all there are, also those that were AddressPools or of another namespace. Where the two differ,
the pools are named one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baremetal_lb.api.base import InvalidResourceError
from baremetal_lb.api.l2 import L2Advertisement, L2AdvertisementSpec
from baremetal_lb.config.reading import RawObject
from baremetal_lb.config.selectors import compile_selector
from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.migration.pools import LAYER2, ConvertedPool, Manifest, manifest, unknown_fields
from baremetal_lb.migration.sources import LEGACY_POOL, Source

_COPIED = ("ipAddressPoolSelectors", "nodeSelectors", "preferredNodeSelectors", "serviceSelectors", "interfaces")


@dataclass(frozen=True, slots=True)
class ConvertedAdvertisement:
    """An advertisement of ours, and the names of the pools that it announces."""

    manifest: Manifest
    pools: frozenset[str]


def convert_advertisements(
    sources: Sequence[Source], names: Sequence[str], pools: Sequence[ConvertedPool]
) -> tuple[list[ConvertedAdvertisement], list[Note]]:
    """Convert L2Advertisements, and AddressPools as far as they are advertisements; `names` are theirs here."""
    converted: list[ConvertedAdvertisement] = []
    notes: list[Note] = []
    for source, name in zip(sources, names, strict=True):
        advertisement, about = _convert(source, name, pools)
        notes += about
        if advertisement is not None:
            converted.append(advertisement)
    return converted, notes


def announces_itself(source: Source) -> bool:
    """Whether an AddressPool is an advertisement too."""
    return source.spec.get("protocol") == LAYER2


def _convert(
    source: Source, name: str, pools: Sequence[ConvertedPool]
) -> tuple[ConvertedAdvertisement | None, list[Note]]:
    if source.kind == LEGACY_POOL:
        itself = [pool.name for pool in pools if pool.source is source]
        return ConvertedAdvertisement(
            manifest("L2Advertisement", name, {"ipAddressPools": itself}), frozenset(itself)
        ), []
    notes = list(unknown_fields(source, source.spec, {"ipAddressPools", *_COPIED}))
    scope = [pool for pool in pools if not pool.is_legacy and pool.source.namespace == source.namespace]
    written = manifest("L2Advertisement", name, _spec(source.spec, scope), source.labels)
    try:
        spec = L2Advertisement.read(written).spec
    except InvalidResourceError as error:
        return None, [*notes, Note(Severity.ERROR, str(source), f"not converted: {error}")]
    meant = frozenset(_selected(spec, scope))
    if meant == frozenset(_selected(spec, pools)):
        return ConvertedAdvertisement(written, meant), notes
    return _named_one_by_one(source, written, meant), [*notes, _naming(source, meant)]


def _spec(spec: RawObject, scope: Sequence[ConvertedPool]) -> Manifest:
    written: Manifest = {}
    if wanted := spec.get("ipAddressPools"):
        names = {pool.source.name: pool.name for pool in scope}
        is_list = isinstance(wanted, list)
        written["ipAddressPools"] = [names.get(str(one), one) for one in wanted] if is_list else wanted
    return written | {name: spec[name] for name in _COPIED if spec.get(name)}


def _selected(spec: L2AdvertisementSpec, pools: Sequence[ConvertedPool]) -> Iterator[str]:
    """Say which of the pools the advertisement announces."""
    selectors = [compile_selector(one) for one in spec.ip_address_pool_selectors]
    selects_all = not spec.ip_address_pools and not selectors
    for pool in pools:
        is_matched = any(one.matches(pool.source.labels) for one in selectors)
        if selects_all or is_matched or pool.name in spec.ip_address_pools:
            yield pool.name


def _named_one_by_one(source: Source, written: Manifest, meant: frozenset[str]) -> ConvertedAdvertisement | None:
    if not meant:
        return None
    spec = {name: value for name, value in written["spec"].items() if name != "ipAddressPoolSelectors"}
    named = manifest(
        "L2Advertisement", written["metadata"]["name"], {**spec, "ipAddressPools": sorted(meant)}, source.labels
    )
    return ConvertedAdvertisement(named, meant)


def _naming(source: Source, meant: frozenset[str]) -> Note:
    if not meant:
        return Note(Severity.INFO, str(source), "announces none of the converted pools; left out")
    text = (
        f"speaks for the IPAddressPools of its namespace only, so they are named: {', '.join(sorted(meant))}. "
        "A pool that you add later has to be named too"
    )
    return Note(Severity.INFO, str(source), text)
