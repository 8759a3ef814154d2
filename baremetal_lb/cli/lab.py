"""`baremetal-lb lab`: make a lab, look into it, break it, take it down."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from baremetal_lb.cli.steps import Steps
from baremetal_lb.lab import requirements
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.faults import FAULTS
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.logs import find_logs
from baremetal_lb.lab.names import NAMESPACE_ROOT
from baremetal_lb.lab.processes import is_alive
from baremetal_lb.lab.state import ProxyMode, lab_names
from baremetal_lb.lab.status import host_rows

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A real Kubernetes in network namespaces of this machine (needs root).",
)

Name = Annotated[str, typer.Option(help="Name of the lab.")]
Kind = Annotated[str, typer.Argument(help="; ".join(f"{kind}: {fault.about}" for kind, fault in FAULTS.items()))]
Target = Annotated[str, typer.Argument(help="A host, or what the kind names; nothing for the API server.")]
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.callback()
def prepare() -> None:
    """Make system commands findable, which some shells do not."""
    requirements.extend_path()


@app.command()
def up(
    *,
    name: Name = "lab",
    nodes: Annotated[int, typer.Option(help="Kubernetes nodes.")] = 3,
    clients: Annotated[int, typer.Option(help="Hosts on the nodes' segment that are no nodes.")] = 1,
    routers: Annotated[int, typer.Option(help="Routers between the nodes' segment and a second one.")] = 0,
    remote_clients: Annotated[int, typer.Option(help="Clients on that second segment.")] = 0,
    proxy_mode: Annotated[ProxyMode, typer.Option(help="What kube-proxy works with.")] = ProxyMode.NFTABLES,
    install: Annotated[bool, typer.Option(help="Install controller and speakers from manifests/.")] = True,
) -> None:
    """Make a lab and leave it up."""
    with _explained():
        steps = Steps(Console())
        with steps.step(f"Lab {name!r}: Kubernetes on {nodes} nodes") as step:
            lab = Lab(
                name,
                report=step.progress,
                nodes=nodes,
                clients=clients,
                routers=routers,
                remote_clients=remote_clients,
                proxy_mode=proxy_mode,
            )
            lab.up()
        if install:
            with steps.step("baremetal-lb: controller and speakers"):
                lab.install()
    option = "" if name == "lab" else f"--name {name} "
    print(f"\nLook around:    baremetal-lb lab status {option}".rstrip())
    print(f"Use Kubernetes: baremetal-lb lab kubectl {option}-- get nodes -o wide")
    print(f"Take it down:   baremetal-lb lab down {option}".rstrip())


@app.command()
def down(
    *,
    name: Name = "lab",
    every: Annotated[bool, typer.Option("--all", help="Every lab on this machine.")] = False,
) -> None:
    """Take a lab down, also one that crashed."""
    with _explained():
        _require_root()
        names = sorted({*lab_names(), *_names_in_namespaces()}) if every else [name]
        gone = [one for one in names if Lab(one).down()]
    print(f"gone: {', '.join(gone)}" if gone else "nothing to take down")


@app.command()
def status(*, name: Name = "lab") -> None:
    """Show hosts, addresses, processes and faults."""
    with _explained():
        lab = _attach(name)
        record = lab.record
        console = Console()
        hosts = Table("host", "role", "addresses", "pod networks", "state", title=f"lab {name}")
        for row in host_rows(lab.paths, record):
            hosts.add_row(*row)
        console.print(hosts)
        processes = Table("process", "host", "pid", "state")
        for process in record.processes:
            alive = "runs" if is_alive(process) else "[red]ended[/red]"
            processes.add_row(process.command.name, process.command.host, str(process.pid), alive)
        console.print(processes)
        for kind, target in record.faults:
            console.print(f"broken on purpose: {kind} {target}", style="yellow")


@app.command(context_settings=_PASS_ON)
def run(context: typer.Context, host: str, *, name: Name = "lab") -> None:
    """Run a command on a host: lab run client1 -- curl http://192.0.2.100/."""
    with _explained():
        if not context.args:
            raise LabError("which command? lab run HOST -- COMMAND …")
        _become(_attach(name).command(host, *context.args))


@app.command()
def shell(host: str, *, name: Name = "lab") -> None:
    """Open a shell on a host."""
    with _explained():
        _become(_attach(name).command(host, os.environ.get("SHELL", "/bin/sh")))


@app.command(context_settings=_PASS_ON)
def kubectl(context: typer.Context, *, name: Name = "lab") -> None:
    """Run kubectl as the administrator; everything after it is kubectl's: lab kubectl get nodes -o wide."""
    with _explained():
        _become(_attach(name).kubectl_command(*context.args))


@app.command()
def fail(kind: Kind, target: Target = "", *, name: Name = "lab") -> None:
    """Break something on purpose."""
    with _explained():
        _attach(name).fail(kind, target)


@app.command()
def heal(
    kind: Annotated[str, typer.Argument(help="As with fail; or all.")], target: Target = "", *, name: Name = "lab"
) -> None:
    """Mend what was broken."""
    with _explained():
        lab = _attach(name)
        if kind == "all":
            lab.heal_all()
        else:
            lab.heal(kind, target)


@app.command()
def logs(
    what: Annotated[
        str, typer.Argument(help="A process (kube-apiserver, kubelet-node1) or the start of a Pod's name.")
    ],
    *,
    name: Name = "lab",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    lines: Annotated[str, typer.Option(help="How many of the last lines; +1 is all.")] = "+1",
) -> None:
    """Show the log of a process or of a Pod's containers."""
    with _explained():
        found = find_logs(_attach(name).paths, what)
        _become(["tail", f"--lines={lines}", *(["--follow=name"] if follow else []), *map(str, found)])


@app.command()
def doctor(
    *,
    packages: Annotated[
        bool, typer.Option("--packages", help="Only name all Debian packages that a lab uses.")
    ] = False,
) -> None:
    """Tell what this machine lacks for a lab."""
    if packages:
        print(" ".join(requirements.all_packages()))
        return
    complaints = requirements.complaints()
    for complaint in complaints:
        print(complaint)
    if complaints:
        raise typer.Exit(1)
    print("nothing is missing")


def _attach(name: str) -> Lab:
    _require_root()
    return Lab.attach(name)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError(requirements.NOT_ROOT)


def _names_in_namespaces() -> Iterator[str]:
    """Find labs whose state directory is gone by their namespaces."""
    for entry in NAMESPACE_ROOT.glob("bmlb-*"):
        if match := re.fullmatch(r"bmlb-([a-z][a-z0-9]*)-.+", entry.name):
            yield match[1]


def _become(argv: list[str]) -> None:
    """Replace this process, so that signals, terminal and exit code are the command's own."""
    sys.stdout.flush()
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a user must know into a line on stderr and exit code 1."""
    try:
        yield
    except LabError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
