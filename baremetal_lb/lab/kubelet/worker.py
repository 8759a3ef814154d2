"""One Pod's life on this node: its network and volumes, its containers in order, its status, and its end."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

import structlog

from baremetal_lb.kube.client import ApiError
from baremetal_lb.lab.kubelet.environment import ConfigError, Place
from baremetal_lb.lab.kubelet.life import ContainerLife, Surroundings
from baremetal_lb.lab.kubelet.network import NetworkError
from baremetal_lb.lab.kubelet.node import STRATEGIC_MERGE
from baremetal_lb.lab.kubelet.podview import ContainerView, PodView, RestartPolicy
from baremetal_lb.lab.kubelet.runtime import NodeServices, prepare
from baremetal_lb.lab.kubelet.status import PodReport, pod_status, setup_policy, stopped

SETUP_RETRY_SECONDS = 2.0
REPORT_RETRY_SECONDS = 2.0
VOLUME_REFRESH_SECONDS = 10.0
"""A changed Secret or ConfigMap is in the files after this long at most."""

FINAL_PHASES = {"Succeeded", "Failed"}

log = structlog.get_logger()


class PodWorker:
    """Keeps one Pod as the API server wants it, until it is gone. `run` ends when nothing of it is left here."""

    def __init__(self, pod: PodView, services: NodeServices) -> None:
        self.pod = pod
        self._services = services
        self._addresses: tuple[str, ...] = ()
        self._has_network = False
        self._is_set_up = False
        self._started_at = pod.started_at or time.time()
        self._ending = asyncio.Event()
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._finished = False
        self._conditions = list(pod.status.get("conditions") or ())
        self._sent: dict[str, Any] = {}
        self._setup = [self._life_of(view, setup_policy(pod.restart_policy)) for view in pod.setup_containers]
        self._main = [self._life_of(view, pod.restart_policy) for view in pod.containers]

    def update(self, pod: PodView | None) -> None:
        """Take over what the API server says now; None: the object is gone, and so must be all of it here."""
        if pod is None:
            self._gone.set()
            self._ending.set()
            for life in self._lives():
                life.kill()
            return
        before, self.pod = self.pod, pod
        if pod.grace_seconds is not None:
            self._ending.set()
            if before.grace_seconds is not None and pod.grace_seconds < before.grace_seconds:
                self._hurry.set()
        self._changed.set()

    async def run(self) -> None:
        """Live, report, and when it is time end and clean up."""
        if self.pod.grace_seconds is not None:
            self._ending.set()
        self._recall()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(self._live())
            others = [
                tasks.create_task(work)
                for work in (self._report_for_ever(), self._refresh_volumes(), self._kill_in_a_hurry())
            ]
            await self._ending.wait()
            await self._end(living)
            for task in others:
                task.cancel()
        await self._say_farewell()

    def _recall(self) -> None:
        """Take up what an earlier kubelet left, before anything is reported: no status flaps because of us."""
        self._addresses = self._services.network.find(self.pod.key) or ()
        self._has_network = bool(self._place().pod_addresses)
        for life in self._lives():
            life.recall()

    def _life_of(self, view: ContainerView, policy: RestartPolicy) -> ContainerLife:
        folder = self._services.container_folder(self.pod.key, view.name)
        surroundings = Surroundings(
            prepare=lambda view: prepare(self._services, self.pod, view, self._place()),
            address=lambda: "".join(self._place().pod_addresses[:1]),
            on_change=self._changed.set,
            warn=lambda reason, message: self._services.events.warn(self.pod.key, reason, message),
            grace_seconds=self.pod.default_grace_seconds,
        )
        return ContainerLife(view, policy, folder, self.pod.last_status_of(view.name), surroundings)

    async def _live(self) -> None:
        """Set up, run the init containers one by one, then the others together."""
        if self.pod.phase in FINAL_PHASES or not await self._set_up():
            return
        for life in self._setup:
            await life.run()
            if life.report.code != 0:
                return
        await asyncio.gather(*(life.run() for life in self._main))

    async def _set_up(self) -> bool:
        """Make network and volumes, however long it takes; False where the Pod has to end before."""
        self._services.folder_of(self.pod.key).mkdir(parents=True, exist_ok=True)
        while not self._ending.is_set():
            try:
                await self._ensure_network()
                await self._services.volumes_of(self.pod.key, self._place()).refresh(self.pod)
                self._is_set_up = True
                return True
            except NetworkError as error:
                self._services.events.warn(self.pod.key, "FailedCreatePodSandBox", str(error))
            except (ConfigError, OSError) as error:
                self._services.events.warn(self.pod.key, "FailedMount", f"MountVolume.SetUp failed: {error}")
            except ApiError as error:
                log.warning("volumes wait for the API server", pod=str(self.pod.key), error=str(error))
            await self._pause(SETUP_RETRY_SECONDS)
        return False

    async def _ensure_network(self) -> None:
        if not self.pod.host_network:
            self._addresses = await self._services.network.ensure(self.pod.key)
        self._has_network = True
        self._changed.set()

    async def _refresh_volumes(self) -> None:
        """Bring volumes up to date from time to time; a failure leaves the files as they are."""
        while True:
            await asyncio.sleep(VOLUME_REFRESH_SECONDS)
            if not self._is_set_up:
                continue
            try:
                await self._services.volumes_of(self.pod.key, self._place()).refresh(self.pod)
            except (ApiError, ConfigError, OSError) as error:
                log.warning("volumes not refreshed", pod=str(self.pod.key), error=str(error))

    async def _end(self, living: asyncio.Task[None]) -> None:
        """Stop every container within the grace period and take the network away."""
        grace_seconds = 0.0 if self._gone.is_set() else self.pod.grace_seconds or 0.0
        await asyncio.gather(*(life.stop(grace_seconds) for life in self._lives()))
        await living
        self._finished = True
        if not self.pod.host_network:
            await self._services.network.remove(self.pod.key)

    async def _say_farewell(self) -> None:
        """Send the last status, delete the object, and leave nothing here but the logs."""
        while not self._gone.is_set():
            try:
                await self._send_last_status()
                await self._delete_object()
                break
            except ApiError as error:
                if error.status in {404, 409}:
                    break
                log.warning("pod not deleted yet", pod=str(self.pod.key), error=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), REPORT_RETRY_SECONDS)
        self._services.source.forget(self.pod.key)
        folder = self._services.folder_of(self.pod.key)
        for part in ("volumes", "containers"):
            await asyncio.to_thread(shutil.rmtree, folder / part, ignore_errors=True)

    async def _send_last_status(self) -> None:
        """Send it, unless the API server is at odds about it: whether the object is still ours its deletion shows."""
        try:
            await self._send_status()
        except ApiError as error:
            if error.status != 409:
                raise

    async def _delete_object(self) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.key.uid}}
        await self._services.client.delete(self.pod.key.path, options)
        log.info("pod deleted", pod=str(self.pod.key))

    async def _report_for_ever(self) -> None:
        """Send the status after each change; while the API server is away, the newest waits."""
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._send_status()
            except ApiError as error:
                log.warning("status not sent", pod=str(self.pod.key), error=str(error))
                self._changed.set()
                await asyncio.sleep(REPORT_RETRY_SECONDS)

    async def _send_status(self) -> None:
        """Send the status if it changed; a final phase that the API server has is never taken back."""
        if self.pod.phase in FINAL_PHASES:
            return
        report = self._report()
        document = pod_status(report, self._conditions, time.time())
        if document == self._sent:
            return
        body = {"metadata": {"uid": self.pod.key.uid}, "status": document}
        await self._services.client.patch(f"{self.pod.key.path}/status", body, content_type=STRATEGIC_MERGE)
        self._sent, self._conditions = document, document["conditions"]

    def _report(self) -> PodReport:
        setup, main = (tuple(life.report for life in lives) for lives in (self._setup, self._main))
        if self._finished:
            setup, main = tuple(map(stopped, setup)), tuple(map(stopped, main))
        return PodReport(
            self.pod,
            self._place(),
            setup,
            main,
            started_at=self._started_at,
            has_network=self._has_network and not self._finished,
            finished=self._finished,
        )

    def _place(self) -> Place:
        return self._services.place_of(self.pod, self._addresses)

    def _lives(self) -> Iterator[ContainerLife]:
        yield from self._setup
        yield from self._main

    async def _kill_in_a_hurry(self) -> None:
        """Once a shorter grace period is set for a Pod that is ending already, let it count."""
        await self._hurry.wait()
        await asyncio.sleep(self.pod.grace_seconds or 0.0)
        for life in self._lives():
            life.kill()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)
