"""Asks the node's kube-proxy, or what stands in for it, whether it is well: without it the node can't forward.

Only where the user names the URL, since each proxy has another one. Kubernetes' own says no as well once its node is
about to be removed (KEP-3836).
"""

import asyncio
from collections.abc import Callable

import aiohttp
import structlog

from baremetal_lb.settings import SpeakerSettings

log = structlog.get_logger()

MISSES = 3
"""So many answers must be missing one after the other, for a proxy that is restarted loses nothing."""


class ProxyHealth:
    """What the answers say: one is enough to take it for well, and before the first one a miss for the opposite."""

    def __init__(self) -> None:
        self.answers = True
        self._misses = MISSES - 1

    def asked(self, *, answered: bool) -> bool:
        """Take in how a question ended; tell whether that changes anything."""
        self._misses = 0 if answered else self._misses + 1
        before, self.answers = self.answers, self._misses < MISSES
        return self.answers != before


class ProxyCheck:
    """Asks for ever; `on_change` is told whether it answers, whenever that is news."""

    def __init__(self, settings: SpeakerSettings, on_change: Callable[[bool], None]) -> None:
        self._settings = settings
        self._on_change = on_change
        self._health = ProxyHealth()
        self.asked = asyncio.Event()
        """Set once the first question has ended, or where there is none."""
        if not settings.proxy_health_url:
            self.asked.set()

    async def run(self) -> None:
        """Ask, if there is whom to ask."""
        if not self._settings.proxy_health_url:
            return
        timeout = aiohttp.ClientTimeout(total=self._settings.proxy_timeout_seconds)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                answered = await self._ask(session)
                if self._health.asked(answered=answered):
                    log.warning("kube-proxy's health", answers=answered, url=self._settings.proxy_health_url)
                    self._on_change(answered)
                self.asked.set()
                await asyncio.sleep(self._settings.proxy_check_seconds)

    async def _ask(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self._settings.proxy_health_url, allow_redirects=False) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
