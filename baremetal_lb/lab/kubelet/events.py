"""Events about Pods: what `kubectl describe` shows when a container does not do well."""

import asyncio
import time
from typing import Any, NamedTuple

import structlog

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.lab.kubelet.podview import PodKey
from baremetal_lb.lab.kubelet.status import timestamp

MAX_WAITING = 100
"""Events that wait for the API server; more are dropped, the log has them all."""

MAX_MESSAGE = 1000

log = structlog.get_logger()


class _Event(NamedTuple):
    key: PodKey
    reason: str
    message: str
    at: float


class PodEvents:
    """Posts Events in the background, one at a time."""

    def __init__(self, client: KubeClient, node: str) -> None:
        self._client = client
        self._node = node
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(MAX_WAITING)

    def warn(self, key: PodKey, reason: str, message: str) -> None:
        """Say that something is wrong."""
        self._post(_Event(key, reason, message, time.time()))

    async def run(self) -> None:
        """Post what waits, for ever; an Event that the API server doesn't take is lost."""
        while True:
            event = await self._queue.get()
            try:
                await self._client.create(
                    f"/api/v1/namespaces/{event.key.namespace}/events", _document(event, self._node)
                )
            except ApiError as error:
                log.info("event not posted", pod=str(event.key), reason=event.reason, error=str(error))

    def _post(self, event: _Event) -> None:
        log.info("pod event", pod=str(event.key), reason=event.reason, message=event.message)
        if not self._queue.full():
            self._queue.put_nowait(event)


def _document(event: _Event, node: str) -> dict[str, Any]:
    key = event.key
    pod = {"apiVersion": "v1", "kind": "Pod", "namespace": key.namespace, "name": key.name, "uid": key.uid}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": key.namespace, "name": f"{key.name}.{int(event.at * 1e6):x}"},
        "involvedObject": pod,
        "type": "Warning",
        "reason": event.reason,
        "message": event.message[:MAX_MESSAGE],
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "reportingInstance": node,
        "firstTimestamp": timestamp(event.at),
        "lastTimestamp": timestamp(event.at),
        "count": 1,
    }
