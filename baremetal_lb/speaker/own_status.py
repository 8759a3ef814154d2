"""This node's SpeakerStatus: written when something changes, seldom enough for all the others that read it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from baremetal_lb.api.base import GROUP, VERSION
from baremetal_lb.api.status import SpeakerStatus
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.settings import SpeakerSettings

log = structlog.get_logger()

COLLECTION = f"/apis/{GROUP}/{VERSION}/{SpeakerStatus.names.plural}"


class OwnStatus:
    """Writes what `statement` gives whenever `due` is set; a write that fails is tried again."""

    def __init__(
        self,
        client: KubeClient,
        settings: SpeakerSettings,
        statement: Callable[[], dict[str, Any]],
        due: asyncio.Event,
    ) -> None:
        self._client = client
        self._settings = settings
        self._statement = statement
        self._due = due
        self._is_failing = False
        self.written = asyncio.Event()
        """Set once this run's first word is there."""

    async def keep(self) -> None:
        """Write for ever."""
        self._due.set()
        while True:
            await self._due.wait()
            await asyncio.sleep(self._settings.status_gather_seconds)
            self._due.clear()
            try:
                await self._write()
            except ApiError as error:
                self._due.set()
                if not self._is_failing:
                    log.warning("speaker status not written", error=str(error))
                self._is_failing = True
            else:
                self._is_failing = False
                self.written.set()
            await asyncio.sleep(self._settings.status_seconds)

    async def say_last(self) -> None:
        """Write once more, or not: the process is about to stop."""
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(self._settings.status_seconds):
                await self._patch()

    async def _write(self) -> None:
        try:
            await self._patch()
        except ApiError as error:
            if error.status != 404:
                raise
            await self._create()
            await self._patch()

    async def _patch(self) -> None:
        await self._client.patch(f"{COLLECTION}/{self._settings.node}/status", {"status": self._statement()})

    async def _create(self) -> None:
        """Make the object; it goes with its Node."""
        name = self._settings.node
        node = await self._client.get(f"/api/v1/nodes/{name}")
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": SpeakerStatus.__name__,
            "metadata": {"name": name, "ownerReferences": [owner]},
        }
        await self._client.create(COLLECTION, body)
