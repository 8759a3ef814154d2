"""Who is to hold each address: whoever holds it, else the first of the best nodes that has not its share already.

Theory of operation. Every node says which addresses it holds, each in a *term*: whoever begins to hold an address
counts on from the highest term it knows, and so does one that was contested and stays. Of the nodes that say that they
hold an address, and may, the one with the highest term is the present holder; among equals the first by preference and
rendezvous order. It *keeps* the address, however many it has, and whoever comes (back).

An address is *open* where nobody holds it who may, or where a better node than its holder has been there for
`preempt_after` seconds. The open ones are dealt in the order of the addresses: each goes to that of its best nodes that
is first in rendezvous order among those below their bound. They are dealt anew each time, so the outcome depends on
what is known now and never on the way there, and nodes that know the same agree. A node that stuck to what it dealt
before could wait for ever for another one that had dealt otherwise.

Nodes that do not know the same yet may begin to hold the same address. The terms say which of them keeps it. Once it
is known that somebody holds it nobody else begins to, so nothing moves to and fro.

A node's *share* is a sum over the addresses for which it is one of the best: one by the number of the best. Its *bound*
is 1.25 times that, rounded up. So addresses with different candidates have one bound in common. Where all the best
nodes of an address are at their bounds it goes to one of those the least beyond. A bound makes nothing move.

What is kept costs no hashing: an order is computed for what is open, and among the few that watch a holder.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, sort_key
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import Tiers, choose_watchers

_WHOLE = 1 << 40
"""One address, in the integers that shares are counted in: sums of them are the same in any order."""


@dataclass(frozen=True, slots=True)
class Contest:
    """One address: who may hold it, and who says that it does.

    `tiers` are the nodes that may, the best first, no tier empty, no node in two; addresses with the same candidates
    should have the very same objects. `claims` are the terms of those that say that they hold it. `preempt_after` is
    for how long a better node must have been there to replace the holder; None for never.
    """

    address: Address
    tiers: Tiers = ()
    claims: Mapping[str, int] = field(default_factory=dict)
    preempt_after: float | None = None

    @property
    def next_term(self) -> int:
        """The term of a node that begins to hold the address now."""
        return max(self.claims.values(), default=0) + 1

    @property
    def present_holder(self) -> str | None:
        """The node whose claim counts, if any."""
        terms = {node: term for node, term in self.claims.items() if any(node in tier for tier in self.tiers)}
        newest = max(terms.values(), default=0)
        return self.first_of([node for node, term in terms.items() if term == newest])

    def prefers(self, node: str, other: str) -> bool:
        """Whether a node is in a better tier than another, which may be in none."""
        better = next((tier for tier in self.tiers if node in tier or other in tier), None)
        return better is not None and other not in better

    def first_of(self, nodes: Collection[str]) -> str | None:
        """Choose who goes before the others; None where none of these may hold the address."""
        for tier in self.tiers:
            able = [node for node in nodes if node in tier]
            if able:
                return able[0] if len(able) == 1 else Candidates(able).first(self.address)
        return None


class Assignment:
    """All addresses that a node knows of. After changes, `deal` before you ask."""

    def __init__(self) -> None:
        self._contests: dict[Address, Contest] = {}
        self._holders: dict[Address, str] = {}
        self._held: defaultdict[str, set[Address]] = defaultdict(set)
        self._open: set[Address] = set()
        self._better_since: dict[Address, float] = {}
        """Since when there is a better node than the present holder; only where it may take over some day."""
        self._best_of: Counter[Candidates] = Counter()
        """How many addresses have these nodes as their best."""
        self._before: dict[Address, str | None] = {}
        """Who held, at the last deal, what was touched since."""
        self._watchers: dict[str, tuple[str, ...]] = {}

    def put(self, contest: Contest, now: float) -> None:
        """Take in an address, or what is new about it."""
        before = self._contests.get(contest.address)
        if contest == before:
            return
        self._contests[contest.address] = contest
        self._count(before, contest)
        self._sort_in(contest, now)

    def remove(self, address: Address) -> None:
        """Forget an address."""
        before = self._contests.pop(address, None)
        if before is None:
            return
        self._count(before, None)
        self._name(address, None)
        self._open.discard(address)
        self._better_since.pop(address, None)

    def deal(self, now: float) -> frozenset[Address]:
        """Find a holder for what is open; tell for which addresses it is another than after the last deal."""
        self._open.update(address for address in self._better_since if self._due_at(address) <= now)
        bounds = self._bounds() if self._open else {}
        loads = Counter({node: len(held) for node, held in self._held.items()})
        loads.subtract(self._holders[address] for address in self._open if address in self._holders)
        for address in sorted(self._open, key=sort_key):
            holder = _choose(self._contests[address], loads, bounds)
            loads[holder] += 1
            if self._holders.get(address) != holder:
                self._name(address, holder)
        before, self._before = self._before, {}
        return frozenset(address for address, holder in before.items() if holder != self._holders.get(address))

    def next_deadline(self) -> float | None:
        """Tell when `deal` may have something to do, if nothing else happens before."""
        return min(map(self._due_at, self._better_since.keys() - self._open), default=None)

    def holder(self, address: Address) -> str | None:
        """Name the node that is to hold the address; None where none may."""
        return self._holders.get(address)

    def held_by(self, node: str) -> frozenset[Address]:
        """Give the addresses that the node is to hold."""
        return frozenset(self._held.get(node, ()))

    def successors(self, address: Address) -> tuple[str, ...]:
        """Name those that watch the holder and may take the address over, in the order in which they should."""
        holder = self.holder(address)
        if holder is None:
            return ()
        watchers = self.watchers(holder)
        ranked = (Candidates(set(tier.nodes) & set(watchers)).rank(address) for tier in self._contests[address].tiers)
        return tuple(node for tier in ranked for node in tier)

    def watchers(self, holder: str) -> tuple[str, ...]:
        """Name those that watch a holder; nobody watches a node without addresses."""
        known = self._watchers.get(holder)
        if known is None:
            candidates = {self._contests[address].tiers for address in self._held.get(holder, ())}
            known = self._watchers[holder] = choose_watchers(holder, candidates)
        return known

    def watched_by(self, node: str) -> frozenset[str]:
        """Name the holders that the node watches."""
        return frozenset(holder for holder in self._held if node in self.watchers(holder))

    def check_invariants(self) -> None:
        """Hold after every call."""
        assert {address for held in self._held.values() for address in held} == set(self._holders)
        assert all(address in self._held[holder] for address, holder in self._holders.items())
        assert all(self._held.values())
        assert self._holders.keys() | self._open | self._better_since.keys() <= self._contests.keys()
        assert self._best_of == Counter(one.tiers[0] for one in self._contests.values() if one.tiers)

    def _count(self, before: Contest | None, after: Contest | None) -> None:
        if before is not None and before.tiers:
            self._best_of[before.tiers[0]] -= 1
            if not self._best_of[before.tiers[0]]:
                del self._best_of[before.tiers[0]]
        if after is not None and after.tiers:
            self._best_of[after.tiers[0]] += 1

    def _sort_in(self, contest: Contest, now: float) -> None:
        address, holder = contest.address, contest.present_holder
        self._name(address, holder)
        self._open.discard(address)
        if holder is None and contest.tiers:
            self._open.add(address)
        if holder is None or holder in contest.tiers[0] or contest.preempt_after is None:
            self._better_since.pop(address, None)
        else:
            self._better_since.setdefault(address, now)

    def _name(self, address: Address, holder: str | None) -> None:
        before = self._holders.pop(address, None)
        self._before.setdefault(address, before)
        if before is not None:
            self._watchers.pop(before, None)
            self._held[before].discard(address)
            if not self._held[before]:
                del self._held[before]
        if holder is not None:
            self._watchers.pop(holder, None)
            self._holders[address] = holder
            self._held[holder].add(address)

    def _due_at(self, address: Address) -> float:
        preempt_after = self._contests[address].preempt_after
        assert preempt_after is not None
        return self._better_since[address] + preempt_after

    def _bounds(self) -> dict[str, int]:
        shares: Counter[str] = Counter()
        for best, addresses in self._best_of.items():
            part = addresses * _WHOLE // len(best.nodes)
            for node in best.nodes:
                shares[node] += part
        return {node: -(-5 * share // (4 * _WHOLE)) for node, share in shares.items()}


def _choose(contest: Contest, loads: Mapping[str, int], bounds: Mapping[str, int]) -> str:
    """Choose among the best nodes of an open address, by how many addresses each has already."""

    def beyond(node: str) -> int:
        return max(loads.get(node, 0) - bounds[node], -1)

    best = contest.tiers[0]
    favourite = best.first(contest.address)
    if beyond(favourite) < 0:
        return favourite
    least = min(map(beyond, best.nodes))
    return Candidates(node for node in best.nodes if beyond(node) == least).first(contest.address)
