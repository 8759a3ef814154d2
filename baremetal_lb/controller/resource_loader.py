"""Reads our own resources, always as a whole, and compiles them.

Whoever hears of a change (kopf, a watch that came back, a timer) marks this dirty, and everything is listed anew. So an
event that was missed, or one that came twice, can do no harm.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from baremetal_lb.api.base import GROUP, VERSION, CustomResource
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.config.compile import NOTHING_KNOWN, compile_config
from baremetal_lb.config.model import Config, Surroundings
from baremetal_lb.config.problems import Problem
from baremetal_lb.controller.api import ApiWriter
from baremetal_lb.controller.surroundings_reader import SurroundingsReader
from baremetal_lb.kube.client import ApiError
from baremetal_lb.settings import ControllerSettings

KINDS: tuple[type[CustomResource], ...] = (IPAddressPool, IPAddressClaim, L2Advertisement)
"""The custom resources that the controller reads."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resources:
    """Our resources as they were at one moment: as written, by kind, and compiled."""

    raw: Mapping[str, tuple[Mapping[str, Any], ...]]
    config: Config
    problems: tuple[Problem, ...]
    surroundings: Surroundings = NOTHING_KNOWN


def collection_path(plural: str) -> str:
    """Where the objects of a kind of ours are."""
    return f"/apis/{GROUP}/{VERSION}/{plural}"


class ResourceLoader:
    """Calls `on_loaded` with all resources: at once, whenever it was marked dirty, and every so often."""

    def __init__(self, client: ApiWriter, settings: ControllerSettings, on_loaded: Callable[[Resources], None]) -> None:
        self._client = client
        self._surroundings = SurroundingsReader(client, settings.relist_seconds)
        self._settings = settings
        self._on_loaded = on_loaded
        self._dirty = asyncio.Event()
        self.problem = "the resources have not been read yet"
        """Why the resources are unknown or out of date; empty where they are not."""

    def mark_dirty(self) -> None:
        """Have the resources read again."""
        self._dirty.set()

    async def run(self) -> None:
        """Load for ever."""
        backoff = self._settings.first_backoff_seconds
        while True:
            self._dirty.clear()
            try:
                resources = await self._load()
            except ApiError as error:
                self.problem = f"the resources cannot be read: {error}"
                log.warning("resources not read", error=str(error), retry_seconds=backoff)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, self._settings.last_backoff_seconds)
                continue
            self.problem = ""
            backoff = self._settings.first_backoff_seconds
            self._on_loaded(resources)
            await self._wait()

    async def _load(self) -> Resources:
        surroundings = await self._surroundings.read()
        lists = await asyncio.gather(*(self._client.get(collection_path(kind.names.plural)) for kind in KINDS))
        raw = {kind.__name__: tuple(one["items"]) for kind, one in zip(KINDS, lists, strict=True)}
        config, problems = compile_config(
            raw[IPAddressPool.__name__], raw[L2Advertisement.__name__], raw[IPAddressClaim.__name__], surroundings
        )
        return Resources(raw, config, problems, surroundings)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._settings.relist_seconds):
                await self._dirty.wait()
        except TimeoutError:
            return
