"""`baremetal-lb controller`: the process that assigns addresses."""

import asyncio
import gc
from pathlib import Path
from typing import Annotated

import typer

from baremetal_lb.controller.main import run_controller
from baremetal_lb.logs import LogFormat, LogLevel, configure_logging
from baremetal_lb.settings import CONTROLLER_PORT, ControllerSettings


def controller(
    *,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="How to log in outside of a cluster.", exists=True, dir_okay=False)
    ] = None,
    port: Annotated[int, typer.Option(help="For /metrics, /healthz and /readyz.")] = CONTROLLER_PORT,
    log_level: Annotated[LogLevel, typer.Option(envvar="BAREMETAL_LB_LOG_LEVEL")] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(envvar="BAREMETAL_LB_LOG_FORMAT")] = LogFormat.JSON,
) -> None:
    """Assign addresses to Services of type LoadBalancer."""
    configure_logging(log_level, log_format)
    # What the libraries made stays as long as the process: looking through it took half of a collection's time.
    gc.freeze()
    asyncio.run(run_controller(kubeconfig, ControllerSettings(port=port)))
