"""Writes what was decided to the statuses of Services: many at once, never two at once for one Service.

A patch is built at the moment it is sent, from the newest view and the newest outcome, and it names the resourceVersion
it was built on. So a conflict means that news is on the way, and the answer to it is to wait for that.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from baremetal_lb.allocator.allocate import Outcome
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.entry import Entry, version_of
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.controller.api import ApiWriter, NotLeadingError
from baremetal_lb.events import Event, Subject
from baremetal_lb.kube.client import ApiError
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import ControllerSettings
from baremetal_lb.status import says_something_new, service_patch

log = structlog.get_logger()


class ServiceWriter:
    """A queue of Services whose status must be written, and the writers that work it off.

    `wake` is set after each write, since it may free the Service for another decision; `tell` takes the Events.
    """

    def __init__(
        self,
        client: ApiWriter,
        assigner: Assigner,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        *,
        wake: asyncio.Event,
        tell: Callable[[Event], None],
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._settings = settings
        self._metrics = metrics
        self._wake = wake
        self._tell = tell
        self._queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._queued: set[ServiceKey] = set()
        self._failures: Counter[ServiceKey] = Counter()
        self._in_flight = 0
        self._unknown: set[ServiceKey] = set()
        """Whose last write may still arrive: no answer came, or one that does not tell."""
        self._retries: dict[int, tuple[asyncio.TimerHandle, Entry]] = {}
        """By the entry's identity: a Service that was made anew is another entry."""
        self._landed = asyncio.Event()
        self._landed.set()

    @property
    def is_idle(self) -> bool:
        """Whether every submitted status was sent and answered."""
        return not self._queued and not self._in_flight

    @property
    def has_landed(self) -> bool:
        """Whether nothing of ours can arrive later than now."""
        return not self._in_flight and not self._unknown

    def submit(self, entry: Entry) -> None:
        """Have the entry's outcome written, unless its status says it already."""
        if entry.key in self._queued or self._patch(entry) is None:
            return
        self._queued.add(entry.key)
        self._queue.put_nowait(entry)

    async def run(self) -> None:
        """Write until cancelled; then no entry waits for a write of ours any more."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.patches_in_flight):
                    group.create_task(self._write_all())
        finally:
            for timer, entry in self._retries.values():
                timer.cancel()
                self._assigner.write_ended(entry)

    async def drain(self) -> None:
        """Send nothing more, and wait until what is on its way was answered."""
        while not self._queue.empty():
            self._queued.discard(self._queue.get_nowait().key)
        await self._landed.wait()

    async def _write_all(self) -> None:
        while True:
            entry = await self._queue.get()
            self._queued.discard(entry.key)
            if self._assigner.entries.get(entry.key) is not entry or not self._assigner.is_decided(entry):
                continue
            if patch := self._patch(entry):
                await self._write(entry, patch)

    async def _write(self, entry: Entry, patch: Mapping[str, Any]) -> None:
        view, outcome, lost, changed_at = entry.view, entry.outcome, entry.lost, entry.changed_at
        self._assigner.write_begun(entry)
        self._in_flight += 1
        self._landed.clear()
        try:
            answer = await self._client.patch(_status_path(entry.key), patch)
        except NotLeadingError:
            self._assigner.write_ended(entry)
            return
        except ApiError as error:
            self._metrics.writes.labels("service", error.reason).inc()
            self._failed(entry, view, error)
        except asyncio.CancelledError:
            self._unknown.add(entry.key)
            self._assigner.write_ended(entry)
            raise
        else:
            self._metrics.writes.labels("service", "ok").inc()
            self._failures.pop(entry.key, None)
            self._unknown.discard(entry.key)
            self._assigner.write_ended(entry, int(answer["metadata"]["resourceVersion"]))
            self._report(view, outcome, lost, changed_at)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._landed.set()
        self._wake.set()

    def _failed(self, entry: Entry, view: ServiceView, error: ApiError) -> None:
        if 400 <= error.status < 500:
            self._unknown.discard(entry.key)
        else:
            self._unknown.add(entry.key)
        if error.status == 409:
            self._assigner.write_ended(entry, version_of(view) + 1)
            return
        if error.status == 404:
            if self._assigner.entries.get(entry.key) is entry:
                self._assigner.service_changed(entry.key, None, entry.changed_at)
            return
        self._failures[entry.key] += 1
        delay = self._backoff(self._failures[entry.key])
        log.warning("status not written", service=str(entry.key), error=str(error), retry_seconds=delay)
        timer = asyncio.get_running_loop().call_later(delay, self._retry, entry)
        self._retries[id(entry)] = timer, entry

    def _backoff(self, failures: int) -> float:
        return min(self._settings.first_backoff_seconds * 2.0 ** (failures - 1), self._settings.last_backoff_seconds)

    def _retry(self, entry: Entry) -> None:
        del self._retries[id(entry)]
        self._assigner.write_ended(entry)
        self._wake.set()

    def _report(self, view: ServiceView, outcome: Outcome | None, lost: Refusal | None, changed_at: float) -> None:
        """Say in the log, the Events and the metrics what was written."""
        if lost is not None:
            self._metrics.addresses_left.labels(lost.reason).inc()
            log.warning("address lost", service=str(view.key), reason=lost.reason, message=lost.message)
            self._tell(Event(_subject(view), lost.reason, lost.message))
        if outcome is None:
            log.info("service released", service=str(view.key), reason=Reason.RELEASED)
            return
        if not isinstance(outcome, Refusal) and set(outcome.addresses) - set(view.ingress):
            self._metrics.allocation_seconds.observe(asyncio.get_running_loop().time() - changed_at)
        if says_something_new(view, outcome, lost):
            log.info("service decided", service=str(view.key), reason=outcome.reason, message=outcome.message)
            self._tell(Event(_subject(view), outcome.reason, outcome.message))

    def _patch(self, entry: Entry) -> dict[str, Any] | None:
        return service_patch(entry.view, entry.outcome, datetime.now(UTC))


def _status_path(key: ServiceKey) -> str:
    return f"/api/v1/namespaces/{key.namespace}/services/{key.name}/status"


def _subject(view: ServiceView) -> Subject:
    return Subject("v1", "Service", view.key.namespace, view.key.name, view.uid)
