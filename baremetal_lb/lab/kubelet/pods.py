"""All Pods of this node: a worker for each, and an end for whatever an earlier run left of Pods that are gone."""

import asyncio
import shutil
import signal
from pathlib import Path

import structlog

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.lab.container import Container
from baremetal_lb.lab.kubelet.podview import PodKey, PodView, parse_pod
from baremetal_lb.lab.kubelet.runtime import NodeServices
from baremetal_lb.lab.kubelet.worker import PodWorker

KEPT_FOLDERS = 30
"""Folders of deleted Pods whose logs are kept, for whoever asks why; the oldest go first."""

log = structlog.get_logger()


class PodTable:
    """Follows the Pods that are bound to one node. `run` works until it is cancelled; Pods go on then."""

    def __init__(self, services: NodeServices) -> None:
        self._services = services
        self._workers: dict[PodKey, PodWorker] = {}
        self._tasks: dict[PodKey, asyncio.Task[None]] = {}
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._synced = False

    async def run(self, client: KubeClient, node: str) -> None:
        """Follow the API server; raises what broke a worker, since that is our own fault."""
        watch = Watch(client, "/api/v1/pods", parse_pod, self._on_change, field_selector=f"spec.nodeName={node}")
        watching = asyncio.create_task(watch.run())
        await self._services.network.find_existing()
        await watch.synced.wait()
        await self._bury_the_dead()
        self._synced = True
        for worker in list(self._workers.values()):
            self._start(worker)
        done, _ = await asyncio.wait({watching, self._crashed}, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()

    def _on_change(self, key: Key, pod: PodView | None) -> None:
        for worker in list(self._workers.values()):
            same_name = (worker.pod.key.namespace, worker.pod.key.name) == key
            if same_name and (pod is None or pod.key != worker.pod.key):
                worker.update(None)
        if pod is None:
            return
        if pod.key in self._workers:
            self._workers[pod.key].update(pod)
            return
        worker = self._workers[pod.key] = PodWorker(pod, self._services)
        if self._synced:
            self._start(worker)

    def _start(self, worker: PodWorker) -> None:
        key = worker.pod.key
        log.info("pod taken on", pod=str(key), images=[view.image for view in worker.pod.containers])
        task = self._tasks[key] = asyncio.create_task(worker.run())
        task.add_done_callback(lambda task: self._on_end(key, task))

    def _on_end(self, key: PodKey, task: "asyncio.Task[None]") -> None:
        self._workers.pop(key, None)
        self._tasks.pop(key, None)
        if task.cancelled():
            return
        if task.exception() is not None and not self._crashed.done():
            self._crashed.set_exception(task.exception() or RuntimeError("a worker broke"))
        log.info("pod gone", pod=str(key))
        self._prune()

    async def _bury_the_dead(self) -> None:
        """Kill and clean up what is left of Pods that the API server no longer has."""
        for folder in self._folders():
            key = _key_of(folder)
            if key is None or key in self._workers:
                continue
            for directory in folder.glob("containers/*"):
                container = Container.adopt(directory)
                if container is not None:
                    container.send(signal.SIGKILL)
                    await container.wait()
            await self._services.network.remove(key)
            for part in ("volumes", "containers"):
                await asyncio.to_thread(shutil.rmtree, folder / part, ignore_errors=True)
        self._prune()

    def _prune(self) -> None:
        dead = [folder for folder in self._folders() if _key_of(folder) not in self._workers]
        for folder in sorted(dead, key=lambda folder: folder.stat().st_mtime)[:-KEPT_FOLDERS]:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        folder = self._services.pods_folder
        return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []


def _key_of(folder: Path) -> PodKey | None:
    """Read a Pod's key from its folder's name."""
    parts = folder.name.split("_")
    return PodKey(parts[0], parts[1], parts[2]) if len(parts) == 3 else None
