"""What a pool may say of itself, and how a fault of it is told."""

from typing import Any

import pytest

from baremetal_lb.api.base import InvalidResourceError
from baremetal_lb.api.pool import AllocationOrder, ConflictPolicy, IPAddressPool, IPAddressPoolSpec, ReclaimPolicy

GOLD = {"matchLabels": {"tier": "gold"}}


def read(**spec: Any) -> IPAddressPoolSpec:
    return IPAddressPool.read({"metadata": {"name": "lan"}, "spec": {"addresses": ["192.0.2.0/24"], **spec}}).spec


def faults(**spec: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidResourceError) as caught:
        read(**spec)
    return caught.value.faults


def test_a_pool_that_says_nothing_is_for_everyone() -> None:
    spec = read()
    assert spec.excluded_addresses == ()
    assert (spec.allocation, spec.reclaim_policy) == (AllocationOrder.SEQUENTIAL, ReclaimPolicy.RETAIN)
    assert spec.conflict_policy is ConflictPolicy.DEFEND
    assert (spec.avoid_network_and_broadcast, spec.load_balancer_classes, spec.service_allocation) == (False, (), None)


def test_every_field_has_the_name_that_users_write() -> None:
    spec = read(
        excludedAddresses=["192.0.2.1/32", "2001:db8::1-2001:db8::9"],
        avoidNetworkAndBroadcast=True,
        allocation="Sticky",
        reclaimPolicy="Reassign",
        conflictPolicy="Quarantine",
        loadBalancerClasses=["example.com/fast", "plain"],
        serviceAllocation={
            "priority": 7,
            "namespaces": ["web"],
            "namespaceSelectors": [GOLD],
            "serviceSelectors": [GOLD],
            "exclusive": True,
            "namespaceQuota": 5,
        },
    )
    assert [str(entry.block) for entry in spec.excluded_addresses] == ["192.0.2.1/32", "2001:db8::1-2001:db8::9"]
    assert (spec.allocation, spec.reclaim_policy) == (AllocationOrder.STICKY, ReclaimPolicy.REASSIGN)
    assert spec.conflict_policy is ConflictPolicy.QUARANTINE
    assert spec.avoid_network_and_broadcast is True
    assert spec.load_balancer_classes == ("example.com/fast", "plain")
    rules = spec.service_allocation
    assert rules is not None
    assert (rules.priority, rules.namespaces, rules.exclusive, rules.namespace_quota) == (7, ("web",), True, 5)
    assert (len(rules.namespace_selectors), len(rules.service_selectors)) == (1, 1)


@pytest.mark.parametrize(
    ("entry", "is_cidr"),
    [
        pytest.param("192.0.2.0/24", True, id="an IPv4 CIDR"),
        pytest.param("2001:db8::/64", True, id="an IPv6 CIDR"),
        pytest.param("192.0.2.0-192.0.2.255", False, id="an IPv4 range that could be written as a CIDR"),
        pytest.param("2001:db8::-2001:db8::f", False, id="an IPv6 range that could be written as a CIDR"),
    ],
)
def test_only_a_cidr_is_a_network(entry: str, is_cidr: bool) -> None:
    assert [one.is_cidr for one in read(addresses=[entry]).addresses] == [is_cidr]


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"namespaces": ["web"]}, id="by namespace"),
        pytest.param({"namespaceSelectors": [{}]}, id="by the labels of namespaces"),
        pytest.param({"serviceSelectors": [{}]}, id="by the labels of Services"),
    ],
)
def test_an_exclusive_pool_says_for_whom_it_is(rules: dict[str, Any]) -> None:
    allocation = read(serviceAllocation={"exclusive": True, **rules}).service_allocation
    assert allocation is not None
    assert allocation.exclusive is True


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            {"serviceAllocation": {"exclusive": True, "priority": 1}},
            "spec.serviceAllocation: an exclusive pool must say for whom it is; "
            "write namespaces, namespaceSelectors or serviceSelectors",
            id="an exclusive pool for everyone",
        ),
        pytest.param(
            {"excludedAddresses": ["192.0.2.1", "2001:db8::9-2001:db8::1"]},
            "spec.excludedAddresses[0]: '192.0.2.1' is a single address; write 192.0.2.1/32",
            id="an excluded address without a prefix length",
        ),
        pytest.param(
            {"loadBalancerClasses": ["fast", "fast"]},
            'spec.loadBalancerClasses: "fast" is there twice; remove one',
            id="a class twice",
        ),
        pytest.param(
            {"serviceAllocation": {"namespaces": ["Web"]}},
            "spec.serviceAllocation.namespaces[0]: String should match pattern '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
            id="a namespace that cannot be",
        ),
        pytest.param(
            {"serviceAllocation": {"priority": -1}},
            "spec.serviceAllocation.priority: Input should be greater than or equal to 0",
            id="a priority below 0",
        ),
        pytest.param(
            {"serviceAllocation": {"namespaceQuota": -1}},
            "spec.serviceAllocation.namespaceQuota: Input should be greater than or equal to 0",
            id="a quota below 0",
        ),
        pytest.param(
            {"allocation": "Best"},
            "spec.allocation: Input should be 'Sequential', 'Random' or 'Sticky'",
            id="no such order",
        ),
        pytest.param(
            {"reclaimPolicy": "Delete"},
            "spec.reclaimPolicy: Input should be 'Retain' or 'Reassign'",
            id="no such policy",
        ),
        pytest.param(
            {"conflictPolicy": "Fight"},
            "spec.conflictPolicy: Input should be 'Defend', 'Quarantine' or 'Yield'",
            id="no such policy for conflicts",
        ),
    ],
)
def test_a_fault_says_what_to_do(spec: dict[str, Any], fault: str) -> None:
    assert faults(**spec)[0] == fault


def test_of_excluded_addresses_every_fault_is_told() -> None:
    assert len(faults(excludedAddresses=["192.0.2.1", "2001:db8::9-2001:db8::1"])) == 2
