"""One container's life: started, probed, started again after its end with a growing pause, and stopped at last.

It goes on without the API server; only what a start needs from there (Secrets, tokens) has to wait. A restarted
kubelet finds the container running, or how it ended meanwhile, and goes on from there.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baremetal_lb.kube.client import ApiError
from baremetal_lb.lab.container import Container, ContainerSpec, Exit, StartFailed, last_exit, lost_exit
from baremetal_lb.lab.images import find_image
from baremetal_lb.lab.kubelet.backoff import Backoff, after_run
from baremetal_lb.lab.kubelet.environment import ConfigError
from baremetal_lb.lab.kubelet.health import Health, end_gracefully
from baremetal_lb.lab.kubelet.podview import ContainerView, Raw, RestartPolicy
from baremetal_lb.lab.kubelet.probes import Prober
from baremetal_lb.lab.kubelet.runtime import ImageNotFound
from baremetal_lb.lab.kubelet.status import ContainerReport, Running, State, Terminated, Waiting, restarts

RETRY_SECONDS = 5.0
"""The pause after a start that was not even tried: an object or an image is missing, or the API server is away."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's life needs of its Pod. `on_change` is called after each change of a report."""

    prepare: Callable[[ContainerView], Awaitable[ContainerSpec]]
    address: Callable[[], str]
    on_change: Callable[[], None]
    warn: Callable[[str, str], None]
    grace_seconds: float


class ContainerLife:
    """One container of one Pod. `report` is always up to date; `earlier` is the API server's last word on it."""

    def __init__(
        self, view: ContainerView, policy: RestartPolicy, folder: Path, earlier: Raw, pod: Surroundings
    ) -> None:
        self._view = view
        self._policy = policy
        self._folder = folder
        self._earlier = earlier
        self._pod = pod
        self._container: Container | None = None
        self._inherited: Container | None = None
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.report = ContainerReport(view.name, view.image, restarts=int(earlier.get("restartCount", 0)))

    def recall(self) -> None:
        """Find what an earlier kubelet left: a running container, or how it ended. Comes before anything else."""
        self._inherited = Container.adopt(self._folder)
        if self._inherited is not None:
            started, passed = bool(self._earlier.get("started")), bool(self._earlier.get("ready"))
            self._set(state=Running(self._inherited.started_at), started=started, passed=passed)
            return
        exit_ = last_exit(self._folder) or lost_exit(self._folder)
        if exit_ is not None:
            self._set(state=_terminated(exit_))

    async def run(self) -> None:
        """Live until the end that is no more followed by a start."""
        backoff = Backoff()
        ended = self.report.state if isinstance(self.report.state, Terminated) else None
        if self._inherited is not None:
            container, self._inherited = self._inherited, None
            ended = await self._live_with(container, started=self.report.started, passed=self.report.passed)
        while ended is not None or not self._stopping.is_set():
            ended = ended or await self._run_once()
            if ended is None:
                return
            if self._stopping.is_set() or not restarts(self._policy, ended.code):
                self._set(state=ended, started=False, passed=False)
                return
            backoff = after_run(backoff, ended.finished_at - ended.started_at)
            await self._pause_before_restart(ended, backoff.seconds)
            backoff, ended = backoff.next(), None

    async def stop(self, grace_seconds: float) -> None:
        """End it for good: hook, signal, and after the grace period force. Never starts again.

        That counts for an earlier kubelet's container as well that `run` had no time to take on.
        """
        self._stopping.set()
        if self._container is not None:
            await self._end(self._container, grace_seconds)
        await self._idle.wait()
        if self._inherited is not None:
            end = asyncio.create_task(self._inherited.wait())
            await self._end(self._inherited, grace_seconds)
            self._set(state=_terminated(await end))

    def kill(self) -> None:
        """End it for good at once."""
        self._stopping.set()
        for container in (self._container, self._inherited):
            if container is not None:
                container.kill()

    async def _run_once(self) -> Terminated | None:
        """Start it and stay to its end; None where it was stopped before it could start."""
        self._idle.clear()
        try:
            container = await self._start_when_possible()
            if container is None:
                return None
            return await self._live_with(container, started=False, passed=False)
        except (StartFailed, OSError) as failure:
            self._pod.warn("Failed", f"Error: {failure}")
            now = time.time()
            return Terminated(128, now, now, "StartError", str(failure))
        finally:
            self._idle.set()

    async def _start_when_possible(self) -> Container | None:
        while not self._stopping.is_set():
            try:
                return await Container.start(await self._pod.prepare(self._view))
            except ImageNotFound as error:
                self._wait_because(_pull_reason(self.report.state), str(error))
            except ConfigError as error:
                self._wait_because("CreateContainerConfigError", str(error))
            except ApiError as error:
                self._set(state=Waiting("ContainerCreating", str(error)))
            await self._pause(RETRY_SECONDS)
        return None

    async def _live_with(self, container: Container, *, started: bool, passed: bool) -> Terminated:
        self._container = container
        self._idle.clear()
        self._set(state=Running(container.started_at), started=started, passed=passed)
        if self._stopping.is_set():
            container.kill()
        health = asyncio.create_task(self._health(container).run(started=started, passed=passed))
        try:
            return _terminated(await container.wait())
        finally:
            self._container = None
            health.cancel()
            with suppress(asyncio.CancelledError):
                await health
            self._idle.set()

    def _health(self, container: Container) -> Health:
        return Health(
            self._view,
            Prober(container, self._pod.address(), self._view.ports),
            on_result=self._set,
            restart=lambda: self._end(container, self._pod.grace_seconds),
            warn=self._pod.warn,
            stopping=self._stopping.is_set,
        )

    async def _end(self, container: Container, grace_seconds: float) -> None:
        image = find_image(self._view.image)
        number = signal.SIGTERM if image is None else image.stop_signal
        prober = Prober(container, self._pod.address(), self._view.ports)
        await end_gracefully(prober, self._view.before_stop, number, grace_seconds)

    async def _pause_before_restart(self, ended: Terminated, seconds: float) -> None:
        self._set(last=ended, started=False, passed=False)
        if seconds:
            text = f"back-off {seconds:.0f}s restarting failed container={self.report.name}"
            self._wait_because("CrashLoopBackOff", text)
            await self._pause(seconds)
        if self._stopping.is_set():
            self._set(state=ended, last=None)
        else:
            self._set(restarts=self.report.restarts + 1)

    def _wait_because(self, reason: str, message: str) -> None:
        if self.report.state != Waiting(reason, message):
            self._pod.warn("BackOff" if reason == "CrashLoopBackOff" else "Failed", f"{reason}: {message}")
        self._set(state=Waiting(reason, message))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _set(self, **changes: Any) -> None:
        report = replace(self.report, **changes)
        if report != self.report:
            self.report = report
            self._pod.on_change()


def _pull_reason(state: State) -> str:
    """Word a missing image as Kubernetes does: first the failure, then waiting for a better day."""
    seen = isinstance(state, Waiting) and state.reason in {"ErrImagePull", "ImagePullBackOff"}
    return "ImagePullBackOff" if seen else "ErrImagePull"


def _terminated(exit_: Exit) -> Terminated:
    return Terminated(exit_.code, exit_.started_at, exit_.at)
