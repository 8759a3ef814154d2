"""The models, written down as CustomResourceDefinitions: `python -m baremetal_lb.api.crds [--check]`.

Kubernetes takes a part of JSON Schema only (structural schemas): no references, no unions. So what pydantic makes is
reduced to that part here, and whatever has no place in it fails loudly.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from baremetal_lb.api.base import GROUP, VERSION, CustomResource, PrinterColumn
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.api.status import SpeakerStatus

KINDS: tuple[type[CustomResource], ...] = (IPAddressPool, IPAddressClaim, L2Advertisement, SpeakerStatus)
FOLDER = Path(__file__).parents[2] / "crds"
HEADER = "# Written by `make crds` from baremetal_lb/api/; change it there.\n"


def render_crds() -> dict[str, str]:
    """Every file of the folder crds/ by its name."""
    files = {f"{GROUP}_{kind.names.plural}.yaml": _to_yaml(crd_of(kind)) for kind in KINDS}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return {**files, "kustomization.yaml": _to_yaml(kustomization)}


def crd_of(kind: type[CustomResource]) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.names.plural,
                "singular": kind.names.singular,
                "shortNames": list(kind.names.short),
                "categories": ["baremetal-lb"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(column) for column in kind.printer_columns],
                    "schema": {"openAPIV3Schema": schema_of(kind)},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def schema_of(kind: type[CustomResource]) -> dict[str, Any]:
    """The structural schema of one kind; metadata and the type are the API server's own business."""
    raw = kind.model_json_schema(by_alias=True)
    schema = _structural(raw, raw["$defs"])
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
        "kind": {"type": "string", "description": f"Always {kind.__name__}."},
        **schema["properties"],
        "metadata": {"type": "object"},
    }
    schema["required"] = [name for name in schema["required"] if name != "metadata"]
    return schema


def main(arguments: list[str]) -> str | None:
    """Write the files, or with --check say what would change."""
    files = render_crds()
    if arguments == ["--check"]:
        stale = sorted(name for name, text in files.items() if _on_disk(name) != text)
        surplus = sorted({path.name for path in FOLDER.glob("*")} - set(files))
        return (
            f"crds/ is not what the models say: {', '.join(stale + surplus)}; run make crds"
            if stale + surplus
            else None
        )
    FOLDER.mkdir(exist_ok=True)
    for name, text in files.items():
        (FOLDER / name).write_text(text)
    return None


_ORDER = (
    *("description", "type", "format", "enum", "pattern", "default", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "x-kubernetes-list-type"),
    *("x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations", "required"),
    *("properties", "additionalProperties", "items"),
)
"""What a structural schema may say, as a reader wants to find it."""

_DROPPED = frozenset({"title", "$defs", "propertyNames"})
"""A structural schema has no word for a map's keys; a CEL rule checks them."""


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a node of JSON Schema to what a structural schema may say."""
    node = _resolved(node, definitions)
    if "patternProperties" in node:
        (node["additionalProperties"],) = node.pop("patternProperties").values()
    if "properties" in node:
        node["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    for keyword in {"items", "additionalProperties"} & set(node):
        node[keyword] = _structural(node[keyword], definitions)
    if unknown := set(node) - set(_ORDER) - _DROPPED:
        raise ValueError(f"a structural schema has no {', '.join(sorted(unknown))}: {node}")
    return _polished(node)


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The node with what it refers to, and with `X | None` (a field that may be absent) as X."""
    own = {keyword: value for keyword, value in node.items() if keyword not in {"$ref", "anyOf"}}
    if "$ref" in node:
        return _resolved(definitions[node["$ref"].removeprefix("#/$defs/")], definitions) | own
    if "anyOf" in node:
        (option,) = [one for one in node["anyOf"] if one != {"type": "null"}]
        return _resolved(option, definitions) | own
    return own


def _polished(node: dict[str, Any]) -> dict[str, Any]:
    """The node in order, with 64 bits for integers, a description in one line, and defaults of scalars only."""
    if node.get("type") == "integer":
        node["format"] = "int64"
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if node.get("default") is None or isinstance(node["default"], list | dict):
        node.pop("default", None)
    return {keyword: node[keyword] for keyword in _ORDER if keyword in node}


def _column(column: PrinterColumn) -> dict[str, Any]:
    priority = {"priority": column.priority} if column.priority else {}
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    } | priority


class _Dumper(yaml.SafeDumper):
    """Writes long texts folded, so that rules stay readable, and nothing by reference."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _to_yaml(document: Mapping[str, Any]) -> str:
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _on_disk(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
