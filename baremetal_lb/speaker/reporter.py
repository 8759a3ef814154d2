"""When to tell a user about an address: a machine that sees every decision and says which are news.

A new holder is news at once. That nobody announces an address is news once it has lasted for `settle_seconds`, since a
new Service has no endpoints for a moment and a rollout may pass through such states. Every speaker follows all
decisions; only the one that a decision names as its reporter tells it.
"""

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Decision
from baremetal_lb.reasons import Reason

Verdict = tuple[str | None, Reason]


class Reporter:
    """The machine of one node."""

    def __init__(self, node: str, *, settle_seconds: float) -> None:
        self._node = node
        self._settle_seconds = settle_seconds
        self._settled: dict[Address, Verdict] = {}
        self._unsettled: dict[Address, tuple[float, Decision]] = {}
        """What may become news, and when."""

    def decided(self, address: Address, decision: Decision, now: float) -> bool:
        """Take in a decision; tell whether to report it now."""
        verdict = _verdict(decision)
        due_at, pending = self._unsettled.pop(address, (now + self._settle_seconds, decision))
        if self._settled.get(address) == verdict:
            return False
        if decision.holder is None:
            is_the_same = _verdict(pending) == verdict
            self._unsettled[address] = (due_at if is_the_same else now + self._settle_seconds, decision)
            return False
        self._settled[address] = verdict
        return decision.reporter == self._node

    def forgotten(self, address: Address) -> None:
        """Take in that no Service has the address any more."""
        self._settled.pop(address, None)
        self._unsettled.pop(address, None)

    def tick(self, now: float) -> list[Address]:
        """Give the addresses whose decisions are news by now, and ours to report."""
        due = [(address, decision) for address, (at, decision) in self._unsettled.items() if at <= now]
        for address, decision in due:
            del self._unsettled[address]
            self._settled[address] = _verdict(decision)
        return [address for address, decision in due if decision.reporter == self._node]

    def next_deadline(self) -> float | None:
        """Tell when `tick` has something to do."""
        return min((at for at, _ in self._unsettled.values()), default=None)


def _verdict(decision: Decision) -> Verdict:
    return decision.holder, decision.reason
