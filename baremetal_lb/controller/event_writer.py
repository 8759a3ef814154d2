"""Tells Events to the API server, after everything that matters more.

An Event is a courtesy: it never delays an assignment, is tried once, and is dropped where too many wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from baremetal_lb.controller.api import ApiWriter
from baremetal_lb.events import Event
from baremetal_lb.kube.client import ApiError
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings

YIELD_SECONDS = 0.05
"""How long to step back while the statuses of Services are being written."""

log = structlog.get_logger()


class EventWriter:
    """A queue of Events with few, polite writers; `is_busy` tells them to step back."""

    def __init__(
        self,
        client: ApiWriter,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        is_busy: Callable[[], bool],
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._is_busy = is_busy
        self._waiting: deque[Event] = deque()
        self._work = asyncio.Event()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def tell(self, event: Event) -> None:
        """Queue an Event; it is dropped (and counted) where too many wait."""
        if len(self._waiting) >= self._settings.events_queued:
            self._metrics.events_dropped.inc()
            return
        self._waiting.append(event)
        self._idle.clear()
        self._work.set()

    async def run(self) -> None:
        """Tell Events for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.events_in_flight):
                group.create_task(self._tell_all())

    async def drain(self) -> None:
        """Wait until everything has been told."""
        await self._idle.wait()

    async def _tell_all(self) -> None:
        while True:
            if not self._waiting:
                self._work.clear()
                await self._work.wait()
            elif self._is_busy():
                await asyncio.sleep(YIELD_SECONDS)
            else:
                await self._tell_one(self._waiting.popleft())

    async def _tell_one(self, event: Event) -> None:
        self._in_flight += 1
        try:
            await self._client.create(event.path, event.body("controller", datetime.now(UTC)))
            self._metrics.writes.labels("event", "ok").inc()
        except ApiError as error:
            self._metrics.writes.labels("event", error.reason).inc()
            log.warning("event not told", object=event.subject.name, reason=event.reason, error=str(error))
        finally:
            self._in_flight -= 1
            if not self._waiting and not self._in_flight:
                self._idle.set()
