"""Addresses of Pods, and what of them is read back from the node's routes."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from baremetal_lb.lab.kubelet.network import (
    FIRST_POD,
    LAST_POD,
    PodNetworks,
    _numbers_by_link,
    free_number,
    node_commands,
    pod_commands,
)

NETWORKS = PodNetworks(IPv4Network("10.244.3.0/24"), IPv6Network("fd00:10:244:3::/64"))


def test_both_addresses_of_a_pod_end_in_the_same_digits() -> None:
    assert NETWORKS.addresses_of(17) == (ip_address("10.244.3.17"), ip_address("fd00:10:244:3::17"))


@pytest.mark.parametrize(
    ("taken", "after", "expected"),
    [
        pytest.param([], 1, 2, id="the first is .2"),
        pytest.param([2], 2, 3, id="the next one"),
        pytest.param([3], 2, 4, id="one that is taken is passed over"),
        pytest.param([], 5, 6, id="an address that was given back rests"),
        pytest.param([250], 250, 2, id="from the end back to the beginning"),
        pytest.param(range(FIRST_POD, LAST_POD + 1), 9, None, id="none is left"),
        pytest.param([n for n in range(FIRST_POD, LAST_POD + 1) if n != 9], 9, 9, id="the last one free"),
    ],
)
def test_free_number(taken: list[int], after: int, expected: int | None) -> None:
    assert free_number(taken, after) == expected


def test_what_exists_is_read_from_the_routes() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.244.1.0/24", "dev": "eth0"},
        {"dst": "10.244.3.5", "dev": "veth0d489320"},
        {"dst": "10.244.3.9", "dev": "veth51683630"},
        {"dst": "unreachable 10.0.0.0"},
    ]
    assert _numbers_by_link(routes, NETWORKS) == {"veth0d489320": 5, "veth51683630": 9}


def test_both_ends_of_a_cable_know_both_families() -> None:
    node, pod = node_commands(NETWORKS, "veth0d489320", 5), pod_commands(NETWORKS, 5)
    assert "route replace 10.244.3.5/32 dev veth0d489320 src 10.244.3.1" in node
    assert "route replace fd00:10:244:3::5/128 dev veth0d489320" in node
    assert "addr add 10.244.3.5/32 dev eth0" in pod
    assert "addr add fd00:10:244:3::5/128 dev eth0 nodad" in pod
    assert [line for line in pod if "default" in line] == [
        "route add default via 10.244.3.1 dev eth0",
        "route add default via fe80::1 dev eth0",
    ]
