"""What all the speakers together say of foreign hosts."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.config.model import ConflictingHost
from baremetal_lb.controller.conflict_reports import ConflictReports, parse_report

FOREIGN = "02:00:00:00:00:99"
BOTH_FAMILIES = pytest.mark.parametrize("text", ["192.0.2.10", "2001:db8::10"])


def status(node: str, *conflicts: tuple[str, str], mac: str = "02:00:00:00:00:01") -> dict[str, Any]:
    entries = [
        {"address": address, "mac": host, "interface": "eth0", "since": "2026-01-01T00:00:00Z"}
        for address, host in conflicts
    ]
    interfaces = [{"name": "eth0", "mac": mac}]
    return {"metadata": {"name": node}, "status": {"conflicts": entries, "interfaces": interfaces}}


def test_a_speaker_that_says_nothing_says_nothing_of_conflicts() -> None:
    report = parse_report({"metadata": {"name": "n1"}})

    assert (report.hosts, report.own_macs) == ({}, frozenset())


@BOTH_FAMILIES
def test_of_two_nodes_that_hear_a_host_the_first_by_name_speaks(text: str) -> None:
    reports, address = ConflictReports(), ip_address(text)
    assert reports.heard("n2", parse_report(status("n2", (text, FOREIGN))))
    assert reports.heard("n1", parse_report(status("n1", (text, FOREIGN))))
    assert reports.conflicts == {address: ConflictingHost(FOREIGN, "eth0", "n1")}

    assert reports.heard("n1", None)
    assert reports.conflicts == {address: ConflictingHost(FOREIGN, "eth0", "n2")}


@BOTH_FAMILIES
def test_what_says_nothing_new_of_conflicts_is_no_change(text: str) -> None:
    reports = ConflictReports()
    reports.heard("n1", parse_report(status("n1", (text, FOREIGN))))

    assert not reports.heard("n1", parse_report(status("n1", (text, FOREIGN))))
    assert not reports.heard("n2", parse_report(status("n2")))
    assert not reports.heard("n2", None)


@BOTH_FAMILIES
def test_a_node_of_ours_that_another_does_not_know_yet_is_no_foreign_host(text: str) -> None:
    reports = ConflictReports()
    reports.heard("n1", parse_report(status("n1", (text, FOREIGN))))

    assert reports.heard("new", parse_report(status("new", mac=FOREIGN)))
    assert reports.conflicts == {}
