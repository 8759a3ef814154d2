"""What the generated CustomResourceDefinitions say, and that the folder crds/ says it too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from baremetal_lb.api import crds
from baremetal_lb.api.base import CustomResource
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.api.status import SpeakerStatus

Schema = dict[str, Any]


@pytest.fixture(params=crds.KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[CustomResource]:
    found: type[CustomResource] = request.param
    return found


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


def test_the_folder_is_up_to_date() -> None:
    assert crds.main(["--check"]) is None


def test_a_stale_or_surplus_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crds, "FOLDER", tmp_path / "crds")
    assert crds.main([]) is None
    assert crds.main(["--check"]) is None
    (tmp_path / "crds" / "kustomization.yaml").write_text("")
    (tmp_path / "crds" / "old.yaml").write_text("")
    assert crds.main(["--check"]) == "crds/ is not what the models say: kustomization.yaml, old.yaml; run make crds"


def test_every_field_has_a_description_and_a_type(kind: type[CustomResource]) -> None:
    for path, schema in nodes(crds.schema_of(kind)):
        assert "type" in schema, path
        assert "description" in schema or path.endswith("[]") or path == ".metadata", path


def test_every_list_says_how_it_is_merged_and_how_long_it_may_be(kind: type[CustomResource]) -> None:
    for path, schema in nodes(crds.schema_of(kind)):
        if schema["type"] == "array":
            assert {"x-kubernetes-list-type", "maxItems"} <= set(schema), path


def test_every_rule_has_a_message_in_words(kind: type[CustomResource]) -> None:
    rules = [rule for _, schema in nodes(crds.schema_of(kind)) for rule in schema.get("x-kubernetes-validations", ())]
    assert rules or kind is SpeakerStatus, "which no person writes"
    assert all(len(rule["message"].split()) > 3 for rule in rules)


def test_status_has_its_own_endpoint_and_needs_no_spec(kind: type[CustomResource]) -> None:
    (version,) = crds.crd_of(kind)["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert "status" not in version["schema"]["openAPIV3Schema"].get("required", ())


def test_printer_columns_point_to_fields(kind: type[CustomResource]) -> None:
    fields = {path for path, _ in nodes(crds.schema_of(kind))} | {".metadata.creationTimestamp"}
    for column in kind.printer_columns:
        assert column.json_path.partition("[?")[0] in fields


def test_defaults_are_those_that_change_something() -> None:
    schemas = nodes(crds.schema_of(IPAddressPool))
    defaults = {path: schema["default"] for path, schema in schemas if "default" in schema}
    assert defaults == {
        ".spec.autoAssign": True,
        ".spec.avoidBuggyIPs": False,
        ".spec.avoidNetworkAndBroadcast": False,
        ".spec.allocation": "Sequential",
        ".spec.reclaimPolicy": "Retain",
        ".spec.conflictPolicy": "Defend",
        ".spec.serviceAllocation.priority": 0,
        ".spec.serviceAllocation.exclusive": False,
    }


def test_the_kustomization_names_every_file() -> None:
    files = crds.render_crds()
    assert set(yaml.safe_load(files["kustomization.yaml"])["resources"]) == set(files) - {"kustomization.yaml"}


def test_what_has_no_place_in_a_structural_schema_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(BaseModel):
        pair: tuple[int, str]

    monkeypatch.setattr(IPAddressPool, "model_json_schema", lambda **_: {**Odd.model_json_schema(), "$defs": {}})
    with pytest.raises(ValueError, match="a structural schema has no prefixItems"):
        crds.schema_of(IPAddressPool)
