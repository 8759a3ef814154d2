"""What docs/howto/addresses.md shows can be applied as it stands, does what it says, and leaves no field out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.explain import explain
from baremetal_lb.allocator.request import AllocationRequest, parse_request
from baremetal_lb.api.annotations import Annotation
from baremetal_lb.api.base import CustomResource
from baremetal_lb.api.claim import IPAddressClaim, IPAddressClaimSpec
from baremetal_lb.api.pool import IPAddressPool, IPAddressPoolSpec, ServiceAllocation
from baremetal_lb.cluster.namespace import QUOTA_ANNOTATION, parse_namespace
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.config.compile import compile_config

GUIDE = (Path(__file__).parents[2] / "docs/howto/addresses.md").read_text()
EXAMPLES: list[dict[str, Any]] = [
    one
    for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for one in yaml.safe_load_all(block)
]
KINDS: dict[str, type[CustomResource]] = {"IPAddressPool": IPAddressPool, "IPAddressClaim": IPAddressClaim}


def examples(kind: str) -> list[dict[str, Any]]:
    return [one for one in EXAMPLES if one["kind"] == kind]


def services() -> Iterator[ServiceView]:
    """The Services of the guide as an API server completes them."""
    for raw in examples("Service"):
        spec = {"ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"], **raw["spec"]}
        yield parse_service({**raw, "spec": spec})


def keys(thing: object) -> Iterator[str]:
    if isinstance(thing, dict):
        yield from thing
    for inner in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ():
        yield from keys(inner)


def fields(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_example_is_of_a_kind_that_is_checked_here() -> None:
    assert {one["kind"] for one in EXAMPLES} == {*KINDS, "Service", "Namespace"}


@pytest.mark.parametrize(
    "raw", [one for one in EXAMPLES if one["kind"] in KINDS], ids=lambda raw: raw["metadata"]["name"]
)
def test_every_resource_is_accepted(raw: dict[str, Any]) -> None:
    KINDS[raw["kind"]].read(raw)


def test_all_resources_together_work() -> None:
    _, problems = compile_config(examples("IPAddressPool"), (), examples("IPAddressClaim"))
    assert problems == ()


@pytest.mark.parametrize("view", list(services()), ids=lambda view: view.key.name)
def test_every_request_is_understood(view: ServiceView) -> None:
    assert isinstance(parse_request(view), AllocationRequest)


def test_every_namespace_has_a_quota_that_can_be_read() -> None:
    assert [parse_namespace(raw).quota for raw in examples("Namespace")] == [8]


def test_the_services_get_what_the_guide_says() -> None:
    """Together, with all pools and claims of it."""
    config, _ = compile_config(examples("IPAddressPool"), (), examples("IPAddressClaim"))
    assigner = Assigner()
    for raw in examples("Namespace"):
        assigner.namespace_changed(raw["metadata"]["name"], parse_namespace(raw))
    for view in services():
        assigner.service_changed(view.key, view, 0.0)
    assigner.start(config)
    assigner.decide(len(assigner.entries))
    holders: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for key, entry in assigner.entries.items():
        holders[frozenset(map(str, entry.addresses))].add(key.name)
    assert holders[frozenset({"192.0.2.25", "2001:db8:0:2::25"})] == {"mail"}
    assert {"dns-udp", "dns-tcp"} in holders.values()
    (intranet,) = (view for view in services() if view.key.name == "intranet")
    (family,) = explain(assigner, intranet).families
    assert [one.pool for one in family.verdicts if one.is_taken] == ["internal"]


@pytest.mark.parametrize(
    ("kind", "models"),
    [("IPAddressPool", (IPAddressPoolSpec, ServiceAllocation)), ("IPAddressClaim", (IPAddressClaimSpec,))],
)
def test_no_field_is_left_out(kind: str, models: Iterable[type[BaseModel]]) -> None:
    assert {name for model in models for name in fields(model)} <= set(keys(examples(kind)))


def test_no_annotation_is_left_out() -> None:
    spellings = {key for one in Annotation for key in one.spellings[:1]}
    assert {key for key in {*spellings, QUOTA_ANNOTATION} if key not in GUIDE} == set()
