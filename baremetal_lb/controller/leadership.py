"""This replica as a candidate: follows the Lease, writes it when the machine says so, tells when a term begins or ends.

The Lease has a way of its own to the API server, past the guard of everything that only a leader writes.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog

from baremetal_lb.cluster.leader_lease import (
    LEADER_LEASE,
    LeaderLease,
    claim_patch,
    new_leader_lease,
    parse_leader_lease,
    release_patch,
    renewal_patch,
)
from baremetal_lb.election.leadership import Lead, Leadership, LeadershipEffect, Rhythm, StandDown, WriteLease
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings

ONLY_THIS = f"metadata.name={LEADER_LEASE}"

log = structlog.get_logger()


class Candidate:
    """Runs for leadership under the name `identity`, which must be another for each run of a process.

    `on_lead(fence)` and `on_stand_down()` are called in turn.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: ControllerSettings,
        identity: str,
        metrics: ControllerMetrics,
        *,
        on_lead: Callable[[bool], None],
        on_stand_down: Callable[[], None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._identity = identity
        self._metrics = metrics
        self._on_lead = on_lead
        self._on_stand_down = on_stand_down
        rhythm = Rhythm(
            lease_seconds=settings.lease_seconds,
            renew_seconds=settings.renew_seconds,
            retry_seconds=settings.claim_retry_seconds,
            margin_seconds=settings.lease_margin_seconds,
        )
        self._machine = Leadership(identity, rhythm)
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._path = f"{self._collection}/{LEADER_LEASE}"
        self._watch = Watch(
            client,
            self._collection,
            parse_leader_lease,
            self._lease_changed,
            field_selector=ONLY_THIS,
        )
        self._news = asyncio.Event()
        self._was_seen = False
        self._is_failing = False

    @property
    def leader(self) -> str:
        """Who leads, as far as we know; empty where nobody does."""
        return self._machine.holder

    def may_write(self) -> bool:
        """Whether this replica leads, at this very moment."""
        return self._machine.may_write(_now())

    async def run(self, is_warm: asyncio.Event) -> None:
        """Follow the Lease for ever, and take it where it is free, once this replica could do the work."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run(), name="lease")
            await self._watch.synced.wait()
            if not self._was_seen:
                self._lease_changed(("", LEADER_LEASE), None)
            await is_warm.wait()
            while True:
                self._news.clear()
                for effect in self._machine.tick(_now()):
                    if isinstance(effect, WriteLease):
                        group.create_task(self._write(effect), name="renewal")
                    else:
                        self._perform([effect])
                await self._sleep()

    async def release(self) -> None:
        """Lead no more, and let the Lease go if it is ours. Where that fails it expires."""
        self._perform(self._machine.retire())
        try:
            async with asyncio.timeout(self._settings.lease_timeout_seconds):
                await self._let_go()
        except (ApiError, TimeoutError) as error:
            log.warning("lease not released", error=str(error) or type(error).__name__)

    async def _let_go(self) -> None:
        """Whatever the version is by now: a last renewal may have arrived whose answer we did not wait for."""
        while (lease := await self._read()) and lease.holder == self._identity:
            try:
                await self._client.patch(self._path, release_patch(lease.version))
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                log.info("lease released")
                return

    def _lease_changed(self, _key: Key, lease: LeaderLease | None) -> None:
        self._was_seen = True
        before = self._machine.holder
        self._perform(self._machine.lease_seen(lease, _now()))
        if self._machine.holder not in {before, self._identity}:
            log.info("another replica leads" if self._machine.holder else "nobody leads", leader=self._machine.holder)
        self._news.set()

    async def _sleep(self) -> None:
        """Wait for news, or until the machine has something to do."""
        deadline = self._machine.next_deadline()
        try:
            async with asyncio.timeout_at(deadline):
                await self._news.wait()
        except TimeoutError:
            return

    async def _write(self, effect: WriteLease) -> None:
        """Write the Lease once, and tell the machine what came of it."""
        try:
            async with asyncio.timeout(self._settings.lease_timeout_seconds):
                lease = await self._send(effect)
        except (ApiError, TimeoutError) as error:
            self._metrics.writes.labels("lease", getattr(error, "reason", "Unreachable")).inc()
            self._tell_failure(error)
            self._perform(self._machine.write_failed(_now()))
        else:
            self._metrics.writes.labels("lease", "ok").inc()
            self._is_failing = False
            self._perform(self._machine.write_answered(lease, _now()))
        self._news.set()

    async def _send(self, effect: WriteLease) -> LeaderLease:
        """Raises ApiError; where the Lease is another than we thought, only after we have seen which."""
        at, seconds = datetime.now(UTC), self._settings.lease_seconds
        try:
            if effect.version is None:
                body = new_leader_lease(self._settings.namespace, seconds=seconds)
                return parse_leader_lease(await self._client.create(self._collection, body))
            render = claim_patch if effect.is_claim else renewal_patch
            patch = render(effect.version, self._identity, at=at, seconds=seconds)
            return parse_leader_lease(await self._client.patch(self._path, patch))
        except ApiError as error:
            if error.status in {404, 409}:
                self._perform(self._machine.lease_seen(await self._read(), _now()))
            raise

    async def _read(self) -> LeaderLease | None:
        """By a list of one, which is a right that the watch needs anyway."""
        listed = await self._client.get(self._collection, fieldSelector=ONLY_THIS)
        return next(map(parse_leader_lease, listed["items"]), None)

    def _perform(self, effects: Iterable[LeadershipEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Lead):
                log.info("leading", identity=self._identity, fence=effect.fence)
                self._metrics.count_term(leads=True)
                self._on_lead(effect.fence)
            elif isinstance(effect, StandDown):
                log.info("leading no more", why=effect.why.value, leader=self._machine.holder)
                self._metrics.count_term(leads=False)
                self._on_stand_down()

    def _tell_failure(self, error: Exception) -> None:
        """Say it once, and not at all that another was faster."""
        if not self._is_failing and getattr(error, "status", 0) != 409:
            log.warning("lease not written", error=str(error) or type(error).__name__)
            self._is_failing = True


def _now() -> float:
    return asyncio.get_running_loop().time()
