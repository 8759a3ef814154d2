"""MetalLB's configuration before version 0.13, one text in a ConfigMap, as the resources that took its place."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.migration.sources import CONFIG_KEY, LEGACY_POOL, Source

_POOLS = "address-pools"
_POOL_FIELDS: Mapping[str, str] = {
    "protocol": "protocol",
    "addresses": "addresses",
    "auto-assign": "autoAssign",
    "avoid-buggy-ips": "avoidBuggyIPs",
    "bgp-advertisements": "bgpAdvertisements",
}
_BGP_SECTIONS: Mapping[str, str] = {"peers": "BGPPeer", "bgp-communities": "Community", "bfd-profiles": "BFDProfile"}


def read_config_map(source: Source) -> tuple[list[Source], list[Source], list[Note]]:
    """Read its pools, what it says about BGP, and notes on what can't be read."""
    try:
        config = yaml.safe_load(source.spec[CONFIG_KEY])
    except yaml.YAMLError as error:
        return [], [], [Note(Severity.ERROR, str(source), f"not converted: {error}")]
    if not isinstance(config, dict) or not config.keys() & {_POOLS, *_BGP_SECTIONS}:
        return [], [], [Note(Severity.INFO, str(source), "is no configuration of MetalLB's; left out")]
    raw_pools = list(_objects(config.get(_POOLS)))
    unknown = [key for key in config if key not in {_POOLS, *_BGP_SECTIONS}]
    unknown += [f"{_POOLS}: {key}" for raw in raw_pools for key in raw if key not in {"name", *_POOL_FIELDS}]
    notes = [Note(Severity.ERROR, str(source), f"{key} is unknown here; left out") for key in unknown]
    return [_pool(raw, source.namespace) for raw in raw_pools], list(_bgp(config, source.namespace)), notes


def _pool(raw: Mapping[str, Any], namespace: str) -> Source:
    spec = {_POOL_FIELDS[key]: value for key, value in raw.items() if key in _POOL_FIELDS and value is not None}
    return Source(LEGACY_POOL, str(raw.get("name") or ""), namespace, spec=spec)


def _bgp(config: Mapping[str, Any], namespace: str) -> Iterator[Source]:
    for section, kind in _BGP_SECTIONS.items():
        written = config.get(section)
        for one in written if isinstance(written, list | dict) else ():
            word = one.get("name") or one.get("peer-address") if isinstance(one, dict) else one
            yield Source(kind, str(word), namespace)


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one
