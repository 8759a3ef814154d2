"""Hosts that are none of ours and use addresses that this node wants: what it heard of them, and what to tell of it.

A conflict lasts from the first word of such a host until it has been silent for a while, or until this node wants the
address no more: then nobody here listens for it.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, sort_key
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.api.status import CONFLICTS_MAX
from baremetal_lb.config.model import Config
from baremetal_lb.l2.segment import ForeignHost, ForeignHostGone
from baremetal_lb.reasons import Reason


@dataclass(frozen=True, slots=True)
class Conflict:
    """Who uses an address of ours, where it was heard, and since when (for people)."""

    mac: str
    interface: str
    since: str


@dataclass(frozen=True, slots=True)
class ConflictNews:
    """What the users of an address are to be told."""

    reason: Reason
    message: str


def conflict_policy_of(config: Config, address: Address) -> ConflictPolicy:
    """What the address's pool wants done; an address that no pool has any more is defended."""
    pool = config.pool_of(address)
    return pool.conflict_policy if pool else ConflictPolicy.DEFEND


class Conflicts:
    """What one node knows of foreign hosts."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._known: dict[Address, Conflict] = {}

    @property
    def known(self) -> Mapping[Address, Conflict]:
        """The conflicts that go on."""
        return self._known

    def began(self, event: ForeignHost, policy: ConflictPolicy, *, is_held: bool, at: str) -> ConflictNews:
        """Take in that a foreign host was heard; `is_held`: whether this node answers for the address nevertheless."""
        conflict = self._known[event.address] = Conflict(event.mac.hex(":"), event.interface, at)
        told = f"the host {conflict.mac} (on {conflict.interface} of node {self._node}) uses {event.address} as well"
        follows = _what_follows(self._node, policy, is_held=is_held)
        return ConflictNews(Reason.ADDRESS_CONFLICT, f"{told}; {follows}. Find that host and give it another address")

    def ended(self, event: ForeignHostGone) -> ConflictNews | None:
        """Take in that the foreign host is gone; None where nothing was known of it."""
        conflict = self._known.pop(event.address, None)
        if conflict is None:
            return None
        message = f"the host {conflict.mac} was not heard to use {event.address} any more, as far as {self._node} hears"
        return ConflictNews(Reason.CONFLICT_ENDED, message)

    def keep_only(self, wanted: Container[Address]) -> bool:
        """Forget what concerns other addresses than these; tell whether there was something."""
        unwanted = [address for address in self._known if address not in wanted]
        for address in unwanted:
            del self._known[address]
        return bool(unwanted)

    def statement(self) -> list[dict[str, Any]]:
        """What the SpeakerStatus says of it. There is a limit to that: then the oldest conflicts are told."""
        first = sorted(self._known.items(), key=lambda one: (one[1].since, sort_key(one[0])))[:CONFLICTS_MAX]
        return [
            {"address": str(address), "mac": one.mac, "interface": one.interface, "since": one.since}
            for address, one in first
        ]


def _what_follows(node: str, policy: ConflictPolicy, *, is_held: bool) -> str:
    if is_held:
        return f"{node} goes on announcing it (conflictPolicy {policy})"
    silence = f"{node} does not announce it while that host does (conflictPolicy {policy})"
    if policy is ConflictPolicy.QUARANTINE:
        return f"{silence}, and the Service gets another address if there is one"
    return silence
