"""The condition `baremetal-lb.io/Announced` of a Service: one for all its addresses, in words that users understand.

The message has a clause for each address. What is in brackets there concerns the other nodes; that changes with every
node that comes or goes, so it may be told later than the rest.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Explanation
from baremetal_lb.cluster.service import ANNOUNCED_CONDITION
from baremetal_lb.reasons import Reason

MAX_MESSAGE_LENGTH = 4096
MAX_NODES_NAMED = 3

_BRACKETS = re.compile(r" \([^()]*\)")


class Told(NamedTuple):
    """What the condition says already, and since when its status is what it is."""

    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True, slots=True)
class AddressReport:
    """One address: each node's part, whether its holder has begun, and a foreign host that uses it, in words."""

    address: Address
    explanation: Explanation
    has_begun: bool
    conflict: str = ""

    @property
    def reason(self) -> Reason:
        """Why it is announced, or is not."""
        if self.has_begun:
            return Reason.ANNOUNCED
        return Reason.ADDRESS_CONFLICT if self.conflict else self.explanation.decision.reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the condition is to say."""

    is_true: bool
    reason: Reason
    message: str

    @property
    def status(self) -> str:
        """The condition's status."""
        return "True" if self.is_true else "False"


class Urgency(Enum):
    """How soon something must be told."""

    NONE = 0
    NOW = 1
    ONCE_SETTLED = 2
    SOME_TIME = 3


def judge(reports: Sequence[AddressReport]) -> Verdict:
    """Say of all addresses of a Service together whether they are announced; the first that is not gives the reason."""
    silent = [one for one in reports if not one.has_begun]
    message = "; ".join(map(describe_fully, reports))[:MAX_MESSAGE_LENGTH]
    return Verdict(not silent, silent[0].reason if silent else Reason.ANNOUNCED, message)


def urgency(told: Told | None, verdict: Verdict) -> Urgency:
    """Weigh what is to be told against what is told already."""
    if told is not None and (told.status, told.reason, told.message) == (*_status_of(verdict), verdict.message):
        return Urgency.NONE
    if not verdict.is_true:
        return Urgency.ONCE_SETTLED
    if (
        told is None
        or _status_of(verdict) != (told.status, told.reason)
        or _core(told.message) != _core(verdict.message)
    ):
        return Urgency.NOW
    return Urgency.SOME_TIME


def condition_body(told: Told | None, verdict: Verdict, at: str) -> Mapping[str, Any]:
    """Render the condition as it is from now on."""
    stays = told is not None and told.status == verdict.status
    return {
        "type": ANNOUNCED_CONDITION,
        "status": verdict.status,
        "reason": verdict.reason.value,
        "message": verdict.message,
        "lastTransitionTime": told.since if told is not None and stays else at,
    }


def find_told(conditions: Sequence[Mapping[str, Any]]) -> Told | None:
    """Read it from the conditions of a Service."""
    found = next((one for one in conditions if one.get("type") == ANNOUNCED_CONDITION), None)
    if found is None:
        return None
    status, reason, message, since = (found.get(name) or "" for name in _TOLD_FIELDS)
    return Told(status, reason, message, since)


def describe(address: Address, explanation: Explanation) -> str:
    """Say in one sentence who announces the address, or what is against each node."""
    decision = explanation.decision
    if decision.holder is not None:
        return f"node {decision.holder} announces {address} on {', '.join(sorted(decision.interfaces))}"
    return f"no node announces {address} ({_parts(explanation) or 'there is no node'})"


def describe_fully(report: AddressReport) -> str:
    """Say the same, and what the other nodes' parts are."""
    explanation, address = report.explanation, report.address
    holder = explanation.decision.holder
    if holder is None:
        return describe(address, explanation)
    others = _parts(explanation, without=holder)
    also = f" although {report.conflict}" if report.conflict and report.has_begun else ""
    why = f": {report.conflict}" if report.conflict else ""
    said = (
        describe(address, explanation) + also if report.has_begun else f"node {holder} does not announce {address}{why}"
    )
    return f"{said} ({others})" if others else said


_TOLD_FIELDS = ("status", "reason", "message", "lastTransitionTime")


def _status_of(verdict: Verdict) -> tuple[str, str]:
    return verdict.status, verdict.reason.value


def _core(message: str) -> str:
    return _BRACKETS.sub("", message)


def _parts(explanation: Explanation, without: str | None = None) -> str:
    """Name the nodes by their reasons."""
    nodes_by_reason: dict[Reason, list[str]] = defaultdict(list)
    for node, reason in sorted(explanation.nodes.items()):
        if node != without:
            nodes_by_reason[reason].append(node)
    return "; ".join(f"{reason}: {_some(nodes)}" for reason, nodes in sorted(nodes_by_reason.items()))


def _some(nodes: list[str]) -> str:
    named = ", ".join(nodes[:MAX_NODES_NAMED])
    return named if len(nodes) <= MAX_NODES_NAMED else f"{named} and {len(nodes) - MAX_NODES_NAMED} more"
