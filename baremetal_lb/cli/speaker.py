"""`baremetal-lb speaker`: the process that runs on each node and announces addresses from it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from baremetal_lb.logs import LogFormat, LogLevel, configure_logging
from baremetal_lb.settings import (
    BEAT_INTERVAL_SECONDS,
    BEAT_MISSES,
    BEAT_PORT,
    LEASE_SECONDS,
    REFRESH_SECONDS,
    RENEW_SECONDS,
    SPEAKER_PORT,
    SYSTEM_NAMESPACE,
    SpeakerSettings,
)
from baremetal_lb.speaker.main import run_speaker

MIN_LEASE_RENEWALS = 3
"""With fewer renewals in a Lease's duration, one that is late would look like a death."""


def speaker(
    *,
    node_name: Annotated[str, typer.Option(envvar="NODE_NAME", help="The Node this process runs on.")],
    kubeconfig: Annotated[Path | None, typer.Option(help="Credentials; the Pod's own by default.")] = None,
    namespace: Annotated[str, typer.Option(envvar="NAMESPACE", help="Where our own objects are.")] = SYSTEM_NAMESPACE,
    port: Annotated[int, typer.Option(help="Port for metrics and health.")] = SPEAKER_PORT,
    renew_seconds: Annotated[
        float, typer.Option(min=0.2, help="How often to say to the API server that we are alive.")
    ] = RENEW_SECONDS,
    lease_seconds: Annotated[
        float, typer.Option(min=0.6, help="How long a speaker may be silent before the others take over.")
    ] = LEASE_SECONDS,
    proxy_health_url: Annotated[
        str,
        typer.Option(
            envvar="PROXY_HEALTH_URL",
            help="Where kube-proxy, or what stands in for it, says that it is well. Not asked without it.",
        ),
    ] = "",
    beat_port: Annotated[
        int, typer.Option(envvar="BEAT_PORT", help="UDP port at which the speakers hear each other.")
    ] = BEAT_PORT,
    beat_interval_seconds: Annotated[
        float, typer.Option(min=0.02, envvar="BEAT_INTERVAL_SECONDS", help="How often speakers beat to each other.")
    ] = BEAT_INTERVAL_SECONDS,
    beat_misses: Annotated[
        int, typer.Option(min=1, envvar="BEAT_MISSES", help="How many beats may be missed before somebody takes over.")
    ] = BEAT_MISSES,
    refresh_seconds: Annotated[
        float,
        typer.Option(
            min=0.0, envvar="REFRESH_SECONDS", help="How often to announce what has not moved; 0: never, the default."
        ),
    ] = REFRESH_SECONDS,
    log_level: Annotated[LogLevel, typer.Option(help="The least important line that is written.")] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(help="For machines or for people.")] = LogFormat.JSON,
) -> None:
    """Announce addresses from this node (needs CAP_NET_RAW)."""
    if lease_seconds < MIN_LEASE_RENEWALS * renew_seconds:
        raise typer.BadParameter(
            f"must be at least {MIN_LEASE_RENEWALS} times --renew-seconds", param_hint="--lease-seconds"
        )
    configure_logging(log_level, log_format)
    settings = SpeakerSettings(
        node=node_name,
        namespace=namespace,
        port=port,
        renew_seconds=renew_seconds,
        refresh_seconds=refresh_seconds,
        lease_seconds=lease_seconds,
        proxy_health_url=proxy_health_url,
        beat_port=beat_port,
        beat_interval_seconds=beat_interval_seconds,
        beat_misses=beat_misses,
    )
    asyncio.run(run_speaker(settings, kubeconfig))
