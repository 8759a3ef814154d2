"""The controller process, put together: which part hears what from which, and when the process is well.

Every part is a task of one group: where one fails, the process ends, and Kubernetes starts it anew.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.controller.event_writer import EventWriter
from baremetal_lb.controller.reconciler import Reconciler
from baremetal_lb.controller.resource_loader import ResourceLoader, Resources
from baremetal_lb.controller.resource_publisher import ResourcePublisher
from baremetal_lb.controller.service_writer import ServiceWriter
from baremetal_lb.health import HealthReport, serve_http
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Watch
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings

SERVICES_PATH = "/api/v1/services"

Follow = Callable[[Callable[[], object], threading.Event], None]

log = structlog.get_logger()


async def run_controller(kubeconfig: Path | None, settings: ControllerSettings) -> None:
    """Assign addresses until SIGTERM or SIGINT; raises where a part fails."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await KubeClient.connect(kubeconfig)
    try:
        controller = Controller(client, settings, partial(follow_with_kopf, client))
        async with serve_http(settings.port, controller.health, controller.registry):
            await controller.run(stop)
    finally:
        await client.close()


def follow_with_kopf(client: KubeClient, on_change: Callable[[], object], stop: threading.Event) -> None:
    """Call `on_change`, in another thread, whenever a resource of ours changes, until `stop` is set."""

    def follow() -> None:
        handlers = import_module("baremetal_lb.controller.handlers")
        handlers.follow_resources(client.configuration, on_change, stop)

    threading.Thread(target=follow, name="kopf", daemon=True).start()


class Controller:
    """The parts of the process and the wires between them.

    `follow` is called once the first assignments are out, with what to call at each change of a resource of ours.
    """

    def __init__(self, client: KubeClient, settings: ControllerSettings, follow: Follow) -> None:
        self.registry = CollectorRegistry()
        self._settings = settings
        self._follow = follow
        self._metrics = ControllerMetrics(self.registry, metadata.version("baremetal-lb"))
        wake = asyncio.Event()
        assigner = Assigner()
        self._events = EventWriter(client, settings, self._metrics, lambda: not self._writer.is_idle)
        self._writer = ServiceWriter(client, assigner, settings, self._metrics, wake=wake, tell=self._events.tell)
        self._reconciler = Reconciler(assigner, self._writer, wake, settings, self._turned)
        self._loader = ResourceLoader(client, settings, self._resources_loaded)
        self._publisher = ResourcePublisher(
            client,
            assigner,
            settings,
            self._metrics,
            tell=self._events.tell,
            reload=self._loader.mark_dirty,
        )
        self._services: Watch[ServiceView] = Watch(
            client,
            SERVICES_PATH,
            parse_service,
            self._reconciler.service_changed,
            on_connection=self._connection_changed,
        )

    def health(self) -> HealthReport:
        """Live while the reconciler turns; ready while it decides on what is true now."""
        if self._reconciler.is_stuck(asyncio.get_running_loop().time()):
            return HealthReport(is_live=False, is_ready=False, detail="the reconciler is stuck")
        if not self._services.synced.is_set():
            return HealthReport(is_live=True, is_ready=False, detail="the Services have not been read yet")
        if not self._services.connected:
            return HealthReport(is_live=True, is_ready=False, detail="cut off from the API server")
        if self._loader.problem:
            return HealthReport(is_live=True, is_ready=False, detail=self._loader.problem)
        return HealthReport(is_live=True, is_ready=True)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let what is on its way arrive."""
        stop_handlers = threading.Event()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._services.run(), name="services"),
                    group.create_task(self._loader.run(), name="loader"),
                    group.create_task(self._reconciler.run(self._services.synced), name="reconciler"),
                    group.create_task(self._publisher.run(self._reconciler.started), name="publisher"),
                    group.create_task(self._follow_resources(stop_handlers), name="handlers"),
                ]
                writers = [
                    group.create_task(self._writer.run(), name="writer"),
                    group.create_task(self._events.run(), name="events"),
                ]
                await stop.wait()
                log.info("stopping")
                for task in tasks:
                    task.cancel()
                await self._drain()
                for task in writers:
                    task.cancel()
        finally:
            stop_handlers.set()

    async def _follow_resources(self, stop: threading.Event) -> None:
        """Start to follow our resources, but let the first assignments go first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.quiet_start_seconds):
                await self._reconciler.caught_up.wait()
        loop = asyncio.get_running_loop()
        self._follow(lambda: loop.call_soon_threadsafe(self._loader.mark_dirty), stop)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_seconds):
                await self._writer.drain()
                await self._events.drain()

    def _turned(self) -> None:
        self._publisher.mark_dirty()

    def _resources_loaded(self, resources: Resources) -> None:
        self._reconciler.set_pools(resources.config.pools)
        self._publisher.take(resources)

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - the signature is kube.watch's
        """Distrust what was heard before the connection was lost."""
        log.info("connected" if connected else "cut off", watch="services")
        self._metrics.watch_reconnects.labels("services").set(self._services.reconnects)
        if connected:
            self._loader.mark_dirty()
