"""What this node wants with each address: the election, the beats and the segment put together, without any I/O.

Theory of operation. The elections name the node that is to hold an address; if that is we, we wish to hold it. If
the beats of the one that is named fail, its successors wish to hold the address one after the other, each a moment
after the one before it; the segment is asked then, and has the last word. What we hold and may no longer, we hand over:
we answer until the new holder was heard. And what we say that we hold follows what we do.

Whoever drives it (the reconciler, or a simulation) does this with one `now`, in any order, as things happen:

    elections.heard(node, claims), .nominate(address, nomination, now), then .deal(now)    what the API server shows
    peer_changed(node, state, now)                                                        what the beats show
    segment_changed(event, at, now)                                                       what the segment shows
    tick(now)                                                                             at `next_deadline()`

Each tells which addresses it touched. Those of the API server are to be nominated, all of them to be decided on with
`decide`; after that `wishes` is what the takeover machine is to want, `elections.own_claims` what is to be published,
`peers(alive)` with whom to beat, and `look_again` once what a partition calls for. The takeover machine's `outranks`
is here, too.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum

from baremetal_lb.addresses import Address
from baremetal_lb.election.assignment import Contest
from baremetal_lb.election.liveness import SpeakerState
from baremetal_lb.election.peer import PeerState
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import choose_watchers
from baremetal_lb.l2.segment import Began, Ended, HeldBy, SegmentEvent, Stance, Wish
from baremetal_lb.speaker.elections import Elections
from baremetal_lb.speaker.suspects import Suspects

SUCCESSOR_SECONDS = 0.15
"""So much later than the successor before it each one begins: by then that one has asked and announced."""

LEAVING_SECONDS = 0.5
"""How long the successors of a node that stops leave it to the elections, which need the API server for that."""

HAND_OVER_SECONDS = 3.0
"""How long we answer for what is no longer ours if the new holder is not heard."""


class Cause(StrEnum):
    """Why this node began to hold an address; the label of a metric."""

    ELECTED = "Elected"
    MOVED = "Moved"
    LEAVING = "Leaving"
    UNHEALTHY = "Unhealthy"
    SILENT = "Silent"


class Again(StrEnum):
    """What to do about all that we hold when a partition is over."""

    ASK = "Ask"
    ANNOUNCE = "Announce"


class Succession:
    """The machine of one node. `lease_of` tells what a node's Lease says."""

    def __init__(self, node: str, elections: Elections, lease_of: Callable[[str], SpeakerState]) -> None:
        self.elections = elections
        self.wishes: dict[Address, Wish] = {}
        """What the takeover machine is to want. Read only."""
        self.held: set[Address] = set()
        """What this node answers for. Read only."""
        self.suspects = Suspects(node)
        self._node = node
        self._lease_of = lease_of
        self._causes: dict[Address, tuple[Cause, str | None]] = {}
        """Why we wish to hold what we wish to hold, and whom we would replace."""
        self._taken_from: dict[Address, str] = {}
        """Whose addresses we hold because its beats failed."""
        self._again: Again | None = None
        self._is_leaving = False

    def peer_changed(self, node: str, state: PeerState, now: float) -> set[Address]:
        """Take in what the beats say of a node."""
        if self.suspects.peer_changed(node, state, now):
            self._come_back(node, now)
        return self._concerned_by({node})

    def peers(self, alive: Candidates) -> frozenset[str]:
        """Name the nodes to beat with, of those with a living speaker: whom we watch, who watches us, and neighbours.

        The neighbours are there to tell who of us is cut off. One whose Lease has expired stays: it may come back.
        """
        return frozenset(
            {
                *choose_watchers(self._node, [(alive,)]),
                *self.elections.watchers(self._node),
                *self.elections.watched_by(self._node),
                *(node for node in self.suspects.states() if self._lease_of(node) is SpeakerState.SILENT),
            }
            - {self._node}
        )

    def beat_with(self, peers: Collection[str]) -> set[Address]:
        """Take in that these are our peers now, and no others."""
        gone = self.suspects.keep(peers)
        return self._concerned_by(gone) if gone else set()

    def segment_changed(self, event: SegmentEvent, at: str, now: float) -> set[Address]:
        """Take in what the takeover machine tells; `at` is the time for people."""
        match event:
            case Began(address):
                self.held.add(address)
                self.elections.began(address, at)
                self._note_taken(address)
            case Ended(address):
                self.held.discard(address)
                self._taken_from.pop(address, None)
                self.elections.ended(address)
            case HeldBy(address, node):
                self.elections.answered(address, node, now)
            case _:
                return set()
        return {event.address}

    def tick(self, now: float) -> set[Address]:
        """Let time pass."""
        return self.elections.tick(now)

    def next_deadline(self) -> float | None:
        """Tell when there is something to `tick` or to deal, if nothing else happens before."""
        return self.elections.next_deadline()

    def decide(self, address: Address, where: Wish | None, now: float) -> bool:
        """Decide what we wish; tell whether we ceased to say that we hold the address, which an earlier run may have.

        `where` says on what, and how; None where this node has nothing to announce it on.
        """
        if self._is_leaving:
            return False
        wish = self._wish(address, where or self.wishes.get(address), now)
        if wish is not None:
            self.wishes[address] = wish
        else:
            self.wishes.pop(address, None)
            self._causes.pop(address, None)
        if address in self.held or (wish is not None and self.elections.named(address) == self._node):
            return False
        return self.elections.ended(address)

    def leave(self, until: float) -> None:
        """Hand over all that we hold, whatever is decided from now on: this node stops then."""
        self._is_leaving = True
        held = ((address, self.wishes.get(address)) for address in self.held)
        self.wishes = {
            address: replace(wish, stance=Stance.HAND_OVER, until=until) for address, wish in held if wish is not None
        }

    def cause(self, address: Address) -> Cause:
        """Tell why we began to hold an address."""
        return self._causes.get(address, (Cause.ELECTED, None))[0]

    def look_again(self) -> Again | None:
        """Tell, once, what to do about what we hold because a node is back that was silent."""
        again, self._again = self._again, None
        return again

    def outranks(self, address: Address, node: str) -> bool:
        """Whether another node that holds an address, too, goes before us: it began later, or is the better one.

        It began later if our claim was there to be read, and we have not read its own; unless it was cut off. A better
        one that was cut off has waited for its preemption, too: by its own clock.
        """
        if not self.elections.is_nominated(address):
            return True
        contest = self.elections.contest(address)
        ours, theirs = contest.claims.get(self._node), contest.claims.get(node)
        if ours is not None and theirs is not None and ours != theirs:
            return theirs > ours
        if theirs is None and self.elections.is_published(address) and not contest.prefers(node, self._node):
            return not self.suspects.has_been_away(node)
        return contest.first_of([self._node, node]) == node

    def _wish(self, address: Address, where: Wish | None, now: float) -> Wish | None:
        """Say what we want with an address."""
        named = self.elections.named(address)
        if named is None or where is None:
            return None
        plain = Wish(where.interfaces, on_conflict=where.on_conflict, answers_ping=where.answers_ping)
        if named == self._node:
            return self._as_named(address, plain)
        wish = self._as_successor(address, named, plain)
        if wish is not None or address not in self.held:
            return wish
        if self.elections.contest(address).present_holder == self._node:
            return plain
        before = self.wishes.get(address)
        is_going_on = before is not None and before.stance is Stance.HAND_OVER
        until = before.until if before is not None and is_going_on else now + HAND_OVER_SECONDS
        return replace(plain, stance=Stance.HAND_OVER, until=until)

    def _as_named(self, address: Address, plain: Wish) -> Wish:
        replacing = self._replaced(address)
        if address not in self.held:
            self._causes[address] = (Cause.MOVED if replacing else Cause.ELECTED), None
        return replace(plain, replacing=replacing)

    def _as_successor(self, address: Address, holder: str, plain: Wish) -> Wish | None:
        """Say what we want with the address of a node that may be gone, or will be soon.

        A node that hears nobody takes nothing over: it may still be heard itself, and would take everything away. If
        the others are gone indeed, their Leases expire.
        """
        if self.suspects.hears_nobody():
            return None
        suspect_since, leaving_since = self.suspects.suspect_since(holder), self.suspects.leaving_since(holder)
        if suspect_since is None and leaving_since is None:
            return None
        successors = [one for one in self.elections.successors(address) if not self.suspects.is_away(one)]
        if self._node not in successors:
            return None
        delay = successors.index(self._node) * SUCCESSOR_SECONDS
        if suspect_since is not None:
            silent = self.suspects.states()[holder] is PeerState.SILENT
            self._causes[address] = (Cause.SILENT if silent else Cause.UNHEALTHY), holder
            return replace(plain, begin_at=suspect_since + delay)
        assert leaving_since is not None
        self._causes[address] = Cause.LEAVING, None
        return replace(plain, begin_at=leaving_since + LEAVING_SECONDS + delay, replacing=frozenset({holder}))

    def _replaced(self, address: Address) -> frozenset[str]:
        """Name those that say they hold the address, and are known to give it up to us.

        None where one that is not known to began last: what it does must be asked for.
        """
        contest = self.elections.contest(address)
        others = {node: term for node, term in contest.claims.items() if node != self._node}
        giving_way = frozenset(node for node in others if self._gives_way(node, contest))
        newest = max(others.values(), default=0)
        return giving_way if giving_way >= {node for node, term in others.items() if term == newest} else frozenset()

    def _gives_way(self, node: str, contest: Contest) -> bool:
        """Whether a node will have heard that it must give way to us: nothing is known of one that is silent."""
        lease = self._lease_of(node)
        if lease is SpeakerState.RELEASED or self.suspects.leaving_since(node) is not None:
            return True
        if lease is not SpeakerState.ALIVE or self.suspects.suspect_since(node) is not None:
            return False
        return node == contest.present_holder or all(node not in tier for tier in contest.tiers)

    def _concerned_by(self, nodes: Collection[str]) -> set[Address]:
        """Give the addresses of these nodes and, since their successors may have changed, of all that are away.

        And those that we wait for: whether one of these nodes gives way may have changed.
        """
        away = {node for node in self.suspects.states() if self.suspects.is_away(node)}
        theirs = {address for node in away | set(nodes) for address in self.elections.held_by(node)}
        return theirs | (self.wishes.keys() - self.held)

    def _note_taken(self, address: Address) -> None:
        cause, holder = self._causes.get(address, (Cause.ELECTED, None))
        if holder is not None and cause in {Cause.SILENT, Cause.UNHEALTHY}:
            self._taken_from[address] = holder

    def _come_back(self, node: str, now: float) -> None:
        """See to it that one gives way where both sides hold an address."""
        if self.suspects.was_cut_off(now):
            self._again = Again.ASK
        elif self._again is None and node in self._taken_from.values():
            self._again = Again.ANNOUNCE
