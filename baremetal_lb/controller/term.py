"""What a replica does only while it leads: decide and write. Made anew for each term, so nothing of another is left.

Every write goes through the guard, which asks at the last moment whether this replica still leads.
"""

import asyncio
import contextlib
from collections.abc import Callable

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.quarantine import Conflicts
from baremetal_lb.controller.api import GuardedApi
from baremetal_lb.controller.event_writer import EventWriter
from baremetal_lb.controller.reconciler import Reconciler
from baremetal_lb.controller.resource_loader import Resources
from baremetal_lb.controller.resource_publisher import ResourcePublisher
from baremetal_lb.controller.service_writer import ServiceWriter
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings


class Term:
    """One term of leadership; `reload` has the resources read again, `on_caught_up` is called once all is served."""

    def __init__(
        self,
        api: GuardedApi,
        assigner: Assigner,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        *,
        reload: Callable[[], None],
        on_caught_up: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        wake = asyncio.Event()
        self._events = EventWriter(api, settings, metrics, lambda: not self._writer.is_idle)
        self._writer = ServiceWriter(api, assigner, settings, metrics, wake=wake, tell=self._events.tell)
        self._publisher = ResourcePublisher(api, assigner, settings, metrics, tell=self._events.tell, reload=reload)
        self._reconciler = Reconciler(
            assigner,
            self._writer,
            wake,
            settings,
            on_turn=self._publisher.mark_dirty,
            on_caught_up=on_caught_up,
        )
        self._is_over = asyncio.Event()

    def take(self, resources: Resources) -> None:
        """Work with these resources from now on."""
        self._reconciler.set_config(resources.config)
        self._publisher.take(resources)

    def take_conflicts(self, conflicts: Conflicts) -> None:
        """Work with these conflicts with foreign hosts from now on."""
        self._publisher.take_conflicts(conflicts)

    def wake(self) -> None:
        """Have looked at what changed."""
        self._reconciler.wake()

    def is_stuck(self, now: float) -> bool:
        """Whether it has not decided anything for too long."""
        return self._reconciler.is_stuck(now)

    async def run(self, *, fence: bool) -> None:
        """Lead until cancelled, or until `resign`; raises where a part fails."""
        try:
            async with asyncio.TaskGroup() as group:
                deciding = [
                    group.create_task(self._reconciler.run(fence=fence), name="reconciler"),
                    group.create_task(self._publisher.run(self._reconciler.started), name="publisher"),
                ]
                writing = [
                    group.create_task(self._writer.run(), name="writer"),
                    group.create_task(self._events.run(), name="events"),
                ]
                await self._is_over.wait()
                for task in deciding:
                    task.cancel()
                await self._drain()
                for task in writing:
                    task.cancel()
        finally:
            self._metrics.forget_decisions()

    def resign(self) -> None:
        """Decide nothing more, let arrive what is on its way, and end the term."""
        self._is_over.set()

    @property
    def has_landed(self) -> bool:
        """Whether every status that was sent was answered, so that nothing of ours can arrive later."""
        return self._writer.has_landed

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_seconds):
                await self._writer.drain()
                await self._events.drain()
