"""One run of a node's speaker in the simulation: the real machines, wired as the reconciler wires them.

It reads the API server's Leases and statuses, hears of its peers from the beats and of others' claims from the segment,
and tells its end of the segment what it wants. It keeps its Lease and its status.
"""

from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Nomination
from baremetal_lb.cluster.lease import LeaseView
from baremetal_lb.election.liveness import Liveness, LivenessEvent, ViewTrusted
from baremetal_lb.election.messages import NO_FLAG, Flag
from baremetal_lb.election.peer import PeerState
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.l2.segment import SegmentEvent, Wish
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.elections import Claim, Elections
from baremetal_lb.speaker.succession import Again, Succession
from tests.simulation.api_server import ApiServer, Asked, Reader, Statement

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

SETTINGS = SpeakerSettings("any")
TURN_SECONDS = (0.0002, 0.002)
"""From when a reconciler is woken until it turns."""

PING_SECONDS = 0.1
STALL_SECONDS = 0.3
"""A speaker that was stalled for longer asks again for what it holds."""

NOW_FOR_PEOPLE = "2026-11-23T12:00:00Z"
HERE = Wish()
"""On what a node announces that has a link."""


class Nominations:
    """Who may hold an address, worked out once for all the nodes that know the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[Asked, frozenset[str]], Nomination] = {}
        self._candidates: dict[frozenset[str], Candidates] = {}

    def candidates(self, nodes: frozenset[str]) -> Candidates:
        known = self._candidates.get(nodes)
        if known is None:
            known = self._candidates[nodes] = Candidates(nodes)
        return known

    def nominate(self, asked: Asked, able: frozenset[str]) -> Nomination:
        known = self._known.get((asked, able))
        if known is None:
            scores = {node: score for node, score in asked.scores.items() if node in able}
            best_first = sorted(set(scores.values()), reverse=True)
            tiers = tuple(Candidates(node for node in scores if scores[node] == score) for score in best_first)
            known = self._known[asked, able] = Nomination(tiers, preempt_after=asked.preempt_after)
        return known


class Speaker:
    def __init__(self, node: "Node", world: "World") -> None:
        self._node = node
        self._world = world
        self._clock = node.clock
        self._random: Random = world.random
        self._identity = f"{node.name}/{node.runs}"
        self._renewals = count()
        self._liveness = Liveness(
            self._identity, lease_seconds=SETTINGS.lease_seconds, trust_seconds=SETTINGS.trust_seconds
        )
        self.elections = Elections(node.name)
        self.succession = Succession(node.name, self.elections, self._liveness.state_of)
        self._asked: dict[Address, Asked] = {}
        self._linked: dict[str, bool] = {}
        self._knows_speakers = False
        """Whether its end of the segment was told of those that have a link."""
        self._dirty: set[Address] = set()
        self._touched: set[Address] = set()
        self._able: frozenset[str] | None = None
        self._peers: frozenset[str] = frozenset()
        self._flags = NO_FLAG
        self._wishes: Mapping[Address, Wish] = {}
        self._joined = False
        self._is_keeping = False
        self._stopping: Callable[[], None] | None = None
        self._published: Statement | None = None
        self._may_publish_at = 0.0
        self._is_publishing = False
        self._is_over = False
        self._is_frozen = False
        self._frozen_at = 0.0
        self._waiting: list[Callable[[], None]] = []
        self._is_woken = False
        node.end.on_segment = self._segment_changed
        node.end.outranks = self.succession.outranks
        node.beats.on_change = lambda peer, state: self._do(lambda: self._peer_changed(peer, state))
        world.api.watch(
            node.name,
            Reader(
                listed=lambda api: self._do(lambda: self._listed(api)),
                lease=lambda lease: self._do(lambda: self._lease_seen(lease)),
                statement=lambda other, statement: self._do(lambda: self._stated(other, statement)),
                asked=lambda address, asked: self._do(lambda: self._ask(address, asked)),
                lost=lambda: self._do(lambda: self._observe(self._liveness.stream_lost())),
            ),
        )
        self._ping()
        self._turn_soon(SETTINGS.turn_seconds)

    # What befalls it.

    def end(self) -> None:
        self._is_over = True

    @property
    def is_stopping(self) -> bool:
        return self._stopping is not None

    def freeze(self) -> None:
        self._is_frozen, self._frozen_at = True, self._clock.now()

    def thaw(self) -> None:
        if not self._is_frozen:
            return
        self._is_frozen = False
        waiting, self._waiting = self._waiting, []
        for do in waiting:
            do()
        if self._clock.now() > self._frozen_at + STALL_SECONDS:
            self._node.end.ask_again()

    def link_changed(self) -> None:
        """Take in, from the kernel, whether there is a link."""
        self._do(self._look_at_link)

    def stop(self, then: Callable[[], None]) -> None:
        """Hand over everything, then end."""
        self._stopping = then
        self._flags = Flag.LEAVING
        until = self._clock.now() + SETTINGS.linger_seconds
        self._node.beats.tell(self._peers, self._flags)
        self._world.api.write_lease(LeaseView(self._node.name, "", str(next(self._renewals))))
        self.succession.leave(until)
        self._apply()
        self._clock.at(until, lambda: self._do(self._stop_if_over))

    # What it hears.

    def _listed(self, api: ApiServer) -> None:
        for lease in api.leases.values():
            self._lease_seen(lease)
        for name, statement in api.statements.items():
            self._stated(name, statement)
        for address in self._asked.keys() | api.asked.keys():
            self._ask(address, api.asked.get(address))
        if not self._is_keeping:
            self._is_keeping = True
            self._look_at_link()
            self._publish()

    def _lease_seen(self, lease: LeaseView) -> None:
        self._observe(self._liveness.lease_seen(lease, self._clock.now()))

    def _stated(self, name: str, statement: Statement) -> None:
        if name != self._node.name:
            self._set_link(name, is_linked=statement.is_linked)
        claims = {address: Claim(term, NOW_FOR_PEOPLE) for address, term in statement.claims.items()}
        if name == self._node.name:
            self.elections.published(claims)
        if name != self._node.name or not self._joined:
            self._dirty |= self.elections.heard(name, claims)
        self._wake()

    def _ask(self, address: Address, asked: Asked | None) -> None:
        if self._asked.get(address) is asked:
            return
        if asked is None:
            del self._asked[address]
        else:
            self._asked[address] = asked
        self._dirty.add(address)
        self._wake()

    def _observe(self, events: list[LivenessEvent]) -> None:
        for event in events:
            if isinstance(event, ViewTrusted):
                if event.may_have_been_replaced and self._joined:
                    self._node.end.ask_again()
                self._joined = True
        if events:
            self._electorate_changed()

    def _look_at_link(self) -> None:
        self._set_link(self._node.name, is_linked=self._node.name not in self._world.wire.unplugged)
        self._publish()

    def _set_link(self, name: str, *, is_linked: bool) -> None:
        if self._linked.get(name) is not is_linked:
            self._linked[name] = is_linked
            self._knows_speakers = False
            self._electorate_changed()

    def _electorate_changed(self) -> None:
        self._able = None
        self._dirty.update(self._asked)
        self._wake()

    def _peer_changed(self, peer: str, state: PeerState) -> None:
        self._touched |= self.succession.peer_changed(peer, state, self._clock.now())
        self._wake()

    def _segment_changed(self, events: list[SegmentEvent]) -> None:
        for event in events:
            touched = self.succession.segment_changed(event, NOW_FOR_PEOPLE, self._clock.now())
            self._touched |= touched
            self._dirty |= touched
        self._wake()
        if self._stopping is not None:
            self._stop_if_over()

    # What it does.

    def _do(self, do: Callable[[], None]) -> None:
        """Do something now; once it is thawed, if it is frozen."""
        if self._is_over:
            return
        if self._is_frozen:
            self._waiting.append(do)
        else:
            do()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._turn_soon(self._random.uniform(*TURN_SECONDS))

    def _turn_soon(self, seconds: float) -> None:
        self._clock.at(self._clock.now() + seconds, lambda: self._do(self._turn))

    def _turn(self) -> None:
        self._is_woken = False
        now = self._clock.now()
        self._observe(self._liveness.tick(now))
        if not self._joined or self._stopping is not None:
            return
        self._dirty |= self.succession.tick(now)
        self._know_speakers()
        able = self._able_nodes()
        dirty, self._dirty = self._dirty, set()
        for address in dirty:
            asked = self._asked.get(address)
            nomination = self._world.nominations.nominate(asked, able) if asked is not None else None
            self.elections.nominate(address, nomination, now)
        touched, self._touched = self._touched, set()
        touched |= dirty | self.elections.deal(now)
        self._beat()
        touched |= self._touched
        where = HERE if self._linked.get(self._node.name) else None
        for address in touched:
            self.succession.decide(address, where, now)
        self._apply()
        self._set_alarm(now)

    def _able_nodes(self) -> frozenset[str]:
        if self._able is None:
            self._able = frozenset(one for one in self._liveness.alive if self._linked.get(one))
        return self._able

    def _know_speakers(self) -> None:
        if not self._knows_speakers:
            self._knows_speakers = True
            nodes = self._world.nodes
            self._node.end.set_speakers({nodes[one].mac: one for one in self._linked if one != self._node.name})

    def _beat(self) -> None:
        beating = self._world.beating
        peers = self.succession.peers(self._world.nominations.candidates(self._liveness.alive))
        if beating is not None:
            peers = peers & beating if self._node.name in beating else frozenset()
        if peers != self._peers:
            self._peers = peers
            self._touched |= self.succession.beat_with(peers)
            self._node.beats.tell(peers, self._flags)

    def _apply(self) -> None:
        if self.succession.wishes != self._wishes:
            self._wishes = dict(self.succession.wishes)
            self._node.end.set_wishes(self._wishes)
        again = self.succession.look_again()
        if again is Again.ASK:
            self._node.end.ask_again()
        if again is Again.ANNOUNCE or self.elections.rivals_gave_way():
            self._node.end.announce_again()
        self._publish()

    def _set_alarm(self, now: float) -> None:
        deadlines = (self._liveness.next_deadline(), self.succession.next_deadline())
        at = min(one for one in (now + SETTINGS.turn_seconds, *deadlines) if one is not None)
        self._clock.at(max(at, now + 0.0001), lambda: self._do(self._alarm))

    def _alarm(self) -> None:
        self._wake()

    def _stop_if_over(self) -> None:
        if self._stopping is not None and (
            not self.succession.held or self._clock.now() >= max(one.until for one in self._wishes.values())
        ):
            then, self._stopping = self._stopping, None
            then()

    def _ping(self) -> None:
        """Say to the beat process that we are well."""
        self._node.beats.speaker_is_well()
        self._clock.at(self._clock.now() + PING_SECONDS, lambda: self._do(self._ping))

    def _statement(self) -> Statement:
        claims = {address: claim.term for address, claim in self.elections.own_claims.items()}
        return Statement(claims, is_linked=self._linked.get(self._node.name, False))

    def _publish(self) -> None:
        """Have our status written, a moment after what changed and not too often."""
        if self._is_publishing or not self._is_keeping or self._statement() == self._published:
            return
        self._is_publishing = True
        at = max(self._clock.now() + SETTINGS.status_gather_seconds, self._may_publish_at)
        self._clock.at(at, lambda: self._do(self._write))

    def _write(self) -> None:
        statement = self._statement()
        self._may_publish_at = self._clock.now() + SETTINGS.status_seconds

        def done(is_written: bool) -> None:
            self._is_publishing = False
            if is_written:
                if self._published is None:
                    self._renew()
                self._published = statement
            self._publish()

        self._world.api.write_statement(self._node.name, statement, lambda ok: self._do(lambda: done(ok)))

    def _renew(self) -> None:
        if self._stopping is None:
            self._world.api.write_lease(LeaseView(self._node.name, self._identity, str(next(self._renewals))))
            self._clock.at(self._clock.now() + SETTINGS.renew_seconds, lambda: self._do(self._renew))
