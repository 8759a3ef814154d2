"""This node's Lease: created, renewed each second, and let go on a graceful stop.

A task of its own with timeouts shorter than the interval, so that nothing else of the speaker makes it look dead. It
never backs off: after an outage all speakers must be back within the grace that each gives the others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from baremetal_lb.cluster.lease import held, lease_name, new_lease, released
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.settings import SpeakerSettings

log = structlog.get_logger()


class OwnLease:
    """Says for one run of the speaker, which is its `identity`, that it is alive."""

    def __init__(
        self,
        client: KubeClient,
        settings: SpeakerSettings,
        identity: str,
        metrics: SpeakerMetrics,
    ) -> None:
        self._client = client
        self._settings = settings
        self._identity = identity
        self._metrics = metrics
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._path = f"{self._collection}/{lease_name(settings.node)}"
        self._lease: dict[str, Any] | None = None
        self._is_failing = False

    async def keep(self) -> None:
        """Renew for ever."""
        loop = asyncio.get_running_loop()
        while True:
            next_at = loop.time() + self._settings.renew_seconds
            await self._attempt(self._renew)
            await asyncio.sleep(next_at - loop.time())

    async def release(self) -> None:
        """Let go, so that the others take over at once. Where that fails they do when the Lease expires."""
        await self._attempt(self._release)

    async def _attempt(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self._settings.renew_timeout_seconds):
                await write()
        except (ApiError, TimeoutError) as error:
            self._metrics.lease_writes.labels("failed").inc()
            if not self._is_failing:
                log.warning("lease not renewed", error=str(error) or type(error).__name__)
            self._is_failing = True
        else:
            self._metrics.lease_writes.labels("ok").inc()
            if self._is_failing:
                log.info("lease renewed again")
            self._is_failing = False

    async def _renew(self) -> None:
        if self._lease is not None:
            try:
                self._lease = await self._client.replace(self._path, self._held(self._lease))
            except ApiError as error:
                if error.status not in {404, 409}:
                    raise
            else:
                return
        self._lease = await self._acquire()

    async def _acquire(self) -> dict[str, Any]:
        """Take the Lease as it is, whoever wrote there, or make it."""
        try:
            return await self._client.replace(self._path, self._held(await self._client.get(self._path)))
        except ApiError as error:
            if error.status != 404:
                raise
        node = await self._client.get(f"/api/v1/nodes/{self._settings.node}")
        lease = new_lease(self._settings.namespace, self._settings.node, node["metadata"]["uid"])
        return await self._client.create(self._collection, self._held(lease))

    async def _release(self) -> None:
        """Let go of what is there now: the answer to the last renewal may have been lost."""
        if self._lease is None:
            return
        lease = await self._client.get(self._path)
        if lease["spec"].get("holderIdentity") == self._identity:
            await self._client.replace(self._path, released(lease))
            log.info("lease released")

    def _held(self, lease: dict[str, Any]) -> dict[str, Any]:
        return held(lease, self._identity, at=datetime.now(UTC), seconds=self._settings.lease_seconds)
