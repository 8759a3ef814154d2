"""Random clusters: the rules on one node, against a plain restatement of them, and several nodes that know old news."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from ipaddress import ip_address
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from baremetal_lb.addresses import Address
from baremetal_lb.election.assignment import Assignment, Contest
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import WATCHERS, Tiers

NODES = ("a", "b", "c", "d", "e")
ADDRESSES: tuple[Address, ...] = tuple(
    ip_address(text) for number in range(1, 9) for text in (f"192.0.2.{number}", f"2001:db8:0:2::{number:x}")
)
PREEMPT_SECONDS = 3.0

Scores = Mapping[str, int]
"""The nodes that may hold an address, and how much each is preferred."""
everybody = st.just(dict.fromkeys(NODES, 0))
some = st.dictionaries(st.sampled_from(NODES), st.integers(0, 1))
scores = st.one_of(everybody, some)
claims = st.dictionaries(st.sampled_from((*NODES, "gone")), st.integers(1, 3), max_size=3)
delays = st.sampled_from((None, 0.0, PREEMPT_SECONDS))


def tiers_of(preferred: Scores) -> Tiers:
    by_score: dict[int, list[str]] = {}
    for node, score in preferred.items():
        by_score.setdefault(score, []).append(node)
    return tuple(Candidates(by_score[score]) for score in sorted(by_score, reverse=True))


def contests(delays: st.SearchStrategy[float | None] = delays) -> st.SearchStrategy[Contest]:
    return st.builds(
        Contest,
        address=st.sampled_from(ADDRESSES),
        tiers=scores.map(tiers_of),
        claims=claims,
        preempt_after=delays,
    )


clusters = st.lists(contests(), max_size=16, unique_by=lambda one: one.address)
sticky_clusters = st.lists(contests(st.none()), max_size=16, unique_by=lambda one: one.address)


def holder_by_the_rules(contest: Contest) -> str | None:
    """Restate who is the present holder."""
    ranked = [node for tier in contest.tiers for node in tier.rank(contest.address)]
    claiming = [node for node in ranked if node in contest.claims]
    return max(claiming, key=lambda node: contest.claims[node]) if claiming else None


def is_improvable(contest: Contest) -> bool:
    holder = holder_by_the_rules(contest)
    return holder is not None and holder not in contest.tiers[0] and contest.preempt_after is not None


def deal_by_the_rules(
    contests: Iterable[Contest], better_since: Mapping[Address, float], now: float
) -> dict[Address, str]:
    """Restate the whole deal, from nothing, with exact fractions and complete orders."""
    known = {one.address: one for one in contests if one.tiers}
    holders: dict[Address, str] = {}
    share: dict[str, Fraction] = defaultdict(Fraction)
    for address, contest in known.items():
        holder = holder_by_the_rules(contest)
        best = contest.tiers[0]
        is_due = is_improvable(contest) and better_since[address] + (contest.preempt_after or 0.0) <= now
        if holder is not None and not is_due:
            holders[address] = holder
        for node in best.nodes:
            share[node] += Fraction(1, len(best.nodes))
    for address in sorted(known.keys() - holders.keys(), key=lambda one: (one.version, int(one))):
        count = Counter(holders.values())
        beyond = {node: max(count[node] - ceil(share[node] * Fraction(5, 4)), -1) for node in share}
        holders[address] = min(known[address].tiers[0].rank(address), key=lambda node: beyond[node])
    return holders


def named_by(assignment: Assignment) -> dict[Address, str]:
    return {address: holder for address in ADDRESSES if (holder := assignment.holder(address)) is not None}


def deal(assignment: Assignment, contests: Iterable[Contest], now: float = 0.0) -> frozenset[Address]:
    for contest in contests:
        assignment.put(contest, now)
    changed = assignment.deal(now)
    assignment.check_invariants()
    return changed


def without(contest: Contest, node: str) -> Contest:
    """The contest when the node is gone."""
    tiers = tuple(tier for one in contest.tiers if (tier := Candidates(set(one.nodes) - {node})))
    return replace(contest, tiers=tiers)


def taken(contest: Contest, assignment: Assignment) -> Contest:
    """The contest when who is named has begun, and everybody knows."""
    holder = assignment.holder(contest.address)
    return replace(contest, claims={holder: contest.next_term} if holder else {})


@settings(max_examples=300)
@given(st.lists(st.tuples(contests(), st.sampled_from(("put", "put, dealt", "removed"))), max_size=30))
def test_what_is_dealt_follows_from_what_is_known(history: list[tuple[Contest, str]]) -> None:
    """Whatever came before: only the times since which there are better nodes have a past."""
    assignment = Assignment()
    known: dict[Address, Contest] = {}
    better_since: dict[Address, float] = {}
    dealt: dict[Address, str] = {}
    for now, (contest, change) in enumerate(history):
        known.pop(contest.address, None)
        if change == "removed":
            assignment.remove(contest.address)
        else:
            assignment.put(contest, now)
            known[contest.address] = contest
        if change == "removed" or not is_improvable(contest):
            better_since.pop(contest.address, None)
        else:
            better_since.setdefault(contest.address, now)
        assignment.check_invariants()
        if change == "put, dealt":
            changed, before = assignment.deal(now), dealt
            dealt = named_by(assignment)
            assert dealt == deal_by_the_rules(known.values(), better_since, now)
            assert changed == {one for one in ADDRESSES if before.get(one) != dealt.get(one)}
            assignment.check_invariants()


@given(clusters, st.data())
def test_the_order_of_the_input_does_not_matter(known: list[Contest], data: st.DataObject) -> None:
    one, other = Assignment(), Assignment()
    deal(one, known)
    deal(other, data.draw(st.permutations(known)))
    assert named_by(one) == named_by(other)
    assert [one.successors(address) for address in ADDRESSES] == [other.successors(address) for address in ADDRESSES]


@given(sticky_clusters, st.sampled_from(NODES))
def test_a_loss_moves_only_what_was_lost_and_a_return_moves_nothing(known: list[Contest], lost: str) -> None:
    assignment = Assignment()
    deal(assignment, known)
    settled = [taken(one, assignment) for one in known]
    assert deal(assignment, settled) == frozenset()
    was_held = assignment.held_by(lost)
    assert deal(assignment, [without(one, lost) for one in settled]) == was_held
    moved = [replace(taken(one, assignment), tiers=one.tiers) for one in settled]
    stranded = {one.address for one in moved if not one.claims}  # by the loss of the only one that may hold it
    assert deal(assignment, moved) == stranded & {one.address for one in moved if one.tiers}


@given(clusters)
def test_nobody_is_dealt_more_than_its_bound_while_another_has_room(known: list[Contest]) -> None:
    """What goes beyond a bound was dealt where all of the best nodes were at theirs."""
    assignment = Assignment()
    deal(assignment, known)
    best = {one.address: one.tiers[0].nodes for one in known if one.tiers}
    share = {node: sum((Fraction(1, len(one)) for one in best.values() if node in one), Fraction()) for node in NODES}
    beyond = {node: len(assignment.held_by(node)) - ceil(share[node] * Fraction(5, 4)) for node in NODES}
    dealt = {one.address for one in known if one.tiers and assignment.holder(one.address) != holder_by_the_rules(one)}
    for node in NODES:
        given_to_it = assignment.held_by(node) & dealt
        nowhere_else = [one for one in given_to_it if all(beyond[other] >= 0 for other in best[one])]
        assert len(nowhere_else) >= min(beyond[node], len(given_to_it))


@given(clusters)
def test_successors_watch_the_holder_and_may_take_over(known: list[Contest]) -> None:
    assignment = Assignment()
    deal(assignment, known)
    for contest in known:
        holder = assignment.holder(contest.address)
        candidates = {node for tier in contest.tiers for node in tier.nodes}
        successors = assignment.successors(contest.address)
        assert set(successors) == (candidates - {holder} if holder else set())
        ranks = [next(rank for rank, tier in enumerate(contest.tiers) if node in tier) for node in successors]
        assert ranks == sorted(ranks)
        assert all(holder in assignment.watched_by(node) for node in successors)
        assert len(assignment.watchers(holder or "")) <= WATCHERS


SOME_ADDRESSES = ADDRESSES[:6]
ROUNDS_TO_SETTLE = 6


@dataclass
class Speaker:
    """A node that acts on what it knows: begins where it is named, and stops where the named one has begun."""

    name: str
    scores: dict[Address, Scores]
    assignment: Assignment = field(default_factory=Assignment)
    holding: dict[Address, int] = field(default_factory=dict)
    heard: dict[str, dict[Address, int]] = field(default_factory=dict)

    def act(self, preempt_after: float | None, now: float, silent: str | None) -> set[Address]:
        """Do a round; give the addresses that it begins to hold, also in place of a node that fell silent."""
        contests = {address: self.contest(address, preempt_after) for address in SOME_ADDRESSES}
        deal(self.assignment, contests.values(), now)
        mine = self.assignment.held_by(self.name)
        if silent is not None:
            watched = self.assignment.held_by(silent)
            mine |= {one for one in watched if self.assignment.successors(one)[:1] == (self.name,)}
        begun = mine - self.holding.keys()
        for address, contest in contests.items():
            named = self.assignment.holder(address)
            if address in begun:
                self.holding[address] = contest.next_term
            elif address not in mine and (named in contest.claims or self.name not in self.scores[address]):
                self.holding.pop(address, None)
        return set(begun)

    def contest(self, address: Address, preempt_after: float | None) -> Contest:
        heard = {**self.heard, self.name: self.holding}
        claims = {node: holding[address] for node, holding in heard.items() if address in holding}
        return Contest(address, tiers_of(self.scores[address]), claims, preempt_after)


@dataclass
class Disturbance:
    """In one round an address gets other candidates, and not all learn it, or what the others hold."""

    address: Address
    scores: Scores
    learning: frozenset[str]
    hearing: frozenset[str]
    restarting: str | None
    frozen: str | None


class World:
    def __init__(self, preempt_after: float | None) -> None:
        self.preempt_after = preempt_after
        self.round = 0
        self.scores: dict[Address, Scores] = {address: dict.fromkeys(NODES, 0) for address in SOME_ADDRESSES}
        self.speakers = {name: Speaker(name, dict(self.scores)) for name in NODES}

    def disturb(self, disturbance: Disturbance) -> None:
        self.scores[disturbance.address] = disturbance.scores
        for name in disturbance.learning:
            self.speakers[name].scores[disturbance.address] = disturbance.scores
        if disturbance.restarting is not None:
            self.speakers[disturbance.restarting] = Speaker(disturbance.restarting, dict(self.scores))
        self.play(disturbance.hearing, disturbance.frozen)

    def tell_everything(self) -> None:
        for speaker in self.speakers.values():
            speaker.scores = dict(self.scores)

    def play(self, hearing: Iterable[str] = NODES, frozen: str | None = None) -> set[Address]:
        """Let everybody act on what was so at the end of the last round; give what somebody began to hold."""
        published = {name: dict(speaker.holding) for name, speaker in self.speakers.items()}
        awake = [one for one in self.speakers.values() if one.name != frozen]
        for speaker in awake:
            if speaker.name in hearing:
                speaker.heard = published
        self.round += 1
        return set().union(*(one.act(self.preempt_after, self.round, frozen) for one in awake))

    def holding(self) -> dict[Address, list[str]]:
        return {
            address: [one.name for one in self.speakers.values() if address in one.holding] for address in self.scores
        }


disturbances = st.builds(
    Disturbance,
    address=st.sampled_from(SOME_ADDRESSES),
    scores=scores,
    learning=st.frozensets(st.sampled_from(NODES)),
    hearing=st.frozensets(st.sampled_from(NODES)),
    restarting=st.sampled_from((*NODES, *[None] * 10)),
    frozen=st.sampled_from((*NODES, *[None] * 5)),
)


@settings(max_examples=200)
@given(st.lists(disturbances, max_size=20), delays)
def test_speakers_with_old_news_settle_once_they_know_the_same(
    history: list[Disturbance], preempt_after: float | None
) -> None:
    """What others hold is known a round late. An address moves once for want of a holder, once for a better one."""
    world = World(preempt_after)
    for disturbance in history:
        world.disturb(disturbance)
    world.tell_everything()
    begun = [world.play() for _ in range(ROUNDS_TO_SETTLE + int(preempt_after or 0))]
    assert max(Counter(address for one in begun for address in one).values(), default=0) <= 2
    settled = world.holding()
    for address, nodes in settled.items():
        tiers = tiers_of(world.scores[address])
        assert len(nodes) == (1 if tiers else 0)
        assert preempt_after is None or not tiers or nodes[0] in tiers[0]
        assert {one.assignment.holder(address) for one in world.speakers.values()} == {nodes[0] if nodes else None}
    for _ in range(10):
        assert world.play() == set()
        assert world.holding() == settled


@given(st.lists(disturbances, max_size=5), st.sampled_from(NODES), st.integers(1, 5))
def test_what_was_taken_over_from_a_frozen_node_stays_when_it_goes_on(
    history: list[Disturbance], frozen: str, rounds: int
) -> None:
    """The frozen node still says that it holds its addresses, and may come first by rank; the newer term counts."""
    world = World(preempt_after=None)
    for disturbance in history:
        world.disturb(disturbance)
    world.tell_everything()
    for _ in range(ROUNDS_TO_SETTLE):
        world.play()
    settled = world.holding()
    for _ in range(rounds):
        world.play(frozen=frozen)
    successors = {address: [one for one in nodes if one != frozen] for address, nodes in world.holding().items()}
    for _ in range(3):
        world.play()
    for address, before in settled.items():
        assert world.holding()[address] == (successors[address] or before)
