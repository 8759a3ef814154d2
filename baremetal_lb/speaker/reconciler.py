"""The one task that decides what this node announces.

Handlers take facts into the state and wake it. Each turn lets time pass for the liveness of the other speakers, decides
anew on the addresses that a fact touched, and hands the driver the complete set of what is ours. What this node begins
or ceases to hold counts in the next turn, which follows at once.

It announces nothing before it has *joined*: before everything was listed, and our own Lease came back over the watch,
so that the others know of us as we know of them. From then on what is announced changes only by what the API server
shows; losing it changes nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

import structlog

from baremetal_lb.addresses import Address
from baremetal_lb.announce.decision import Electorate, decide_l2, explain_l2, nominate_l2, reason_for
from baremetal_lb.announce.model import Decision, Demand, Nomination
from baremetal_lb.announce.readiness import Readiness
from baremetal_lb.cluster.lease import LeaseView, node_of_lease
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.election.liveness import Liveness, LivenessEvent, SpeakerChanged, ViewLost, ViewTrusted
from baremetal_lb.events import Event, Subject
from baremetal_lb.kube.watch import Key
from baremetal_lb.l2.responder import Announcement
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.elections import Claims, Elections
from baremetal_lb.speaker.reporter import Reporter, describe
from baremetal_lb.speaker.state import ClusterState

log = structlog.get_logger()


class AnnouncementDriver(Protocol):
    """What announces; `l2.io.L2Driver`, or a simulated segment."""

    def set_desired(self, desired: Mapping[Address, Announcement]) -> None:
        """Announce these addresses, and no others."""

    def announce_again(self) -> None:
        """Announce them all as if they were new."""


class Reconciler:
    """Owns the state of the process."""

    def __init__(
        self,
        settings: SpeakerSettings,
        identity: str,
        driver: AnnouncementDriver,
        metrics: SpeakerMetrics,
        tell: Callable[[Event], None],
    ) -> None:
        self.state = ClusterState()
        self.decisions: dict[Address, Decision] = {}
        self.elections = Elections(settings.node)
        self.held_changed = asyncio.Event()
        """Set when this node says something new about what it holds."""
        self.joined = False
        self.liveness = Liveness(identity, lease_seconds=settings.lease_seconds, trust_seconds=settings.trust_seconds)
        self._settings = settings
        self._driver = driver
        self._metrics = metrics
        self._tell = tell
        self._readiness = Readiness(settings.not_ready_grace_seconds)
        self._reporter = Reporter(settings.node, settle_seconds=settings.settle_seconds)
        self._nominated: dict[Address, tuple[Demand, Nomination]] = {}
        self._desired: dict[Address, Announcement] = {}
        self._frozen = False
        self._woken = asyncio.Event()
        self._turned_at: float | None = None

    def wake(self) -> None:
        """Have the state looked at."""
        self._woken.set()

    def lease_changed(self, key: Key, lease: LeaseView | None) -> None:
        """Take in what a speaker says of itself, or that its Lease is gone."""
        node = node_of_lease(key[1])
        self.state.offer_changed(node, lease.interfaces if lease else None)
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

    def status_changed(self, key: Key, claims: Claims | None) -> None:
        """Take in what a node says it holds. Of ourselves we know better, but at first: what our earlier run held."""
        if key[1] != self._settings.node or not self.joined:
            self.state.dirty.update(self.elections.heard(key[1], claims or {}))
        elif claims is None:
            self.held_changed.set()

    def lease_stream_changed(self, connected: bool) -> None:  # noqa: FBT001 - the watch's callback
        """Take in that the watch of the Leases opened or broke off."""
        if not connected:
            self._observe(self.liveness.stream_lost())

    def freeze(self) -> None:
        """Go on with what is announced now, whatever happens: the process is about to stop."""
        self._frozen = True

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
            await self._decide()
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
            self.elections.next_deadline(),
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
            self._driver.announce_again()
        self.joined = True

    async def _decide(self) -> None:
        if not self.joined or self._frozen:
            return
        now, deadline = self._now(), self.elections.next_deadline()
        self.state.unready_changed(self._readiness.overdue(now))
        if not self.state.dirty and (deadline is None or deadline > now):
            return
        with self._metrics.decision_seconds.time():
            dirty, electorate = self.state.take_dirty(), self.state.electorate
            async for address in self._in_parts(dirty):
                self._nominate(address, electorate)
            async for address in self._in_parts(dirty | self.elections.deal(self._now())):
                self._decide_on(address, electorate)
        self._apply()

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
        if self.elections.begin_or_end(address, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")):
            self.state.dirty.add(address)
            self.held_changed.set()
            self.wake()
        if address not in self._nominated:
            self.decisions.pop(address, None)
            self._reporter.forgotten(address)
            return
        demand, nomination = self._nominated[address]
        decision = decide_l2(demand, electorate, nomination, self.elections.holder(address))
        self._metrics.decisions.labels(decision.reason.value).inc()
        self.decisions[address] = decision
        if self._reporter.decided(address, decision, self._now()):
            self._report(address)

    def _apply(self) -> None:
        """Hand over what is ours; nothing else changes what this node announces."""
        node = self._settings.node
        ours = {address: one.interfaces for address, one in self.decisions.items() if one.holder == node}
        desired = {address: Announcement(interfaces) for address, interfaces in ours.items()}
        if self.elections.rivals_gave_way():
            self._driver.announce_again()
        if desired == self._desired:
            return
        before, self._desired = self._desired, desired
        self._driver.set_desired(desired)
        self.held_changed.set()
        for address in desired.keys() - before.keys():
            self._metrics.takeovers.inc()
            interfaces = sorted(ours[address])
            log.info("address announced", **self._names(address), interfaces=interfaces, reason=Reason.ELECTED.value)
        for address in before.keys() - desired.keys():
            log.info("address withdrawn", **self._names(address), reason=self._own_reason(address).value)

    def _own_reason(self, address: Address) -> Reason:
        demand, electorate = self.state.demand(address), self.state.electorate
        node = electorate.nodes.get(self._settings.node)
        if demand is None:
            return Reason.RELEASED
        if node is None:
            return Reason.NODE_GONE
        return reason_for(node, demand, electorate, self.decisions[address])

    def _report(self, address: Address) -> None:
        demand = self.state.demand(address)
        if demand is None:
            return
        explanation = explain_l2(demand, self.state.electorate, self.decisions[address])
        reason = Reason.ANNOUNCED if explanation.decision.holder else explanation.decision.reason
        for service in self.state.services_on(address):
            subject = Subject("v1", "Service", service.key.namespace, service.key.name, service.uid)
            self._tell(Event(subject, reason, describe(address, explanation)))

    def _names(self, address: Address) -> dict[str, object]:
        services = [str(service.key) for service in self.state.services_on(address)]
        return {"address": str(address), "services": services}

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
