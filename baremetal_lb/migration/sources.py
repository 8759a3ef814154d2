"""What a user hands over: MetalLB's resources of every age, Services and Namespaces, sorted by what they are."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from baremetal_lb.cluster.namespace import NamespaceView, parse_namespace
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.config.reading import RawObject
from baremetal_lb.migration.notes import Note, Severity

GROUP = "metallb.io"
POOL, LEGACY_POOL, L2_ADVERTISEMENT = "IPAddressPool", "AddressPool", "L2Advertisement"
BGP_KINDS = ("BGPAdvertisement", "BGPPeer", "BFDProfile", "Community")
STATUS_KINDS = frozenset({"ServiceL2Status", "ServiceBGPStatus", "ConfigurationState"})
"""What MetalLB writes for its own use; there is nothing to convert."""

CONFIG_KEY = "config"
"""The key of a ConfigMap under which MetalLB kept its configuration before version 0.13."""


@dataclass(frozen=True, slots=True)
class Source:
    """One resource of MetalLB's, without the nulls that some tools write for what is absent."""

    kind: str
    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    spec: RawObject = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(slots=True)
class Inventory:
    """Everything that was handed over, by kind."""

    pools: list[Source] = field(default_factory=list)
    legacy_pools: list[Source] = field(default_factory=list)
    l2_advertisements: list[Source] = field(default_factory=list)
    bgp: list[Source] = field(default_factory=list)
    config_maps: list[Source] = field(default_factory=list)
    services: list[ServiceView] = field(default_factory=list)
    namespaces: list[NamespaceView] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    """On what could not be sorted in."""


def take_stock(documents: Iterable[object]) -> Inventory:
    """Sort documents in; lists of any kind are opened, and what is no business of ours is passed over."""
    inventory = Inventory()
    for number, document in enumerate(_opened(documents), start=1):
        if not isinstance(document, dict) or not _name(document):
            text = "is no Kubernetes object: it has no metadata.name; not converted"
            inventory.notes.append(Note(Severity.ERROR, f"document {number}", text))
        elif str(document.get("apiVersion")).startswith(f"{GROUP}/"):
            _sort_in(_source(document), inventory)
        else:
            _try_to_sort_in_core(document, inventory)
    return inventory


def _opened(documents: Iterable[object]) -> Iterator[object]:
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind")).endswith("List") and "items" in document:
            kind, version = str(document["kind"]).removesuffix("List"), document.get("apiVersion")
            for item in document["items"] if isinstance(document["items"], list) else ():
                yield {"kind": kind, "apiVersion": version, **item} if isinstance(item, dict) else item
        elif document is not None:
            yield document


def _name(document: RawObject) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _source(document: RawObject) -> Source:
    metadata = document["metadata"]
    return Source(
        kind=str(document.get("kind")),
        name=str(metadata["name"]),
        namespace=str(metadata.get("namespace") or ""),
        labels=_mapping(metadata.get("labels")),
        spec=_without_nulls(_mapping(document.get("spec"))),
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def _sort_in(source: Source, inventory: Inventory) -> None:
    shelves = {
        POOL: inventory.pools,
        LEGACY_POOL: inventory.legacy_pools,
        L2_ADVERTISEMENT: inventory.l2_advertisements,
        **dict.fromkeys(BGP_KINDS, inventory.bgp),
    }
    if source.kind in shelves:
        shelves[source.kind].append(source)
    elif source.kind not in STATUS_KINDS:
        inventory.notes.append(Note(Severity.ERROR, str(source), "is of a kind that is unknown here; not converted"))


def _try_to_sort_in_core(document: dict[str, Any], inventory: Inventory) -> None:
    try:
        _sort_in_core(document, inventory)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"is not as Kubernetes writes it ({error!r}); passed over"
        inventory.notes.append(Note(Severity.ERROR, f"{document.get('kind')} {_name(document)}", text))


def _sort_in_core(document: dict[str, Any], inventory: Inventory) -> None:
    metadata = {"namespace": "default", **document["metadata"]}
    match document.get("kind"):
        case "Service":
            inventory.services.append(parse_service({**document, "metadata": metadata}))
        case "Namespace":
            inventory.namespaces.append(parse_namespace(document))
        case "ConfigMap" if CONFIG_KEY in _mapping(document.get("data")):
            text = {CONFIG_KEY: str(document["data"][CONFIG_KEY])}
            inventory.config_maps.append(Source("ConfigMap", metadata["name"], metadata["namespace"], spec=text))
        case _:
            pass
