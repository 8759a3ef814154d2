"""The speaker process: logs, signals, the HTTP port, the driver; the rest is `speaker.Speaker`."""

import asyncio
import secrets
import signal
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from baremetal_lb.election.beats import Rhythm
from baremetal_lb.election.io.driver import BeatProcess
from baremetal_lb.health import serve_http
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.l2.io import L2Driver
from baremetal_lb.metrics import SpeakerCollector, SpeakerMetrics
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.drivers import Drivers
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

    rhythm = Rhythm(settings.beat_interval_seconds, settings.beat_misses, settings.beat_speaker_seconds)
    beats = BeatProcess(
        settings.node,
        settings.beat_port,
        rhythm,
        on_change=lambda nodes: speaker.peers_changed(nodes),  # noqa: PLW0108 - the speaker is made later
        is_well=lambda: speaker.is_well(),  # noqa: PLW0108
    )
    driver = L2Driver(
        on_interfaces=lambda: speaker.interfaces_changed(),  # noqa: PLW0108
        on_segment=lambda events: speaker.segment_changed(events),  # noqa: PLW0108
        outranks=lambda address, node: speaker.outranks(address, node),  # noqa: PLW0108
        refresh_seconds=settings.refresh_seconds,
    )
    client = await KubeClient.connect(kubeconfig)
    speaker = Speaker(settings, identity, client, Drivers(driver, beats), metrics)
    try:
        async with driver:
            metrics.registry.register(SpeakerCollector(speaker.snapshot))
            async with serve_http(settings.port, speaker.health, metrics.registry) as port:
                log.info("metrics and health", port=port)
                await speaker.run(stop)
    finally:
        await client.close()
    log.info("speaker stopped")
