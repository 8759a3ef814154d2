"""How the verbs that look into a user's cluster log in, and read although its API server is busy."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.pages import pages

BUSY_RETRIES, BUSY_SECONDS = 5, 1.0
OBJECTS_PER_PAGE = 500

Kubeconfig = Annotated[
    Path | None, typer.Option(envvar="KUBECONFIG", help="How to log in to the cluster; kubectl's by default.")
]
Context = Annotated[str | None, typer.Option(help="Which context of the kubeconfig.")]


def default_kubeconfig() -> Path | None:
    """Where kubectl looks; a Pod has none, but a service account."""
    path = Path.home() / ".kube" / "config"
    return None if "KUBERNETES_SERVICE_HOST" in os.environ and not path.exists() else path


async def read_patiently(client: KubeClient, path: str, **query: str | int) -> dict[str, Any]:
    """Wait for a server that is busy, or has not read the objects of a kind since it was started."""
    for _ in range(BUSY_RETRIES):
        try:
            return await client.get(path, **query)
        except ApiError as error:
            if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise
        await asyncio.sleep(BUSY_SECONDS)
    return await client.get(path, **query)


async def read_pages(client: KubeClient, path: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the objects of a list that may be too long to be kept as it is written."""
    async for page in pages(partial(read_patiently, client), path, limit=OBJECTS_PER_PAGE):
        for raw in page["items"]:
            yield raw
