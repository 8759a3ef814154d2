"""Who holds each address, as this node sees it: what every node says that it holds, and the assignment on top of it.

Only the node that is to take an address over acts on that. For all others the present holder stays the holder until its
successor has said that it began: where the holder can still do its work, a move leaves no gap.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.announce.model import Nomination
from baremetal_lb.api.status import HELD_MAX
from baremetal_lb.election.assignment import Assignment, Contest

Claims = Mapping[Address, "Claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A node's word that it holds an address: in which term, and since when (for people)."""

    term: int
    since: str


def parse_claims(raw: Mapping[str, Any]) -> Claims:
    """Reduce an API server's SpeakerStatus."""
    addresses = (raw.get("status") or {}).get("addresses") or ()
    return {parse_address(one["address"]): Claim(one["term"], one["since"]) for one in addresses}


class Elections:
    """All addresses that this node knows of. After changes, `deal` before you ask."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._assignment = Assignment()
        self._nominations: dict[Address, Nomination] = {}
        self._claims: defaultdict[str, dict[Address, Claim]] = defaultdict(dict)
        self._terms: defaultdict[Address, dict[str, int]] = defaultdict(dict)
        """The same the other way round: the claims on each address."""
        self._contested: set[Address] = set()
        """What we hold, and another node says that it holds, too, be it alive or not: it may be cut off only."""
        self._rivals_gave_way = False

    @property
    def own_claims(self) -> Claims:
        """What this node says that it holds."""
        return self._claims[self._node]

    def heard(self, node: str, claims: Claims) -> set[Address]:
        """Take in all that a node says it holds; tell for which addresses that is new."""
        before = self._claims[node]
        changed = {address for address in before.keys() | claims.keys() if before.get(address) != claims.get(address)}
        for address in changed:
            self._set_claim(node, address, claims.get(address))
        return changed

    def nominate(self, address: Address, nomination: Nomination | None, now: float) -> None:
        """Take in who may hold an address now, or that nobody asks for it any more."""
        if nomination is None:
            self._nominations.pop(address, None)
            self._assignment.remove(address)
            self._contested.discard(address)
            return
        self._nominations[address] = nomination
        contest = self._contest(address, nomination)
        self._assignment.put(contest, now)
        self._look_for_rivals(contest)

    def deal(self, now: float) -> frozenset[Address]:
        """Find a holder for every address; tell for which it is another than before."""
        return self._assignment.deal(now)

    def next_deadline(self) -> float | None:
        """Tell when there is something to `deal`, if nothing else happens before."""
        return self._assignment.next_deadline()

    def holder(self, address: Address) -> str | None:
        """Name the node that holds the address, or is to begin now; None where none may."""
        named = self._assignment.holder(address)
        if named is None or named == self._node:
            return named
        return self._contest(address, self._nominations[address]).present_holder or named

    def begin_or_end(self, address: Address, at: str) -> bool:
        """Say that this node holds the address if it does, and no more if not; tell whether that is new.

        There is a limit to what one node can say. What goes beyond it is held without a word, and so does not stay
        where it is when nodes come and go.
        """
        is_holder, claims = self.holder(address) == self._node, self.own_claims
        if is_holder == (address in claims) or (is_holder and len(claims) >= HELD_MAX):
            return False
        term = max(self._terms[address].values(), default=0) + 1
        self._set_claim(self._node, address, Claim(term, at) if is_holder else None)
        return True

    def rivals_gave_way(self) -> bool:
        """Tell, once, whether another node has ceased to say that it holds what this one does.

        It may have been the last to tell the segment so.
        """
        gave_way, self._rivals_gave_way = self._rivals_gave_way, False
        return gave_way

    def _set_claim(self, node: str, address: Address, claim: Claim | None) -> None:
        if claim is None:
            self._claims[node].pop(address, None)
            self._terms[address].pop(node, None)
        else:
            self._claims[node][address] = claim
            self._terms[address][node] = claim.term
        if not self._terms[address]:
            del self._terms[address]

    def _contest(self, address: Address, nomination: Nomination) -> Contest:
        terms = self._terms.get(address, {})
        return Contest(address, nomination.tiers, dict(terms), nomination.preempt_after)

    def _look_for_rivals(self, contest: Contest) -> None:
        was_contested = contest.address in self._contested
        self._contested.discard(contest.address)
        if self._node not in contest.claims:
            return
        if len(contest.claims) > 1:
            self._contested.add(contest.address)
        elif was_contested:
            self._rivals_gave_way = True
