"""What the speakers say of foreign hosts that use addresses of ours, put together by address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.config.model import ConflictingHost


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one SpeakerStatus says of conflicts, and with which MAC addresses the node itself answers."""

    hosts: Mapping[Address, ConflictingHost]
    own_macs: frozenset[str]


def parse_report(raw: Mapping[str, Any]) -> NodeReport:
    """Reduce an API server's SpeakerStatus."""
    status, node = raw.get("status") or {}, raw["metadata"]["name"]
    hosts = {
        parse_address(one["address"]): ConflictingHost(one["mac"], one["interface"], node)
        for one in status.get("conflicts") or ()
    }
    return NodeReport(hosts, frozenset(one["mac"] for one in status.get("interfaces") or ()))


class ConflictReports:
    """Follows the SpeakerStatuses. Where several nodes hear a host on one address, the first by name speaks."""

    def __init__(self) -> None:
        self.conflicts: Mapping[Address, ConflictingHost] = {}
        self._reports: dict[str, NodeReport] = {}

    def heard(self, node: str, report: NodeReport | None) -> bool:
        """Take in what a node says now (None: it is gone); tell whether there are other conflicts than before."""
        before = self._reports.pop(node, None)
        if report is not None:
            self._reports[node] = report
        if report == before:
            return False
        known, self.conflicts = self.conflicts, self._put_together()
        return self.conflicts != known

    def _put_together(self) -> Mapping[Address, ConflictingHost]:
        """Leave out a host that is one of our nodes: who reported it had not heard of that node yet."""
        ours = frozenset().union(*(report.own_macs for report in self._reports.values()))
        conflicts: dict[Address, ConflictingHost] = {}
        for node in sorted(self._reports):
            for address, host in self._reports[node].hosts.items():
                if host.mac not in ours:
                    conflicts.setdefault(address, host)
        return conflicts
