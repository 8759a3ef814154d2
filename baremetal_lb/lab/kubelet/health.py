"""A running container's probes at work, and its graceful end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from baremetal_lb.lab.container import Container
from baremetal_lb.lab.kubelet.podview import ContainerView, Raw
from baremetal_lb.lab.kubelet.probes import Prober, ProbeSettings, Tally, count, parse_probe


class OnResult(Protocol):
    """Hears what probes say of the container."""

    def __call__(self, *, started: bool = ..., passed: bool = ...) -> None:
        """Take over what changed."""


EAGER_SECONDS = 0.2
"""The pause between probes of a container that has just started, so that a lab needn't wait for a whole period."""


@dataclass(frozen=True, slots=True)
class Health:
    """The probes of one run of a container; `restart` ends this run because of them."""

    view: ContainerView
    prober: Prober
    on_result: OnResult
    restart: Callable[[], Awaitable[None]]
    warn: Callable[[str, str], None]
    stopping: Callable[[], bool]

    async def run(self, *, started: bool, passed: bool) -> None:
        """Probe until cancelled. First the startup probe alone; a container without a probe counts as well."""
        if not started and not await self._starts_up():
            return
        self.on_result(started=True)
        await asyncio.gather(self._stay_alive(), self._tell_readiness(passed=passed))

    async def _starts_up(self) -> bool:
        settings = self._settings("startup")
        if settings is None:
            return True
        tally = Tally(passed=False)
        await asyncio.sleep(settings.delay_seconds)
        await self._await_first_success(settings)
        while not tally.passed:
            tally = await self._ask("startup", settings, tally)
            if tally.last_result is False and tally.same_results >= settings.failure_threshold:
                await self._restart_because("startup")
                return False
            if not tally.passed:
                await asyncio.sleep(settings.period_seconds)
        return True

    async def _stay_alive(self) -> None:
        settings = self._settings("liveness")
        if settings is None:
            return
        tally = Tally(passed=True)
        await asyncio.sleep(settings.delay_seconds)
        while tally.passed and not self.stopping():
            tally = await self._ask("liveness", settings, tally)
            if tally.passed:
                await asyncio.sleep(settings.period_seconds)
        if not self.stopping():
            await self._restart_because("liveness")

    async def _tell_readiness(self, *, passed: bool) -> None:
        settings = self._settings("readiness")
        if settings is None:
            self.on_result(passed=True)
            return
        tally = Tally(passed=passed)
        await asyncio.sleep(settings.delay_seconds)
        if not passed:
            await self._await_first_success(settings)
        while True:
            tally = await self._ask("readiness", settings, tally)
            self.on_result(passed=tally.passed)
            await asyncio.sleep(settings.period_seconds)

    async def _await_first_success(self, settings: ProbeSettings) -> None:
        """Probe in quick succession for one period at most; none of this counts."""
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.period_seconds):
                result = await self.prober.ask(settings)
                while not result.ok:
                    await asyncio.sleep(EAGER_SECONDS)
                    result = await self.prober.ask(settings)

    async def _ask(self, kind: str, settings: ProbeSettings, tally: Tally) -> Tally:
        result = await self.prober.ask(settings)
        after = count(settings, tally, ok=result.ok)
        if not result.ok and after.same_results <= settings.failure_threshold:
            self.warn("Unhealthy", f"{kind.capitalize()} probe failed: {result.message}")
        return after

    async def _restart_because(self, kind: str) -> None:
        self.warn("Killing", f"Container {self.view.name} failed {kind} probe, will be restarted")
        await self.restart()

    def _settings(self, kind: str) -> ProbeSettings | None:
        raw = self.view.probes.get(kind)
        return None if raw is None else parse_probe(raw)


async def end_gracefully(prober: Prober, hook: Raw | None, number: signal.Signals, grace_seconds: float) -> None:
    """Run the hook, send the signal of the image, and after the grace period kill.

    The hook's time is part of the grace period. Returns once nothing is left to do: the caller awaits the end.
    """
    container: Container = prober.container
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            if hook is not None:
                await _run_hook(prober, hook, grace_seconds)
            container.send(number)
            await container.ended.wait()
    container.kill()


async def _run_hook(prober: Prober, hook: Raw, grace_seconds: float) -> None:
    """Run a preStop hook; its failure changes nothing."""
    if "sleep" in hook:
        await asyncio.sleep(float(hook["sleep"]["seconds"]))
        return
    await prober.ask(parse_probe({**hook, "timeoutSeconds": grace_seconds}))
