"""The task that decides: woken by whatever changed, it recomputes, and hands what must be written to the writer.

Callbacks of watches, writers and timers record what happened, each in one synchronous step, and wake it; nobody else
decides. Nothing is decided before every Service and every resource is known.
"""

import asyncio
from collections.abc import Callable

import structlog

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.config.model import Config
from baremetal_lb.controller.service_writer import ServiceWriter
from baremetal_lb.settings import ControllerSettings

LONGEST_SLEEP_SECONDS = 5.0
"""It turns this often even where nothing happens, to show that it is alive."""

log = structlog.get_logger()


class Reconciler:
    """Drives the assigner for one term.

    `on_turn` is called after each turn, `on_caught_up` after those that leave nothing to decide or to write.
    """

    def __init__(
        self,
        assigner: Assigner,
        writer: ServiceWriter,
        wake: asyncio.Event,
        settings: ControllerSettings,
        *,
        on_turn: Callable[[], None],
        on_caught_up: Callable[[], None],
    ) -> None:
        self._assigner = assigner
        self._writer = writer
        self._wake = wake
        self._settings = settings
        self._on_turn = on_turn
        self._on_caught_up = on_caught_up
        self._config: Config | None = None
        self._config_known = asyncio.Event()
        self._turned_at: float | None = None
        self._next_move_at = 0.0
        self.started = asyncio.Event()
        """Set once it is known who holds what."""

    def is_stuck(self, now: float) -> bool:
        """Whether it has not turned for too long."""
        return self._turned_at is not None and now - self._turned_at > self._settings.stale_seconds

    def wake(self) -> None:
        """Turn once more."""
        self._wake.set()

    def set_config(self, config: Config) -> None:
        """Take in the valid resources."""
        before, self._config = self._config, config
        if self.started.is_set() and config != before:
            self._assigner.set_config(config)
        self._config_known.set()
        self._wake.set()

    async def run(self, *, fence: bool) -> None:
        """Decide until cancelled, once all resources are known; every Service must be known before."""
        await self._config_known.wait()
        assert self._config is not None
        self._assigner.start(self._config, fence=fence)
        self.started.set()
        log.info("deciding", services=len(self._assigner.entries), pools=len(self._config.pools))
        try:
            while True:
                self._wake.clear()
                await self._turn()
                try:
                    async with asyncio.timeout(self._sleep_seconds()):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            self._turned_at = None
            self._assigner.stop()

    def _sleep_seconds(self) -> float:
        if not self._assigner.has_movable:
            return LONGEST_SLEEP_SECONDS
        until_next_move = self._next_move_at - asyncio.get_running_loop().time()
        return max(0.0, min(until_next_move, LONGEST_SLEEP_SECONDS))

    def _move_one(self, now: float) -> None:
        """Let one Service leave an address that its pool gave up, if it is time for one."""
        if now < self._next_move_at or not self._assigner.has_movable:
            return
        self._next_move_at = now + self._settings.move_seconds
        if entry := self._assigner.move_one():
            self._writer.submit(entry)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._turned_at = loop.time()
        while entries := self._assigner.decide(self._settings.decisions_per_turn):
            for entry in entries:
                self._writer.submit(entry)
            self._turned_at = loop.time()
            await asyncio.sleep(0)
        self._move_one(loop.time())
        self._on_turn()
        if self._writer.is_idle and self._assigner.is_idle:
            self._on_caught_up()
