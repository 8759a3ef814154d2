"""Whom a fault hits."""

import ipaddress
from collections.abc import Sequence

import pytest

from baremetal_lb.lab.barriers import render_beat_block, render_partition, render_split
from baremetal_lb.lab.faults import FAULTS, runs_verb
from baremetal_lb.lab.topology import Shape, standard_topology


@pytest.mark.parametrize(
    ("arguments", "verb", "hit"),
    [
        pytest.param(("/usr/local/bin/baremetal-lb", "speaker"), "speaker", True, id="the console script"),
        pytest.param(("python", "-m", "baremetal_lb.cli.main", "speaker", "--x"), "speaker", True, id="the module"),
        pytest.param(("python", "-m", "baremetal_lb.cli.main", "speaker"), "controller", False, id="another verb"),
        pytest.param(("cat", "/pods/baremetal-lb-system_speaker-x/spec.json"), "speaker", False, id="a file's name"),
        pytest.param(("vim", "speaker"), "speaker", False, id="somebody else's program"),
        pytest.param((), "speaker", False, id="a process that is gone"),
    ],
)
def test_our_processes_are_known_by_their_command_line(arguments: Sequence[str], verb: str, hit: bool) -> None:
    assert runs_verb(arguments, verb) is hit


def test_a_partition_drops_a_node_and_its_pods_in_both_families() -> None:
    rules = render_partition(standard_topology(Shape(nodes=2)).host("node2"), "partition-node2")
    assert "table inet partition-node2" in rules
    assert "ip saddr { 192.0.2.12, 10.244.2.0/24 } drop" in rules
    assert "ip6 saddr { 2001:db8:0:2::12, fd00:10:244:2::/64 } drop" in rules
    assert "ip daddr { 192.0.2.12, 10.244.2.0/24 } drop" in rules
    assert "ip6 daddr { 2001:db8:0:2::12, fd00:10:244:2::/64 } drop" in rules
    assert str(ipaddress.ip_address("192.0.2.11")) not in rules


@pytest.mark.parametrize(
    ("hosts", "still_heard", "rules"),
    [
        pytest.param(
            ["node1"],
            ["cp"],
            ["iifname { node1 } oifname != { node1, cp } drop", "oifname { node1 } iifname != { node1, cp } drop"],
            id="all but the control plane are hidden, both ways",
        ),
        pytest.param(
            ["node1", "client2"],
            [],
            [
                "iifname { node1, client2 } oifname != { node1, client2 } drop",
                "oifname { node1, client2 } iifname != { node1, client2 } drop",
            ],
            id="who is split off together hears each other",
        ),
    ],
)
def test_a_split_segment_drops_what_crosses_it(hosts: list[str], still_heard: list[str], rules: list[str]) -> None:
    lines = render_split(hosts, still_heard, "split-x").splitlines()
    assert lines[0] == "table bridge split-x {"
    assert [line.strip() for line in lines if line.endswith("drop")] == rules


def test_blocked_beats_are_all_that_is_dropped() -> None:
    lines = render_beat_block("node1", "beats-blocked-node1").splitlines()
    assert [line.strip() for line in lines if line.endswith("drop")] == [
        "iifname node1 ether type ip udp dport 7474 drop",
        "iifname node1 ether type ip6 udp dport 7474 drop",
        "oifname node1 ether type ip udp dport 7474 drop",
        "oifname node1 ether type ip6 udp dport 7474 drop",
    ]


def test_every_fault_says_what_it_is() -> None:
    assert all(fault.about for fault in FAULTS.values())
    assert {kind for kind, fault in FAULTS.items() if fault.heal is None} == {"speaker", "controller"}
