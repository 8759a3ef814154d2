"""Who holds each address, as this node knows it: what every node says that it holds, and the assignment on top of it.

Three sources are put together. The *claims* that nodes publish in their SpeakerStatus; our own follow what we do on the
segment, and nothing else. What we *heard* on the segment: a node that answered there counts as having begun after
everybody whose word is published, until its own word arrives. And the assignment, which names a node for what nobody
holds. Only the node that is to take an address over acts on that; for all others the present holder stays the holder
until its successor has said that it began.
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

HEARD_SECONDS = 2.0
"""For so long it counts that a node answered on the segment: longer than its own word about that may take."""


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
        self._heard: dict[Address, tuple[str, float]] = {}
        """Who answered on the segment, and until when that counts; what was heard last is at the end."""
        self._published: Claims = {}
        """What the API server shows of our own claims."""
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
        said = {address for address, (one, _) in self._heard.items() if one == node and address in claims}
        for address in said:
            del self._heard[address]
        return changed | said

    def published(self, claims: Claims) -> None:
        """Take in what the API server shows of our own claims: the others know it, too."""
        self._published = claims

    def is_published(self, address: Address) -> bool:
        """Whether others can know that we hold the address."""
        claim = self.own_claims.get(address)
        return claim is not None and self._published.get(address) == claim

    def answered(self, address: Address, node: str, now: float) -> bool:
        """Take in that another node answers for the address on the segment; tell whether that is news."""
        before, _ = self._heard.pop(address, (None, now))
        self._heard[address] = node, now + HEARD_SECONDS
        self.ended(address)
        return before != node

    def tick(self, now: float) -> set[Address]:
        """Forget what was heard too long ago; tell of which addresses."""
        over = set()
        for address, (_, until) in self._heard.items():
            if until > now:
                break
            over.add(address)
        for address in over:
            del self._heard[address]
        return over

    def nominate(self, address: Address, nomination: Nomination | None, now: float) -> None:
        """Take in who may hold an address now, or that nobody asks for it any more."""
        if nomination is None:
            self._nominations.pop(address, None)
            self._assignment.remove(address)
            self._contested.discard(address)
            self._heard.pop(address, None)
            return
        self._nominations[address] = nomination
        contest = self.contest(address)
        self._assignment.put(contest, now)
        self._look_for_rivals(contest)

    def deal(self, now: float) -> frozenset[Address]:
        """Find a holder for every address; tell for which it is another than before."""
        return self._assignment.deal(now)

    def next_deadline(self) -> float | None:
        """Tell when there is something to `deal` or to `tick`, if nothing else happens before."""
        _, heard_until = next(iter(self._heard.values()), (None, None))
        return min((at for at in (self._assignment.next_deadline(), heard_until) if at is not None), default=None)

    def named(self, address: Address) -> str | None:
        """Name the node that is to hold the address; None where none may."""
        return self._assignment.holder(address)

    def held_by(self, node: str) -> frozenset[Address]:
        """Give the addresses that the node is to hold."""
        return self._assignment.held_by(node)

    def holder(self, address: Address) -> str | None:
        """Name the node that holds the address, or is to begin now; None where none may."""
        named = self.named(address)
        if named is None or named == self._node:
            return named
        return self.contest(address).present_holder or named

    def contest(self, address: Address) -> Contest:
        """Give who may hold the address and who says that it does, by now. It must have been nominated."""
        nomination, terms = self._nominations[address], dict(self._terms.get(address, {}))
        if address in self._heard:
            node, _ = self._heard[address]
            terms[node] = max(terms.values(), default=0) + 1
        return Contest(address, nomination.tiers, terms, nomination.preempt_after)

    def is_nominated(self, address: Address) -> bool:
        """Whether anybody asks for the address."""
        return address in self._nominations

    def successors(self, address: Address) -> tuple[str, ...]:
        """Name those that may take the address over from the one that is to hold it, in their order."""
        return self._assignment.successors(address)

    def watchers(self, holder: str) -> tuple[str, ...]:
        """Name those that watch a holder."""
        return self._assignment.watchers(holder)

    def watched_by(self, node: str) -> frozenset[str]:
        """Name the holders that the node watches."""
        return self._assignment.watched_by(node)

    def began(self, address: Address, at: str) -> None:
        """Say that this node holds the address, in a newer term than any other node says.

        There is a limit to what one node can say. What goes beyond it is held without a word, and so does not stay
        where it is when nodes come and go.
        """
        self._heard.pop(address, None)
        claims, terms = self.own_claims, self._terms.get(address, {})
        rival = max((term for node, term in terms.items() if node != self._node), default=0)
        if address in claims and claims[address].term > rival:
            return
        if address in claims or len(claims) < HELD_MAX:
            self._set_claim(self._node, address, Claim(max(terms.values(), default=0) + 1, at))

    def ended(self, address: Address) -> bool:
        """Say no more that this node holds the address; tell whether it did."""
        if address not in self.own_claims:
            return False
        self._set_claim(self._node, address, None)
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

    def _look_for_rivals(self, contest: Contest) -> None:
        was_contested = contest.address in self._contested
        self._contested.discard(contest.address)
        if self._node not in contest.claims:
            return
        if len(contest.claims) > 1:
            self._contested.add(contest.address)
        elif was_contested:
            self._rivals_gave_way = True
