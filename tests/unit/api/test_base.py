"""How custom resources are read, and how their faults are told."""

from typing import Any

import pytest

from baremetal_lb.api.base import CustomResource, InvalidResourceError
from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool


def faults(kind: type[CustomResource], spec: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidResourceError) as caught:
        kind.read({"metadata": {"name": "example"}, "spec": spec})
    return caught.value.faults


def test_a_pool_is_read_with_its_defaults() -> None:
    pool = IPAddressPool.read({"metadata": {"name": "lan"}, "spec": {"addresses": ["192.0.2.0/24", "2001:db8::/64"]}})
    assert [str(entry.block) for entry in pool.spec.addresses] == ["192.0.2.0/24", "2001:db8::/64"]
    assert (pool.spec.auto_assign, pool.spec.avoid_buggy_ips) == (True, False)


def test_fields_have_the_names_that_users_write() -> None:
    spec = {"addresses": ["192.0.2.0/24"], "autoAssign": False, "avoidBuggyIPs": True}
    pool = IPAddressPool.read({"metadata": {"name": "lan"}, "spec": spec})
    assert (pool.spec.auto_assign, pool.spec.avoid_buggy_ips) == (False, True)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    metadata = {"name": "lan", "managedFields": []}
    pool = IPAddressPool.read({"metadata": metadata, "spec": {"addresses": ["192.0.2.0/24"], "colour": "red"}, "x": 1})
    assert pool.metadata.name == "lan"


def test_an_advertisement_may_have_no_spec() -> None:
    assert L2Advertisement.read({"metadata": {"name": "all"}}).spec.ip_address_pools == ()


def test_every_fault_is_told_with_its_place() -> None:
    spec = {"addresses": ["192.0.2.0/24", "192.0.2.7", "2001:db8::9-2001:db8::1"], "autoAssign": "perhaps"}
    assert faults(IPAddressPool, spec) == (
        "spec.addresses[1]: '192.0.2.7' is a single address; write 192.0.2.7/32",
        "spec.addresses[2]: '2001:db8::9-2001:db8::1' starts after its end; write 2001:db8::1-2001:db8::9",
        "spec.autoAssign: Input should be a valid boolean, unable to interpret input",
    )


@pytest.mark.parametrize(
    ("kind", "spec", "fault"),
    [
        pytest.param(IPAddressPool, {}, "spec.addresses: Field required", id="a pool has addresses"),
        pytest.param(
            IPAddressPool,
            {"addresses": []},
            "spec.addresses: is empty; write at least one CIDR or range",
            id="a pool has at least one address",
        ),
        pytest.param(
            IPAddressPool,
            {"addresses": ["192.0.2.0/24", "192.0.2.0/24"]},
            'spec.addresses: "192.0.2.0/24" is there twice; remove one',
            id="an entry is there once",
        ),
        pytest.param(
            IPAddressPool,
            {"addresses": [24]},
            "spec.addresses[0]: 24 is not a text; write 192.0.2.0/24 or 192.0.2.10-192.0.2.20",
            id="an entry is a text",
        ),
        pytest.param(
            IPAddressPool,
            {"addresses": ["192.0.2.1" + 99 * " " + "-192.0.2.2"]},
            "spec.addresses[0]: has more than 96 characters",
            id="an entry is no longer than it has to be",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In"}]}]},
            "spec.nodeSelectors[0].matchExpressions[0]: In needs values",
            id="In has values",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "Exists", "values": ["a"]}]}]},
            "spec.nodeSelectors[0].matchExpressions[0]: Exists must have no values",
            id="Exists has no values",
        ),
        pytest.param(
            L2Advertisement,
            {"interfaces": ["eth0", "eth0"]},
            'spec.interfaces: "eth0" is there twice; remove one',
            id="an interface is there once",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchLabels": {"a": "1", "b": "2"}}, {"matchLabels": {"b": "2", "a": "1"}}]},
            'spec.nodeSelectors: {"matchLabels": {"a": "1", "b": "2"}} is there twice; remove one',
            id="a selector is there once, whatever the order of its labels",
        ),
    ],
)
def test_a_fault_says_what_to_do(kind: type[CustomResource], spec: dict[str, Any], fault: str) -> None:
    assert faults(kind, spec) == (fault,)
