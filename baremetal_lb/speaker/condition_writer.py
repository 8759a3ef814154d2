"""Writes the condition `Announced` of Services: when it says something new, one after the other, never twice at once.

That a node announces is told at once; that nobody does, once that has lasted; what concerns the other nodes only, when
it is an old story. A Service whose condition was just written rests for a while, so that two nodes that see different
things can't keep each other busy.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from baremetal_lb.announce.condition import Urgency, condition_body, urgency
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.kube.client import STRATEGIC_MERGE_PATCH, ApiError, KubeClient
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.service_conditions import ServiceConditions, Wanted
from baremetal_lb.status import timestamp

log = structlog.get_logger()

LOOKS_PER_TURN = 50
"""After this many the event loop gets its turn."""


class Due(NamedTuple):
    """When to look at a Service's condition."""

    due_at: float
    key: ServiceKey


class ConditionSchedule:
    """When each Service's condition is to be written; `delays` are in seconds."""

    def __init__(self, delays: Mapping[Urgency, float], rest_seconds: float) -> None:
        self._delays = delays
        self._rest_seconds = rest_seconds
        self._due: dict[ServiceKey, tuple[float, Urgency]] = {}
        self._resting: dict[ServiceKey, float] = {}
        """Until when, the earliest first."""

    def weighed(self, key: ServiceKey, how: Urgency, now: float) -> bool:
        """Take in how urgent it is; tell whether to write now."""
        due_at, before = self._due.pop(key, (now, Urgency.NONE))
        if how is Urgency.NONE:
            return False
        if how is not before:
            due_at = now + self._delays[how]
        due_at = max(due_at, self._resting.get(key, due_at))
        self._due[key] = due_at, how
        return due_at <= now

    def ended(self, key: ServiceKey, now: float, retry_at: float | None = None) -> None:
        """Take in that it was written, or when to try again."""
        self._due.pop(key, None)
        for one in [one for one, until in self._resting.items() if until <= now]:
            del self._resting[one]
        self._resting[key] = now + self._rest_seconds
        if retry_at is not None:
            self._due[key] = retry_at, Urgency.NOW

    def first(self) -> "Due | None":
        """Name the one that is due next."""
        dues = (Due(at, key) for key, (at, _) in self._due.items())
        return min(dues, default=None)


class ConditionWriter:
    """The task."""

    def __init__(
        self, client: KubeClient, settings: SpeakerSettings, metrics: SpeakerMetrics, conditions: ServiceConditions
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._conditions = conditions
        delays = {
            Urgency.NOW: settings.condition_gather_seconds,
            Urgency.ONCE_SETTLED: settings.settle_seconds,
            Urgency.SOME_TIME: settings.condition_lag_seconds,
        }
        self._schedule = ConditionSchedule(delays, settings.condition_rest_seconds)
        self._is_failing = False

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._wait()
            for number, key in enumerate(self._conditions.take(), 1):
                self._weigh(key)
                if number % LOOKS_PER_TURN == 0:
                    await asyncio.sleep(0)
            first = self._schedule.first()
            if first is None or first.due_at > self._now():
                continue
            wanted = self._weigh(first.key)
            if wanted is not None:
                await self._write(first.key, wanted)
                await asyncio.sleep(1 / self._settings.conditions_per_second)

    async def _wait(self) -> None:
        first = self._schedule.first()
        try:
            async with asyncio.timeout_at(first.due_at if first else None):
                await self._conditions.due.wait()
        except TimeoutError:
            return

    def _weigh(self, key: ServiceKey) -> Wanted | None:
        """Look at a Service anew; give what is to be written now."""
        wanted = self._conditions.wanted(key)
        how = urgency(wanted.told, wanted.verdict) if wanted is not None else Urgency.NONE
        return wanted if self._schedule.weighed(key, how, self._now()) else None

    async def _write(self, key: ServiceKey, wanted: Wanted) -> None:
        """Merge our condition into the others by its type; the uid makes sure that it is the same Service still."""
        body = condition_body(wanted.told, wanted.verdict, timestamp(datetime.now(UTC)))
        patch = {"metadata": {"uid": wanted.uid}, "status": {"conditions": [body]}}
        path = f"/api/v1/namespaces/{key.namespace}/services/{key.name}/status"
        try:
            await self._client.patch(path, patch, content_type=STRATEGIC_MERGE_PATCH)
        except ApiError as error:
            self._metrics.condition_writes.labels("failed").inc()
            self._failed(key, error)
            return
        self._metrics.condition_writes.labels("ok").inc()
        self._is_failing = False
        self._schedule.ended(key, self._now())
        log.info("condition told", service=str(key), status=wanted.verdict.status, reason=wanted.verdict.reason.value)

    def _failed(self, key: ServiceKey, error: ApiError) -> None:
        """What is refused for good is dropped: a Service that is gone, or another one of that name."""
        is_final = error.status in {404, 409}
        retry_at = None if is_final else self._now() + self._settings.condition_rest_seconds
        self._schedule.ended(key, self._now(), retry_at)
        if not is_final and not self._is_failing:
            log.warning("condition not told", service=str(key), error=str(error))
            self._is_failing = True

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
