"""A Node as the speaker and the controller see it."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.cluster.node import NodeNetwork, parse_node, parse_node_network


def node(*addresses: tuple[str, str], pod_cidrs: list[str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "worker"},
        "spec": {"podCIDRs": pod_cidrs} if pod_cidrs else {},
        "status": {"addresses": [{"type": kind, "address": text} for kind, text in addresses]},
    }


def test_a_node_has_addresses_and_ranges_of_both_families() -> None:
    raw = node(
        ("InternalIP", "192.0.2.11"), ("ExternalIP", "2001:db8::11"), pod_cidrs=["10.244.1.0/24", "fd00:10:244:1::/64"]
    )
    assert parse_node_network(raw) == NodeNetwork(
        "worker",
        (ip_address("192.0.2.11"), ip_address("2001:db8::11")),
        (AddressRange.parse("10.244.1.0/24"), AddressRange.parse("fd00:10:244:1::/64")),
    )


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({"metadata": {"name": "worker"}}, id="a Node that has said nothing yet"),
        pytest.param(node(("Hostname", "192.0.2.11"), ("InternalDNS", "worker.example")), id="names of its"),
        pytest.param(node(("InternalIP", "worker"), ("InternalIP", "fe80::1%eth0")), id="what is no address"),
        pytest.param(node(pod_cidrs=["10.244.1.0/33"]), id="what is no range"),
    ],
)
def test_nothing_comes_of(raw: dict[str, Any]) -> None:
    assert parse_node_network(raw) == NodeNetwork("worker", (), ())


@pytest.mark.parametrize(
    ("ready", "not_ready"),
    [
        pytest.param([{"type": "Ready", "status": "True"}], False, id="ready"),
        pytest.param([{"type": "Ready", "status": "False"}], True, id="not ready"),
        pytest.param([{"type": "Ready", "status": "Unknown"}], True, id="nobody heard of it"),
        pytest.param([], False, id="it says nothing"),
    ],
)
def test_whether_a_node_is_not_ready(ready: list[dict[str, str]], not_ready: bool) -> None:
    assert parse_node({"metadata": {"name": "worker"}, "status": {"conditions": ready}}).not_ready is not_ready


@pytest.mark.parametrize("effect", ["NoExecute", "NoSchedule"])
def test_the_taint_that_says_out_of_service(effect: str) -> None:
    tainted = [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": effect}]
    other = [{"key": "node-role.kubernetes.io/control-plane", "effect": effect}]
    assert parse_node({"metadata": {"name": "worker"}, "spec": {"taints": tainted}}).out_of_service
    assert not parse_node({"metadata": {"name": "worker"}, "spec": {"taints": other}}).out_of_service


def test_a_cordoned_node_is_known() -> None:
    assert parse_node({"metadata": {"name": "worker"}, "spec": {"unschedulable": True}}).cordoned
    assert not parse_node({"metadata": {"name": "worker"}, "spec": {}}).cordoned


@pytest.mark.parametrize(
    ("raw", "leaving"),
    [
        pytest.param({"metadata": {"name": "worker"}}, False, id="one that stays"),
        pytest.param(
            {"metadata": {"name": "worker"}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}},
            True,
            id="one that the autoscaler will remove",
        ),
        pytest.param(
            {"metadata": {"name": "worker", "deletionTimestamp": "2026-11-23T12:00:00Z"}}, True, id="one being deleted"
        ),
    ],
)
def test_whether_a_node_is_leaving(raw: dict[str, Any], leaving: bool) -> None:
    assert parse_node(raw).leaving is leaving
