"""Tells Events to the API server, slowly: they are a courtesy, and must never stand in the way of a Lease's renewal."""

import asyncio
from collections import deque
from datetime import UTC, datetime

import structlog

from baremetal_lb.events import Event
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.settings import SpeakerSettings

log = structlog.get_logger()


class EventTeller:
    """A queue of Events with one writer; each is tried once."""

    def __init__(self, client: KubeClient, settings: SpeakerSettings, metrics: SpeakerMetrics) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._waiting: deque[Event] = deque()
        self._work = asyncio.Event()

    def tell(self, event: Event) -> None:
        """Queue an Event; it is dropped (and counted) where too many wait."""
        if len(self._waiting) >= self._settings.events_queued:
            self._metrics.events.labels("dropped").inc()
            return
        self._waiting.append(event)
        self._work.set()

    async def run(self) -> None:
        """Tell Events for ever."""
        while True:
            await self._work.wait()
            await self._tell_one(self._waiting.popleft())
            if not self._waiting:
                self._work.clear()
            await asyncio.sleep(1 / self._settings.events_per_second)

    async def _tell_one(self, event: Event) -> None:
        try:
            await self._client.create(event.path, event.body("speaker", datetime.now(UTC)))
            self._metrics.events.labels("told").inc()
        except ApiError as error:
            self._metrics.events.labels("failed").inc()
            log.warning("event not told", object=event.subject.name, reason=event.reason, error=str(error))
