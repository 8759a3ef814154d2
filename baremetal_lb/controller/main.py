"""The controller process, put together: which part hears what from which, and when the process is well.

Every replica follows the cluster, so that it could lead at any moment; what only the leader does is a `Term`. Every
part is a task of one group: where one fails, the process ends, and Kubernetes starts it anew.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.api.status import SpeakerStatus
from baremetal_lb.cluster.namespace import NamespaceView, parse_namespace
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.controller.api import GuardedApi
from baremetal_lb.controller.certificate_keeper import CertificateKeeper
from baremetal_lb.controller.conflict_reports import ConflictReports, NodeReport, parse_report
from baremetal_lb.controller.leadership import Candidate
from baremetal_lb.controller.resource_loader import ResourceLoader, Resources, collection_path
from baremetal_lb.controller.term import Term
from baremetal_lb.controller.webhook import Webhook
from baremetal_lb.health import HealthReport, serve_http
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.settings import ControllerSettings

SERVICES_PATH = "/api/v1/services"
NAMESPACES_PATH = "/api/v1/namespaces"

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
        identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        controller = Controller(client, settings, identity, lambda *call: follow_with_kopf(client, webhook, *call))
        webhook = Webhook(settings.webhook_port, loop, controller.known)
        keeper = CertificateKeeper(client, settings, webhook.certificate.use)
        async with serve_http(settings.port, controller.health, controller.registry), asyncio.TaskGroup() as group:
            keeping = group.create_task(keeper.run(), name="certificate")
            await controller.run(stop)
            keeping.cancel()
    finally:
        await client.close()


def follow_with_kopf(
    client: KubeClient, webhook: Webhook, on_change: Callable[[], object], stop: threading.Event
) -> None:
    """Call `on_change`, in another thread, whenever a resource of ours changes, and serve the webhook, until `stop`."""

    def follow() -> None:
        handlers = import_module("baremetal_lb.controller.handlers")
        handlers.follow_resources(client.login, on_change, stop, webhook)

    threading.Thread(target=follow, name="kopf", daemon=True).start()


class Controller:
    """The parts of the process and the wires between them; `identity` names this run of it.

    `follow` is called once the first assignments are out, with what to call at each change of a resource of ours.
    """

    def __init__(self, client: KubeClient, settings: ControllerSettings, identity: str, follow: Follow) -> None:
        self.registry = CollectorRegistry()
        self._settings = settings
        self._follow = follow
        self._metrics = ControllerMetrics(self.registry, metadata.version("baremetal-lb"))
        self._assigner = Assigner()
        self._known = Known()
        self._candidate = Candidate(
            client, settings, identity, self._metrics, on_lead=self._lead, on_stand_down=self._stand_down
        )
        self._api = GuardedApi(client, self._candidate.may_write)
        self._loader = ResourceLoader(client, settings, self._resources_loaded)
        self._namespaces = Watch(client, NAMESPACES_PATH, parse_namespace, self._namespace_changed)
        self._services = Watch(
            client, SERVICES_PATH, parse_service, self._service_changed, on_connection=self._connection_changed
        )
        self._speakers = Watch(client, collection_path(SpeakerStatus.names.plural), parse_report, self._speaker_heard)
        self._reports = ConflictReports()
        self._resources: Resources | None = None
        self._resources_known = asyncio.Event()
        self._is_warm = asyncio.Event()
        """Everything has been read, so that this replica could lead."""
        self._is_calm = asyncio.Event()
        """What was pending at the start has been decided and written, or is another replica's to do."""
        self._parts = asyncio.TaskGroup()
        self._leading: asyncio.Task[None] | None = None
        self._term: Term | None = None

    def health(self) -> HealthReport:
        """Live while a leader's reconciler turns; ready while it is known what is true now, leader or not."""
        if self._term and self._term.is_stuck(asyncio.get_running_loop().time()):
            return HealthReport(is_live=False, is_ready=False, detail="the reconciler is stuck")
        if not self._services.synced.is_set():
            return HealthReport(is_live=True, is_ready=False, detail="the Services have not been read yet")
        if not self._services.connected:
            return HealthReport(is_live=True, is_ready=False, detail="cut off from the API server")
        if self._loader.problem:
            return HealthReport(is_live=True, is_ready=False, detail=self._loader.problem)
        return HealthReport(is_live=True, is_ready=True)

    def known(self) -> Known | None:
        """What the webhook judges by, on every replica; None before everything has been read."""
        return self._known if self._is_warm.is_set() else None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let what is on its way arrive, and hand over."""
        stop_handlers = threading.Event()
        try:
            async with self._parts as parts:
                tasks = [
                    parts.create_task(self._services.run(), name="services"),
                    parts.create_task(self._namespaces.run(), name="namespaces"),
                    parts.create_task(self._speakers.run(), name="speakers"),
                    parts.create_task(self._loader.run(), name="loader"),
                    parts.create_task(self._warm_up(), name="warm-up"),
                    parts.create_task(self._follow_resources(stop_handlers), name="handlers"),
                ]
                candidacy = parts.create_task(self._candidate.run(self._is_warm), name="candidate")
                await stop.wait()
                log.info("stopping")
                for task in tasks:
                    task.cancel()
                has_landed = await self._resign()
                candidacy.cancel()
                if has_landed:
                    await self._candidate.release()
        finally:
            stop_handlers.set()

    async def _warm_up(self) -> None:
        await self._services.synced.wait()
        await self._namespaces.synced.wait()
        await self._speakers.synced.wait()
        await self._resources_known.wait()
        self._is_warm.set()
        log.info("following", services=len(self._assigner.entries), leader=self._candidate.leader)
        if self._candidate.leader:
            self._is_calm.set()

    async def _follow_resources(self, stop: threading.Event) -> None:
        """Start to follow our resources, but let the first assignments go first, unless another replica leads."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.quiet_start_seconds):
                await self._is_warm.wait()
                if self._leading or not self._candidate.leader:
                    await self._is_calm.wait()
        loop = asyncio.get_running_loop()
        self._follow(lambda: loop.call_soon_threadsafe(self._loader.mark_dirty), stop)

    def _lead(self, fence: bool) -> None:  # noqa: FBT001 - the signature is controller.leadership's
        self._leading = self._parts.create_task(self._serve(self._leading, fence=fence), name="term")

    def _stand_down(self) -> None:
        assert self._leading is not None
        self._leading.cancel()

    async def _serve(self, before: asyncio.Task[None] | None, *, fence: bool) -> None:
        """Serve a term, once the one before is over and everything that the last leader wrote is known."""
        if before is not None:
            await asyncio.wait([before])
        self._resources_known.clear()
        self._loader.mark_dirty()
        await self._services.relist()
        await self._resources_known.wait()
        self._term = Term(
            self._api,
            self._assigner,
            self._settings,
            self._metrics,
            reload=self._loader.mark_dirty,
            on_caught_up=self._is_calm.set,
        )
        try:
            assert self._resources is not None
            self._term.take(self._resources)
            self._term.take_conflicts(self._reports.conflicts)
            await self._term.run(fence=fence)
        finally:
            self._term = None

    async def _resign(self) -> bool:
        """End the term, if there is one; tell whether nothing that it sent can arrive later."""
        if self._leading is None:
            return True
        term = self._term
        if term is None:
            self._leading.cancel()
        else:
            term.resign()
        await asyncio.wait([self._leading])
        return term is None or term.has_landed

    def _resources_loaded(self, resources: Resources) -> None:
        self._resources = resources
        self._resources_known.set()
        self._known.resources_changed(
            pools=resources.raw[IPAddressPool.__name__],
            claims=resources.raw[IPAddressClaim.__name__],
            config=resources.config,
            surroundings=resources.surroundings,
        )
        if self._term:
            self._term.take(resources)

    def _service_changed(self, key: Key, view: ServiceView | None) -> None:
        service = ServiceKey(*key)
        self._assigner.service_changed(service, view, asyncio.get_running_loop().time())
        entry = self._assigner.entries.get(service)
        self._known.service_changed(service, Neighbour(entry.view, entry.request) if entry else None)
        self._wake_term()

    def _namespace_changed(self, key: Key, view: NamespaceView | None) -> None:
        self._assigner.namespace_changed(key[1], view)
        self._known.namespace_changed(key[1], view)
        self._wake_term()

    def _speaker_heard(self, key: Key, report: NodeReport | None) -> None:
        if self._reports.heard(key[1], report) and self._term:
            self._term.take_conflicts(self._reports.conflicts)

    def _wake_term(self) -> None:
        if self._term:
            self._term.wake()

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - the signature is kube.watch's
        """Distrust what was heard before the connection was lost."""
        log.info("connected" if connected else "cut off", watch="services")
        self._metrics.watch_reconnects.labels("services").set(self._services.reconnects)
        if connected:
            self._loader.mark_dirty()
