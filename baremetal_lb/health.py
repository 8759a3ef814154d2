"""The one HTTP port of a process: /metrics for Prometheus, /healthz and /readyz for the kubelet."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

PROBE_SHUTDOWN_SECONDS = 1.0
"""How long an open probe or scrape may delay the end of the process."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Whether the process works (else: restart it) and whether it does its job right now, and why not."""

    is_live: bool
    is_ready: bool
    detail: str = "ok"


@asynccontextmanager
async def serve_http(
    port: int, health: Callable[[], HealthReport], registry: CollectorRegistry, *, host: str | None = None
) -> AsyncIterator[int]:
    """Answer on the port (0: any free one) of the host, by default of every address; yield the port.

    Raises OSError where the port is taken.
    """

    async def healthz(_request: web.Request) -> web.Response:
        report = health()
        return _answer(report.detail, is_good=report.is_live)

    async def readyz(_request: web.Request) -> web.Response:
        report = health()
        return _answer(report.detail, is_good=report.is_live and report.is_ready)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=PROBE_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(detail: str, *, is_good: bool) -> web.Response:
    return web.Response(text=f"{detail}\n", status=200 if is_good else 503)
