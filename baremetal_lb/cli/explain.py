"""`baremetal-lb explain service`: every pool in order, and why a Service has an address of it or not.

The cluster is read as the controller reads it, and the same decision is taken on this one Service. Nothing in the
cluster is changed.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Mapping
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.explain import explain
from baremetal_lb.api.base import CustomResource
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.cli.announcing import Announcing, read_announcing
from baremetal_lb.cli.cluster import Context, Kubeconfig, default_kubeconfig, read_pages, read_patiently
from baremetal_lb.cli.explanation import Answer, as_json, print_answer
from baremetal_lb.cluster.namespace import NamespaceView, parse_namespace
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.config.compile import NOTHING_KNOWN, compile_config
from baremetal_lb.controller.resource_loader import collection_path
from baremetal_lb.controller.surroundings_reader import SurroundingsReader
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.settings import SYSTEM_NAMESPACE

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Say why something is as it is.")

T = TypeVar("T")

SERVICES_PATH, NAMESPACES_PATH = "/api/v1/services", "/api/v1/namespaces"

NOT_SERVED, UNUSABLE = 1, 2
"""Exit codes: the Service lacks something that it asks for; nothing could be found out about it."""


class OutputFormat(StrEnum):
    """For whom the answer is."""

    TEXT = "text"
    JSON = "json"


class UnusableError(Exception):
    """Nothing can be said about the Service; the message is for the user."""


@app.callback()
def main() -> None:
    """Say why something is as it is."""


@app.command()
def service(
    name: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The Service.")],
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    system_namespace: Annotated[str, typer.Option(help="Where baremetal-lb itself runs.")] = SYSTEM_NAMESPACE,
    output: Annotated[OutputFormat, typer.Option("--output", "-o", help="For people or for programs.")] = (
        OutputFormat.TEXT
    ),
) -> None:
    """Say why a Service has its addresses, or has none, and who announces them.

    Exits with 0 if it has all that it asks for and it is announced, with 1 if not, with 2 if that can't be found out.
    """
    key = _parse_key(name)
    try:
        answer = asyncio.run(_answer(kubeconfig, context, key, system_namespace))
    except UnusableError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(UNUSABLE) from error
    if output is OutputFormat.JSON:
        print(json.dumps(as_json(answer), indent=2))
    else:
        print_answer(answer, Console())
    raise typer.Exit(0 if answer.is_all_well else NOT_SERVED)


def _parse_key(text: str) -> ServiceKey:
    namespace, separator, name = text.partition("/")
    if not (namespace and separator and name) or "/" in name:
        raise typer.BadParameter(f"{text!r} is not of the form NAMESPACE/NAME", param_hint="NAMESPACE/NAME")
    return ServiceKey(namespace, name)


async def _answer(kubeconfig: Path | None, context: str | None, key: ServiceKey, system_namespace: str) -> Answer:
    try:
        client = await KubeClient.connect(kubeconfig or default_kubeconfig(), context)
        try:
            return await _Inquiry(client, key, system_namespace).answer()
        finally:
            await client.close()
    except ApiError as error:
        raise UnusableError(f"the cluster can't be read: {error}") from error


class _Inquiry:
    """One question about one Service; what can't be read on the way is noted."""

    def __init__(self, client: KubeClient, key: ServiceKey, system_namespace: str) -> None:
        self._client = client
        self._key = key
        self._system_namespace = system_namespace
        self._notes: list[str] = []

    async def answer(self) -> Answer:
        """Read everything that matters, and decide; raise UnusableError or ApiError."""
        views = await self._services()
        view = next((one for one in views if one.key == self._key), None)
        if view is None:
            raise UnusableError(f"there is no Service {self._key}")
        surroundings = await self._if_allowed(
            "Nodes and ServiceCIDRs", SurroundingsReader(self._client, math.inf).read(), NOTHING_KNOWN
        )
        config, problems = compile_config(
            await self._resources(IPAddressPool), (), await self._resources(IPAddressClaim), surroundings
        )
        assigner = Assigner()
        assigner.namespace_changed(self._key.namespace, await self._namespace())
        for one in views:
            assigner.service_changed(one.key, one, 0.0)
        assigner.start(config)
        faults = tuple(problem for problem in problems if problem.fatal)
        announcing = await self._announcing(view, views)
        return Answer(explain(assigner, view), faults, tuple(self._notes), announcing)

    async def _announcing(self, view: ServiceView, views: list[ServiceView]) -> tuple[Announcing, ...] | None:
        """Say it all or nothing: each kind of object that is left out would make it wrong."""
        try:
            return await read_announcing(self._client, self._system_namespace, view, views)
        except ApiError as error:
            if error.status not in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                raise
            self._notes.append(f"who announces the addresses: {error.message}")
            return None

    async def _services(self) -> list[ServiceView]:
        """All of them, for they hold the addresses; those of the namespace where that is all that may be read."""
        try:
            return await self._views(SERVICES_PATH)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
        views = await self._views(f"{NAMESPACES_PATH}/{self._key.namespace}/services")
        self._notes.append("Services of other namespaces can't be read: what they hold is shown as free")
        return views

    async def _views(self, path: str) -> list[ServiceView]:
        return [parse_service(raw) async for raw in read_pages(self._client, path)]

    async def _namespace(self) -> NamespaceView:
        name = self._key.namespace
        reading = read_patiently(self._client, NAMESPACES_PATH, fieldSelector=f"metadata.name={name}")
        answer = await self._if_allowed("Namespaces", reading, {"items": []})
        return next(map(parse_namespace, answer["items"]), NamespaceView(name))

    async def _resources(self, kind: type[CustomResource]) -> list[Mapping[str, Any]]:
        reading = read_patiently(self._client, collection_path(kind.names.plural))
        answer = await self._if_allowed(f"{kind.__name__}s", reading, {"items": []})
        return list(answer["items"])

    async def _if_allowed(self, what: str, reading: Awaitable[T], otherwise: T) -> T:
        """Read what may be forbidden, or a kind that the cluster does not have."""
        try:
            return await reading
        except ApiError as error:
            if error.status not in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                raise
            self._notes.append(f"{what} can't be read ({error.reason}): what is told is as if there were none")
            return otherwise
