"""What a running lab remembers on disk, so that the next command (or the next test) can take it up.

One JSON file, replaced as a whole; whoever changes it holds its lock, since two commands may run at once.
"""

import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import STATE_ROOT, LabPaths
from baremetal_lb.lab.processes import Command, Started
from baremetal_lb.lab.topology import Shape, Topology, standard_topology


class NoSuchLabError(LabError):
    """The lab is not there."""


class NoSuchProcessError(LabError):
    """The lab has no process of this name."""


class ProxyMode(StrEnum):
    """How kube-proxy does its work."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"
    IPVS = "ipvs"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    nodes: int = 3
    clients: int = 1
    routers: int = 0
    remote_clients: int = 0
    proxy_mode: ProxyMode = ProxyMode.NFTABLES
    node_monitor_grace_seconds: int = 40
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    audit: bool = False
    """Log each request of the product's service accounts to `audit.log`, next to the logs of the processes."""

    @property
    def topology(self) -> Topology:
        """The hosts and segments that this asks for; raises TopologyError where they cannot be."""
        shape = Shape(self.nodes, self.clients, self.routers, self.remote_clients)
        return standard_topology(shape)


@dataclass(frozen=True, slots=True)
class Record:
    """A lab as it stands: what was asked for, what was started, what was broken on purpose."""

    options: Options
    ready: bool = False
    processes: tuple[Started, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def topology(self) -> Topology:
        """Its hosts and segments."""
        return self.options.topology

    def process(self, name: str) -> Started:
        """Find a process of the lab by name; raise NoSuchProcessError, naming those there are."""
        for process in self.processes:
            if process.command.name == name:
                return process
        names = ", ".join(process.command.name for process in self.processes)
        raise NoSuchProcessError(f"no process {name!r}; there are {names}")

    def as_ready(self) -> "Record":
        """Remember that the lab came up whole."""
        return dataclasses.replace(self, ready=True)

    def with_process(self, started: Started) -> "Record":
        """Add a process, in the place of an earlier one of the same name."""
        others = tuple(one for one in self.processes if one.command.name != started.command.name)
        return dataclasses.replace(self, processes=(*others, started))


def lab_names() -> list[str]:
    """List the labs that left a state directory."""
    return sorted(entry.name for entry in STATE_ROOT.iterdir() if entry.is_dir()) if STATE_ROOT.is_dir() else []


def read_record(paths: LabPaths) -> Record:
    """Read what a lab remembers; raise NoSuchLabError when there is none of this name."""
    try:
        text = paths.record.read_text()
    except FileNotFoundError:
        raise NoSuchLabError(_no_such_lab(paths.name)) from None
    return parse_record(json.loads(text))


def write_record(paths: LabPaths, record: Record) -> None:
    """Replace what a lab remembers, all or nothing."""
    paths.state.mkdir(parents=True, exist_ok=True)
    draft = paths.record.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(dataclasses.asdict(record), indent=1))
    draft.replace(paths.record)


def change_record(paths: LabPaths, change: Callable[[Record], Record]) -> Record:
    """Apply a change to what a lab remembers while nobody else does, and answer the outcome."""
    with _locked(paths):
        record = change(read_record(paths))
        write_record(paths, record)
    return record


def parse_record(raw: Mapping[str, Any]) -> Record:
    """Read a record back from its JSON."""
    options = raw["options"]
    return Record(
        options=Options(**{**options, "proxy_mode": ProxyMode(options["proxy_mode"])}),
        ready=raw["ready"],
        processes=tuple(_parse_process(one) for one in raw["processes"]),
        faults=tuple((kind, target) for kind, target in raw["faults"]),
    )


def _parse_process(raw: Mapping[str, Any]) -> Started:
    command = raw["command"]
    return Started(
        command=Command(command["name"], command["host"], tuple(command["argv"]), command["environment"]),
        pid=raw["pid"],
        started_at_ticks=raw["started_at_ticks"],
    )


def _no_such_lab(name: str) -> str:
    others = lab_names()
    known = f"there is {', '.join(others)}" if others else "none is up"
    return f"no lab {name!r} ({known}); `baremetal-lb lab up --name {name}` makes it"


@contextmanager
def _locked(paths: LabPaths) -> Iterator[None]:
    if not paths.state.is_dir():
        raise NoSuchLabError(_no_such_lab(paths.name))
    with (paths.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
