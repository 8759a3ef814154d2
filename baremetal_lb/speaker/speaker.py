"""One speaker: its watches, its reconciler, its Lease, its driver, from the first list to the last word."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import structlog

from baremetal_lb.api.status import OFFERED_MAX, SHOWN_INTERFACES_MAX
from baremetal_lb.cluster.lease import OfferedInterfaces
from baremetal_lb.health import HealthReport
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.l2.gratuitous import Holding
from baremetal_lb.l2.interfaces import Interface
from baremetal_lb.l2.io import FrameCounts
from baremetal_lb.metrics import AnnouncedAddress, SpeakerMetrics, SpeakerSnapshot
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.event_teller import EventTeller
from baremetal_lb.speaker.handlers import watches
from baremetal_lb.speaker.own_lease import OwnLease
from baremetal_lb.speaker.own_status import OwnStatus
from baremetal_lb.speaker.reconciler import AnnouncementDriver, Reconciler

log = structlog.get_logger()


class SegmentDriver(AnnouncementDriver, Protocol):
    """The driver with what it tells about itself."""

    counts: FrameCounts

    def interfaces(self) -> tuple[Interface, ...]:
        """Give the interfaces that can carry announcements now."""

    def holdings(self) -> Iterator[Holding]:
        """Give what is announced where."""


class Speaker:
    """Everything of one process but its HTTP port; `identity` names this run of it."""

    def __init__(
        self,
        settings: SpeakerSettings,
        identity: str,
        client: KubeClient,
        driver: SegmentDriver,
        metrics: SpeakerMetrics,
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._teller = EventTeller(client, settings, metrics)
        self._reconciler = Reconciler(settings, identity, driver, metrics, self._teller.tell)
        self._watches = watches(client, settings.namespace, self._reconciler)
        self._own_lease = OwnLease(client, settings, identity, metrics, self._offered)
        self._own_status = OwnStatus(client, settings, self._statement, self._reconciler.held_changed)

    async def run(self, stop: asyncio.Event) -> None:
        """Announce until `stop` is set, then hand over. Whatever fails for good is raised."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.run()) for watch in self._watches.values()]
            tasks += [group.create_task(self._reconciler.run()), group.create_task(self._teller.run())]
            keeping = group.create_task(self._appear())
            await stop.wait()
            keeping.cancel()
            await self._hand_over()
            for task in tasks:
                task.cancel()

    def interfaces_changed(self) -> None:
        """Have the others know of our interfaces at once."""
        self._own_lease.renew_soon()
        self._reconciler.held_changed.set()

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
        return HealthReport(is_live=True, is_ready=True)

    def snapshot(self) -> SpeakerSnapshot:
        """Read what the process is doing."""
        liveness, counts = self._reconciler.liveness, self._driver.counts
        return SpeakerSnapshot(
            announced=self._announced(),
            addresses_by_reason=self._reconciler.addresses_by_reason(),
            speakers_alive=len(liveness.alive),
            view_trusted=liveness.trusted,
            frames_received=counts.received,
            frames_malformed={reason.value: count for reason, count in counts.malformed.items()},
            send_failures=counts.send_failures,
            watch_reconnects={kind: watch.reconnects for kind, watch in self._watches.items()},
        )

    async def _appear(self) -> None:
        """Appear among the speakers once we know the cluster, and what we held before: then others count on us."""
        for watch in self._watches.values():
            await watch.synced.wait()
        log.info("cluster listed", services=len(self._reconciler.state.services))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._own_lease.keep())
            group.create_task(self._own_status.keep())

    async def _hand_over(self) -> None:
        """Let the others take over while we still answer."""
        log.info("stopping")
        self._reconciler.freeze()
        await self._own_lease.release()
        await asyncio.sleep(self._settings.linger_seconds)
        self._driver.set_desired({})

    def _offered(self) -> OfferedInterfaces:
        """Publish the unusual interfaces only where an advertisement names them: pods bring hundreds."""
        named = frozenset().union(*(one.interfaces for one in self._reconciler.state.config.l2_advertisements))
        interfaces = self._driver.interfaces()
        return OfferedInterfaces(
            usual=frozenset(one.name for one in interfaces if not one.only_by_name),
            by_name=frozenset(one.name for one in interfaces if one.only_by_name) & named,
        )

    def _statement(self) -> dict[str, Any]:
        """Say for the SpeakerStatus what this node holds, and on what."""
        decisions, claims = self._reconciler.decisions, self._reconciler.elections.own_claims
        announced = {address: sorted(decision.interfaces) for address, decision in decisions.items()}
        held = [
            {
                "address": str(address),
                "term": claim.term,
                "since": claim.since,
                "interfaces": announced.get(address, [])[:SHOWN_INTERFACES_MAX],
            }
            for address, claim in sorted(claims.items(), key=lambda one: (one[0].version, int(one[0])))
        ]
        offered = self._offered()
        names = offered.usual | offered.by_name
        interfaces = [
            {"name": one.name, "mac": one.mac.hex(":")} for one in self._driver.interfaces() if one.name in names
        ]
        return {"addresses": held, "addressCount": len(held), "interfaces": interfaces[:OFFERED_MAX]}

    def _announced(self) -> Iterable[AnnouncedAddress]:
        names = {interface.index: interface.name for interface in self._driver.interfaces()}
        for holding in self._driver.holdings():
            services = self._reconciler.state.services_on(holding.address)
            yield AnnouncedAddress(
                services=tuple(str(service.key) for service in services),
                address=str(holding.address),
                interface=names.get(holding.interface_index, str(holding.interface_index)),
                replies=holding.replies,
                announcements=holding.announcements,
            )
