"""The speaker process: logs, signals, the HTTP port, the driver; the rest is `speaker.Speaker`."""

import asyncio
import secrets
import signal
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from baremetal_lb.health import serve_http
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.l2.io import L2Driver
from baremetal_lb.metrics import SpeakerCollector, SpeakerMetrics
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.speaker import Speaker

log = structlog.get_logger()


async def run_speaker(settings: SpeakerSettings, kubeconfig: Path | None) -> None:
    """Run until SIGTERM or SIGINT; a task that fails ends the process with its error."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    identity = f"{settings.node}/{secrets.token_hex(4)}"
    metrics = SpeakerMetrics(CollectorRegistry(), version("baremetal-lb"))
    log.info("speaker starts", version=version("baremetal-lb"), node=settings.node, identity=identity)

    def interfaces_changed() -> None:
        speaker.interfaces_changed()

    client = await KubeClient.connect(kubeconfig)
    try:
        async with L2Driver(on_interfaces=interfaces_changed) as driver:
            speaker = Speaker(settings, identity, client, driver, metrics)
            metrics.registry.register(SpeakerCollector(speaker.snapshot))
            async with serve_http(settings.port, speaker.health, metrics.registry) as port:
                log.info("metrics and health", port=port)
                await speaker.run(stop)
    finally:
        await client.close()
    log.info("speaker stopped")
