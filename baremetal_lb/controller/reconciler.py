"""The task that decides: woken by whatever changed, it recomputes, and hands what must be written to the writer.

Callbacks of watches, writers and timers record what happened, each in one synchronous step, and set `wake`; nobody else
decides. Nothing is decided before every Service and every pool is known.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.config.model import Pool
from baremetal_lb.controller.service_writer import ServiceWriter
from baremetal_lb.settings import ControllerSettings

LONGEST_SLEEP_SECONDS = 5.0
"""It turns this often even where nothing happens, to show that it is alive."""

log = structlog.get_logger()


class Reconciler:
    """Drives the assigner; `on_turn` is called after each turn."""

    def __init__(
        self,
        assigner: Assigner,
        writer: ServiceWriter,
        wake: asyncio.Event,
        settings: ControllerSettings,
        on_turn: Callable[[], None],
    ) -> None:
        self._assigner = assigner
        self._writer = writer
        self._wake = wake
        self._settings = settings
        self._on_turn = on_turn
        self._pools: tuple[Pool, ...] | None = None
        self._pools_known = asyncio.Event()
        self._turned_at: float | None = None
        self.started = asyncio.Event()
        """Set once it is known who holds what."""
        self.caught_up = asyncio.Event()
        """Set once everything that was pending at the start has been decided and written."""

    def is_stuck(self, now: float) -> bool:
        """Whether it has not turned for too long."""
        return self._turned_at is not None and now - self._turned_at > self._settings.stale_seconds

    def service_changed(self, key: tuple[str, str], view: ServiceView | None) -> None:
        """Take in what the watch shows."""
        self._assigner.service_changed(ServiceKey(*key), view, asyncio.get_running_loop().time())
        self._wake.set()

    def set_pools(self, pools: Iterable[Pool]) -> None:
        """Take in the valid pools."""
        before, self._pools = self._pools, tuple(pools)
        if self.started.is_set() and self._pools != before:
            self._assigner.set_pools(self._pools)
        self._pools_known.set()
        self._wake.set()

    async def run(self, services_synced: asyncio.Event) -> None:
        """Decide for ever, once all Services and pools are known."""
        await services_synced.wait()
        await self._pools_known.wait()
        assert self._pools is not None
        self._assigner.start(self._pools)
        self.started.set()
        log.info("deciding", services=len(self._assigner.entries), pools=len(self._pools))
        while True:
            self._wake.clear()
            await self._turn()
            try:
                async with asyncio.timeout(LONGEST_SLEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._turned_at = loop.time()
        while entries := self._assigner.decide(self._settings.decisions_per_turn):
            for entry in entries:
                self._writer.submit(entry)
            self._turned_at = loop.time()
            await asyncio.sleep(0)
        self._on_turn()
        if self._writer.is_idle and self._assigner.is_idle:
            self.caught_up.set()
