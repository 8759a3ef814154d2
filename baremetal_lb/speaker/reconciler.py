"""The one task that decides what this node announces.

Handlers take facts into the state and wake it. Each turn takes in what the segment told, lets time pass for the
liveness of the other speakers, decides anew on the addresses that something touched, and hands over the complete set of
what this node wishes. What follows from that is told by the segment, and counts in the turn after.

It announces nothing before it has *joined*: before everything was listed, and our own Lease came back over the watch,
so that the others know of us as we know of them. From then on losing the API server changes nothing by itself.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection

import structlog

from baremetal_lb.addresses import Address
from baremetal_lb.announce.condition import describe
from baremetal_lb.announce.decision import Electorate, decide_l2, explain_l2, nominate_l2, reason_for
from baremetal_lb.announce.model import Decision, Demand, Nomination
from baremetal_lb.announce.offer import Offer, offer_of
from baremetal_lb.announce.readiness import Readiness
from baremetal_lb.cluster.lease import LeaseView, node_of_lease
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.election.liveness import Liveness, LivenessEvent, SpeakerChanged, ViewLost, ViewTrusted
from baremetal_lb.events import Event, Subject
from baremetal_lb.kube.watch import Key
from baremetal_lb.l2.segment import SegmentEvent, Wish
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.announcements import Announcements
from baremetal_lb.speaker.beating import Beating
from baremetal_lb.speaker.conflicts import conflict_policy_of
from baremetal_lb.speaker.drivers import Drivers
from baremetal_lb.speaker.elections import Elections
from baremetal_lb.speaker.reporter import Reporter
from baremetal_lb.speaker.service_conditions import ServiceConditions
from baremetal_lb.speaker.state import ClusterState
from baremetal_lb.speaker.statement import Statement
from baremetal_lb.speaker.succession import Succession

log = structlog.get_logger()


class Reconciler:
    """Owns the state of the process."""

    def __init__(
        self,
        settings: SpeakerSettings,
        identity: str,
        drivers: Drivers,
        metrics: SpeakerMetrics,
        tell: Callable[[Event], None],
    ) -> None:
        self.state = ClusterState()
        self.decisions: dict[Address, Decision] = {}
        self.elections = Elections(settings.node)
        self.held_changed = asyncio.Event()
        """Set when this node says something new about what it holds."""
        self.joined = False
        self.proxy_answers = True
        """Whether kube-proxy does, as far as it is asked; `wake` after a change."""
        self.liveness = Liveness(identity, lease_seconds=settings.lease_seconds, trust_seconds=settings.trust_seconds)
        self.succession = Succession(settings.node, self.elections, self.liveness.state_of)
        self.announcements = Announcements(settings.node, drivers.segment, self.succession, metrics, self._describe)
        conflicts = self.announcements.conflicts
        self.conditions = ServiceConditions(settings.node, self.state, self.decisions, self.succession, conflicts)
        self.beating = Beating(drivers.beats)
        self.handed_over = asyncio.Event()
        """Set when this node, which is about to stop, answers for nothing any more."""
        self._settings = settings
        self._drivers = drivers
        self._metrics = metrics
        self._tell = tell
        self._readiness = Readiness(settings.not_ready_grace_seconds)
        self._reporter = Reporter(settings.node, settle_seconds=settings.settle_seconds)
        self._nominated: dict[Address, tuple[Demand, Nomination]] = {}
        self._known: Electorate | None = None
        """The nodes that the drivers were told about."""
        self._is_leaving = False
        self._woken = asyncio.Event()
        self._turned_at: float | None = None

    def wake(self) -> None:
        """Have the state looked at."""
        self._woken.set()

    def lease_changed(self, key: Key, lease: LeaseView | None) -> None:
        """Take in what a speaker says of itself, or that its Lease is gone."""
        node = node_of_lease(key[1])
        if lease is None:
            self._observe(self.liveness.lease_deleted(node))
        else:
            self._observe(self.liveness.lease_seen(lease, self._now()))
        if self.state.dirty:
            self.wake()

    def node_changed(self, key: Key, view: NodeView | None) -> None:
        """Take in a Node."""
        self._readiness.seen(key[1], self._now(), not_ready=view is not None and view.not_ready)
        self.state.node_changed(key, view)

    def status_changed(self, key: Key, statement: Statement | None) -> None:
        """Take in what a node says. Of ourselves we know better, but at first: what our earlier run held."""
        node, claims = key[1], statement.claims if statement else {}
        if node != self._settings.node:
            self.state.offer_changed(node, statement.offer if statement else None)
        if node == self._settings.node:
            self.elections.published(claims)
        if node != self._settings.node or not self.joined:
            self.state.dirty.update(self.elections.heard(node, claims))
        elif statement is None:
            self.held_changed.set()

    def own_offer(self) -> Offer:
        """Say what this node offers now; where that is new, it counts here at once, and the others will hear of it."""
        offer = offer_of(
            self._drivers.segment.interfaces(), self.state.named_interfaces, proxy_answers=self.proxy_answers
        )
        if offer != self.state.offers.get(self._settings.node):
            self.state.offer_changed(self._settings.node, offer)
            self.held_changed.set()
        return offer

    def proxy_changed(self, answers: bool) -> None:  # noqa: FBT001 - the check's callback
        """Take in whether kube-proxy answers on this node."""
        self.proxy_answers = answers
        self.wake()

    def lease_stream_changed(self, connected: bool) -> None:  # noqa: FBT001 - the watch's callback
        """Take in that the watch of the Leases opened or broke off."""
        if not connected:
            self._observe(self.liveness.stream_lost())

    def peers_changed(self, nodes: Collection[str]) -> None:
        """Take in that the beats say something new of these nodes."""
        for node in nodes:
            view = self._drivers.beats.view_of(node)
            log.info("peer changed", node=node, now=view.state.value)
            self.state.dirty |= self.succession.peer_changed(node, view.state, self._now())
        self.wake()

    def segment_changed(self, events: list[SegmentEvent]) -> None:
        """Take note of what the segment shows."""
        self.announcements.put_down(events)
        self.wake()

    def leave(self) -> None:
        """Hand over what is announced now, whatever else happens: the process is about to stop."""
        self._is_leaving = True
        self.beating.leave()
        self.succession.leave(self._now() + self._settings.linger_seconds)
        self.announcements.apply()
        self.wake()

    def seconds_since_turn(self) -> float:
        """Tell how long ago the last turn was."""
        return self._now() - self._turned_at if self._turned_at is not None else 0.0

    def addresses_by_reason(self) -> Counter[str]:
        """Count the addresses by what was decided on them."""
        return Counter(decision.reason.value for decision in self.decisions.values())

    async def run(self) -> None:
        """Turn for ever."""
        while True:
            self._turned_at = self._now()
            self._observe(self.liveness.tick(self._turned_at))
            self._take_in_segment()
            self.own_offer()
            await self._decide()
            self.conditions.look()
            for address in self._reporter.tick(self._now()):
                self._report(address)
            await self._pause()

    async def _pause(self) -> None:
        """Wait until somebody wakes us or something is due."""
        now = self._now()
        deadlines = (
            self.liveness.next_deadline(),
            self._reporter.next_deadline(),
            self._readiness.next_deadline(now),
            self.succession.next_deadline(),
        )
        latest = now + self._settings.turn_seconds
        try:
            async with asyncio.timeout_at(min((latest, *(at for at in deadlines if at is not None)))):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _observe(self, events: list[LivenessEvent]) -> None:
        for event in events:
            match event:
                case SpeakerChanged(node=node, before=before, after=after):
                    log.info("speaker changed", node=node, before=before.value, now=after.value)
                case ViewTrusted(may_have_been_replaced=was_away):
                    self._rejoin(was_away=was_away)
                case ViewLost():
                    log.warning("own lease does not come back; announcing goes on as it is")
        if events:
            self.state.alive_changed(self.liveness.alive)

    def _rejoin(self, *, was_away: bool) -> None:
        """While we were away another node may have told the segment that it holds our addresses."""
        log.info("own lease seen", was_away=was_away)
        if was_away and self.joined:
            self.announcements.was_away("cut off from the API server")
        self.joined = True

    def _take_in_segment(self) -> None:
        """What the segment told counts from now on, here and for those that read what we say."""
        touched = self.announcements.take_in(self._now())
        if touched:
            self.state.dirty |= touched
            self.held_changed.set()
        for address, news in self.announcements.take_news():
            log.warning("foreign host", **self._describe(address), message=news.message)
            self._tell_services(address, news.reason, news.message)
            self.held_changed.set()
            self.state.touch_conditions(address)
        if self._is_leaving and not self.succession.held:
            self.handed_over.set()

    async def _decide(self) -> None:
        if not self.joined or self._is_leaving:
            return
        now = self._now()
        self.announcements.look_again()
        self.state.dirty |= self.succession.tick(now)
        deadline = self.succession.next_deadline()
        self.state.unready_changed(self._readiness.overdue(now))
        if not self.state.dirty and (deadline is None or deadline > now):
            self._know(self.state.electorate)
            return
        with self._metrics.decision_seconds.time():
            dirty, electorate = self.state.take_dirty(), self.state.electorate
            async for address in self._in_parts(dirty):
                self._nominate(address, electorate)
            touched = dirty | self.elections.deal(self._now())
            self._know(electorate)
            async for address in self._in_parts(touched):
                self._decide_on(address, electorate)
        if self.announcements.apply():
            self.held_changed.set()

    async def _in_parts(self, addresses: Collection[Address]) -> AsyncIterator[Address]:
        """Give them all, and the event loop its turn now and then."""
        for number, address in enumerate(addresses, 1):
            yield address
            if number % self._settings.decisions_per_turn == 0:
                await asyncio.sleep(0)

    def _nominate(self, address: Address, electorate: Electorate) -> None:
        """Find out who may hold it. What changes after that is for the next turn."""
        demand = self.state.demand(address)
        if demand is None:
            self._nominated.pop(address, None)
            self.elections.nominate(address, None, self._now())
            return
        nomination = nominate_l2(demand, electorate)
        self._nominated[address] = demand, nomination
        self.elections.nominate(address, nomination, self._now())

    def _decide_on(self, address: Address, electorate: Electorate) -> None:
        if address not in self._nominated:
            self._wish(address, None)
            self.decisions.pop(address, None)
            self._reporter.forgotten(address)
            return
        demand, nomination = self._nominated[address]
        interfaces = electorate.interfaces(self._settings.node, demand)
        self._wish(address, self._plain_wish(demand, interfaces) if interfaces else None)
        decision = decide_l2(demand, electorate, nomination, self.elections.holder(address))
        self._metrics.decisions.labels(decision.reason.value).inc()
        self.decisions[address] = decision
        self.state.touch_conditions(address)
        if decision.holder == self._settings.node and address not in self.succession.held:
            return  # That we announce it is news once we do.
        if self._reporter.decided(address, decision, self._now()):
            self._report(address)

    def _plain_wish(self, demand: Demand, interfaces: frozenset[str]) -> Wish:
        policy = conflict_policy_of(self.state.config, demand.address)
        answers_ping = any(one.answers_ping for one in demand.advertisements)
        return Wish(interfaces, on_conflict=policy, answers_ping=answers_ping)

    def _wish(self, address: Address, where: Wish | None) -> None:
        if self.succession.decide(address, where, self._now()):
            self.state.dirty.add(address)
            self.held_changed.set()
            self.wake()

    def _know(self, electorate: Electorate) -> None:
        """Tell the drivers of the other nodes: whose MACs are ours, and with whom to beat."""
        if electorate is not self._known:
            self._known = electorate
            offers = ((name, facts.offer) for name, facts in electorate.nodes.items())
            self.announcements.know({name: offer for name, offer in offers if name != self._settings.node})
        known = ((name, electorate.nodes.get(name)) for name in self.succession.peers(electorate.alive))
        views = ((name, facts.view) for name, facts in known if facts is not None)
        peers = {name: view.addresses[0] for name, view in views if view is not None and view.addresses}
        self.beating.set_peers(peers)
        touched = self.succession.beat_with(peers)
        if touched:
            self.state.dirty |= touched
            self.wake()

    def _report(self, address: Address) -> None:
        demand = self.state.demand(address)
        if demand is None:
            return
        explanation = explain_l2(demand, self.state.electorate, self.decisions[address])
        reason = Reason.ANNOUNCED if explanation.decision.holder else explanation.decision.reason
        self._tell_services(address, reason, describe(address, explanation))

    def _tell_services(self, address: Address, reason: Reason, message: str) -> None:
        for service in self.state.services_on(address):
            subject = Subject("v1", "Service", service.key.namespace, service.key.name, service.uid)
            self._tell(Event(subject, reason, message))

    def _describe(self, address: Address) -> dict[str, object]:
        """Name an address and its Services for the log and, where it is not ours to announce, why."""
        services = [str(service.key) for service in self.state.services_on(address)]
        return {"address": str(address), "services": services, "reason": self._own_reason(address).value}

    def _own_reason(self, address: Address) -> Reason:
        demand, electorate = self.state.demand(address), self.state.electorate
        node, decision = electorate.nodes.get(self._settings.node), self.decisions.get(address)
        if demand is None or decision is None:
            return Reason.RELEASED
        if node is None:
            return Reason.NODE_GONE
        return reason_for(node, demand, electorate, decision)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
