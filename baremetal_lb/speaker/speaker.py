"""One speaker: its watches, its reconciler, its Lease, its drivers, from the first list to the last word."""

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable
from typing import Any

import structlog

from baremetal_lb.addresses import Address, sort_key
from baremetal_lb.announce.offer import offer_status
from baremetal_lb.api.status import SHOWN_INTERFACES_MAX
from baremetal_lb.health import HealthReport
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.l2.segment import SegmentEvent, Wish
from baremetal_lb.metrics import AnnouncedAddress, SpeakerMetrics, SpeakerSnapshot
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.beat_keys import BeatKeys
from baremetal_lb.speaker.condition_writer import ConditionWriter
from baremetal_lb.speaker.conflicts import Conflicts
from baremetal_lb.speaker.drivers import Drivers
from baremetal_lb.speaker.elections import Elections
from baremetal_lb.speaker.event_teller import EventTeller
from baremetal_lb.speaker.handlers import watches
from baremetal_lb.speaker.own_lease import OwnLease
from baremetal_lb.speaker.own_status import OwnStatus
from baremetal_lb.speaker.proxy_check import ProxyCheck
from baremetal_lb.speaker.reconciler import Reconciler

STALL_CHECK_SECONDS = 0.1

log = structlog.get_logger()


class Speaker:
    """Everything of one process but its HTTP port; `identity` names this run of it."""

    def __init__(
        self,
        settings: SpeakerSettings,
        identity: str,
        client: KubeClient,
        drivers: Drivers,
        metrics: SpeakerMetrics,
    ) -> None:
        self._settings = settings
        self._drivers = drivers
        self._teller = EventTeller(client, settings, metrics)
        self._reconciler = Reconciler(settings, identity, drivers, metrics, self._teller.tell)
        self._watches = watches(client, settings.namespace, self._reconciler)
        self._beat_keys = BeatKeys(client, settings.namespace, self._reconciler.beating.set_keys)
        self._proxy_check = ProxyCheck(settings, self._reconciler.proxy_changed)
        self._condition_writer = ConditionWriter(client, settings, metrics, self._reconciler.conditions)
        self._own_lease = OwnLease(client, settings, identity, metrics)
        self._own_status = OwnStatus(client, settings, self._statement, self._reconciler.held_changed)

    async def run(self, stop: asyncio.Event) -> None:
        """Announce until `stop` is set, then hand over. Whatever fails for good is raised."""
        async with asyncio.TaskGroup() as group:
            watches = (*self._watches.values(), self._beat_keys.watch)
            lasting: tuple[Coroutine[Any, Any, None], ...] = (
                self._reconciler.run(),
                self._teller.run(),
                self._condition_writer.run(),
                self._drivers.beats.run(),
                self._beat_keys.fill(),
                self._proxy_check.run(),
                self._notice_stalls(),
                *(watch.run() for watch in watches),
            )
            tasks = [group.create_task(one) for one in lasting]
            keeping = group.create_task(self._appear())
            await stop.wait()
            keeping.cancel()
            await self._hand_over()
            for task in tasks:
                task.cancel()

    def interfaces_changed(self) -> None:
        """Decide anew at once, and have the others know."""
        self._reconciler.wake()

    @property
    def elections(self) -> Elections:
        """Who holds each address, as far as we know. Read only."""
        return self._reconciler.elections

    def peers_changed(self, nodes: Collection[str]) -> None:
        """Take over, or yield: the beats say something new."""
        self._reconciler.peers_changed(nodes)

    def segment_changed(self, events: list[SegmentEvent]) -> None:
        """Go by what the segment shows."""
        self._reconciler.segment_changed(events)

    def outranks(self, address: Address, node: str) -> bool:
        """Whether another node that holds an address, too, goes before us."""
        return self._reconciler.succession.outranks(address, node)

    def is_well(self) -> bool:
        """Whether the others may rely on us."""
        return self._reconciler.seconds_since_turn() < self._settings.unwell_seconds

    def health(self) -> HealthReport:
        """Live while the reconciler turns; ready once it has joined, and while it sees the cluster."""
        reconciler = self._reconciler
        if reconciler.seconds_since_turn() > self._settings.stale_seconds:
            return HealthReport(is_live=False, is_ready=False, detail="the reconciler stands still")
        unsynced = [kind for kind, watch in self._watches.items() if not watch.synced.is_set()]
        if unsynced:
            return HealthReport(is_live=True, is_ready=False, detail=f"not listed yet: {', '.join(unsynced)}")
        if not reconciler.liveness.trusted:
            return HealthReport(is_live=True, is_ready=False, detail="our own Lease does not come back to us")
        if not self._drivers.beats.has_reported:
            return HealthReport(is_live=True, is_ready=False, detail="the beat process has not reported yet")
        return HealthReport(is_live=True, is_ready=True)

    def snapshot(self) -> SpeakerSnapshot:
        """Read what the process is doing."""
        liveness, counts, beats = self._reconciler.liveness, self._drivers.segment.counts, self._drivers.beats
        peers = self._reconciler.succession.suspects.states()
        watches = {**self._watches, "Secret": self._beat_keys.watch}
        return SpeakerSnapshot(
            announced=self._announced(),
            addresses_by_reason=self._reconciler.addresses_by_reason(),
            speakers_alive=len(liveness.alive),
            view_trusted=liveness.trusted,
            conflicts={str(address): (one.interface, one.mac) for address, one in self._conflicts.known.items()},
            peers=Counter(state.value for state in peers.values()),
            beats=beats.counts,
            beat_restarts=beats.restarts,
            frames_received=counts.received,
            frames_malformed={reason.value: count for reason, count in counts.malformed.items()},
            send_failures=counts.send_failures,
            heard_on_segment={
                "probes": counts.probes,
                "deferrals": counts.deferrals,
                "conflicts": counts.conflicts,
            },
            watch_reconnects={kind: watch.reconnects for kind, watch in watches.items()},
        )

    async def _appear(self) -> None:
        """Appear among the speakers once we know the cluster, and what we held before: then others count on us.

        What we offer is there first: the others ask for it as soon as they see our Lease.
        """
        for watch in self._watches.values():
            await watch.synced.wait()
        await self._proxy_check.asked.wait()
        log.info("cluster listed", services=len(self._reconciler.state.services))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._own_status.keep())
            await self._own_status.written.wait()
            group.create_task(self._own_lease.keep())

    async def _hand_over(self) -> None:
        """Let the others take over while we still answer, until they do."""
        log.info("stopping")
        self._reconciler.leave()
        await asyncio.gather(self._own_lease.release(), self._wait_for_successors())
        self._drivers.segment.set_wishes({})
        await self._own_status.say_last()

    async def _wait_for_successors(self) -> None:
        try:
            async with asyncio.timeout(self._settings.linger_seconds):
                await self._reconciler.handed_over.wait()
        except TimeoutError:
            log.warning("nobody took over", addresses=len(self._reconciler.succession.held))

    async def _notice_stalls(self) -> None:
        """Find out after the fact that this process stood still: others may have taken over."""
        loop = asyncio.get_running_loop()
        while True:
            slept_at = loop.time()
            await asyncio.sleep(STALL_CHECK_SECONDS)
            late_by = loop.time() - slept_at - STALL_CHECK_SECONDS
            if late_by > self._settings.stall_seconds:
                self._reconciler.announcements.was_away(f"stood still for {late_by:.1f} s")

    def _statement(self) -> dict[str, Any]:
        """Say for the SpeakerStatus what this node holds, on what, and which foreign hosts are in its way."""
        wishes, claims = self._reconciler.succession.wishes, self._reconciler.elections.own_claims
        held = [
            {
                "address": str(address),
                "term": claim.term,
                "since": claim.since,
                "interfaces": sorted(wishes.get(address, Wish()).interfaces)[:SHOWN_INTERFACES_MAX],
            }
            for address, claim in sorted(claims.items(), key=lambda one: sort_key(one[0]))
        ]
        conflicts = {"conflicts": self._conflicts.statement(), "conflictCount": len(self._conflicts.known)}
        return {"addresses": held, "addressCount": len(held), **conflicts, **offer_status(self._reconciler.own_offer())}

    @property
    def _conflicts(self) -> Conflicts:
        return self._reconciler.announcements.conflicts

    def _announced(self) -> Iterable[AnnouncedAddress]:
        names = {interface.index: interface.name for interface in self._drivers.segment.interfaces()}
        for holding in self._drivers.segment.holdings():
            services = self._reconciler.state.services_on(holding.address)
            yield AnnouncedAddress(
                services=tuple(str(service.key) for service in services),
                address=str(holding.address),
                interface=names.get(holding.interface_index, str(holding.interface_index)),
                replies=holding.replies,
                announcements=holding.announcements,
            )
