"""`baremetal-lb migrate`: turn another load balancer's resources into ours, and say what is not the same.

What to apply goes to stdout or a file, what to know goes to stderr. Nothing in the cluster is changed.
"""

import asyncio
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.text import Text

from baremetal_lb.cli.cluster import Context, Kubeconfig, default_kubeconfig, read_patiently
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.migration.metallb import Migration, migrate
from baremetal_lb.migration.notes import Note, Severity

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Turn another load balancer's resources into baremetal-lb's."
)

HEADER = "# Made from MetalLB's resources by `baremetal-lb migrate metallb`.\n"
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}

_RESOURCES: tuple[tuple[str, ...], ...] = (
    ("/apis/metallb.io/v1beta1/ipaddresspools",),
    ("/apis/metallb.io/v1beta1/addresspools", "/apis/metallb.io/v1alpha1/addresspools"),
    ("/apis/metallb.io/v1beta1/l2advertisements",),
    ("/apis/metallb.io/v1beta1/bgpadvertisements",),
    ("/apis/metallb.io/v1beta2/bgppeers", "/apis/metallb.io/v1beta1/bgppeers"),
    ("/apis/metallb.io/v1beta1/bfdprofiles",),
    ("/apis/metallb.io/v1beta1/communities",),
    ("/api/v1/namespaces",),
    ("/api/v1/services",),
)
"""What is read from a cluster, each with the versions of MetalLB's API that may have it, the newest first."""


class _Loader(yaml.SafeLoader):
    """Reads points in time as the texts that they are in Kubernetes."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it without ClassVar
        start: [resolver for resolver in resolvers if resolver[0] != "tag:yaml.org,2002:timestamp"]
        for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes nothing by reference."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


class UnreadableError(Exception):
    """A file or a cluster could not be read; the message is for the user."""


@app.callback()
def main() -> None:
    """Turn another load balancer's resources into baremetal-lb's."""


@app.command()
def metallb(
    *,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--filename", "-f", help="YAML or JSON with MetalLB's resources, Services, Namespaces; - is stdin."
        ),
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Read everything from the cluster instead.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    metallb_namespace: Annotated[
        str, typer.Option(help="Where MetalLB is: its configuration before 0.13 was a ConfigMap there.")
    ] = "metallb-system",
    load_balancer_class: Annotated[
        str, typer.Option(help="The class that MetalLB was started with (--lb-class), for all pools.")
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here and not to stdout.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where there is an error among the notes.")
    ] = False,
) -> None:
    """Turn MetalLB's resources into baremetal-lb's; Services keep their addresses."""
    if bool(files) == cluster:
        raise typer.BadParameter("name files with -f, or read the --cluster: one of the two")
    notes = Console(stderr=True)
    try:
        documents = (
            asyncio.run(_read_cluster(kubeconfig, context, metallb_namespace))
            if cluster
            else [document for file in files or () for document in _read_file(file)]
        )
        migration = migrate(documents, load_balancer_class)
        _write(migration, output)
    except UnreadableError as error:
        notes.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    _tell(migration, notes)
    if strict and any(note.severity is Severity.ERROR for note in migration.notes):
        raise typer.Exit(1)


def _read_file(file: Path) -> Iterator[object]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        yield from yaml.load_all(text, _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UnreadableError(f"{file}: {error}") from error


async def _read_cluster(kubeconfig: Path | None, context: str | None, namespace: str) -> list[dict[str, Any]]:
    """List everything that matters; a kind that the cluster does not have is fine."""
    try:
        client = await KubeClient.connect(kubeconfig or default_kubeconfig(), context)
        try:
            wanted = (*_RESOURCES, (f"/api/v1/namespaces/{namespace}/configmaps",))
            found = [await _first_list(client, paths) for paths in wanted]
        finally:
            await client.close()
    except ApiError as error:
        raise UnreadableError(f"the cluster can't be read: {error}") from error
    return [one for one in found if one is not None]


async def _first_list(client: KubeClient, paths: tuple[str, ...]) -> dict[str, Any] | None:
    for path in paths:
        try:
            return await read_patiently(client, path)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
    return None


def _write(migration: Migration, output: Path | None) -> None:
    text = HEADER + yaml.dump_all(
        migration.manifests, Dumper=_Dumper, sort_keys=False, explicit_start=True, allow_unicode=True, width=110
    )
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise UnreadableError(f"{output}: {error}") from error


def _tell(migration: Migration, console: Console) -> None:
    for note in migration.notes:
        console.print(_line(note), soft_wrap=True)
        for command in note.commands:
            console.print(f"    {command}", markup=False, highlight=False, soft_wrap=True)
    counts = [(severity, sum(note.severity is severity for note in migration.notes)) for severity in Severity]
    summary = ", ".join(f"{count} {severity}" for severity, count in counts if count) or "none"
    console.print(f"{len(migration.manifests)} resources written; notes: {summary}", markup=False, highlight=False)


def _line(note: Note) -> Text:
    return Text.assemble((f"{note.severity:<8}", _STYLES[note.severity]), (note.subject, "bold"), f": {note.text}")
