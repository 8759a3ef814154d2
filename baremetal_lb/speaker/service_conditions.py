"""What this node has to say of Services in their condition `Announced`: of those whose first address it reports on.

So one node writes the condition of a Service, as long as all see the same; who it is moves with the address.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from baremetal_lb.addresses import Address
from baremetal_lb.announce.condition import AddressReport, Told, Verdict, judge
from baremetal_lb.announce.decision import explain_l2
from baremetal_lb.announce.model import Decision
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.speaker.conflicts import Conflicts
from baremetal_lb.speaker.state import ClusterState
from baremetal_lb.speaker.succession import Succession


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a Service is to be told, and what it is told already."""

    uid: str
    told: Told | None
    verdict: Verdict


class ServiceConditions:
    """Reads what the reconciler knows; `due` is set when some Services are to be looked at."""

    def __init__(
        self,
        node: str,
        state: ClusterState,
        decisions: Mapping[Address, Decision],
        succession: Succession,
        conflicts: Conflicts,
    ) -> None:
        self.due = asyncio.Event()
        self._node = node
        self._state = state
        self._decisions = decisions
        self._succession = succession
        self._conflicts = conflicts

    def look(self) -> None:
        """Have the Services looked at that something was decided on."""
        if self._state.retold:
            self.due.set()

    def take(self) -> set[ServiceKey]:
        """Give the Services to be looked at."""
        self.due.clear()
        keys, self._state.retold = self._state.retold, set()
        return keys

    def wanted(self, key: ServiceKey) -> Wanted | None:
        """Say what is to be told; None where that is not for us, or no controller vouches for the addresses."""
        service = self._state.services.get(key)
        if service is None or not service.kept:
            return None
        decisions = [self._decisions.get(address) for address in service.addresses]
        if decisions[0] is None or decisions[0].reporter != self._node:
            return None
        reports = [
            self._report(address, decision)
            for address, decision in zip(service.addresses, decisions, strict=True)
            if decision is not None
        ]
        return Wanted(service.uid, service.told, judge(reports)) if len(reports) == len(decisions) else None

    def _report(self, address: Address, decision: Decision) -> AddressReport:
        demand = self._state.demand(address)
        assert demand is not None, "it was decided on"
        conflict = self._conflicts.known.get(address)
        return AddressReport(
            address,
            explain_l2(demand, self._state.electorate, decision),
            has_begun=self._has_begun(address, decision.holder),
            conflict=f"the host {conflict.mac} uses it" if conflict else "",
        )

    def _has_begun(self, address: Address, holder: str | None) -> bool:
        """Of ourselves we know it; the others say so."""
        if holder == self._node:
            return address in self._succession.held
        elections = self._succession.elections
        return holder is not None and elections.is_nominated(address) and holder in elections.contest(address).claims
