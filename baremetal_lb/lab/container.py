"""Containers without a container engine: start, adopt, signal, enter and await one process in a root of its own.

All state of a container is in its directory, written by its keeper (`launch.py`), so that a restarted kubelet finds
what an earlier one started. Nothing here knows of Pods.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

LAUNCHER = Path(__file__).with_name("launch.py")
START_SECONDS = 30.0
SPEC_FILE, STATE_FILE, EXIT_FILE = "spec.json", "state.json", "exit.json"
KEEPER_LOST_CODE = 137
NOT_RUNNING_CODE = 126
OUTPUT_BYTES = 4096
"""How much of an exec's output is kept."""


class StartFailed(Exception):  # noqa: N818  # a state of the container, as Kubernetes words it
    """The program could not be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the machine, seen by a container at `target`."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom, and with which rights, a container's processes run."""

    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = ()
    capabilities: frozenset[int] = frozenset()
    no_new_privileges: bool = False
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What a container runs."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str = "/"


@dataclass(frozen=True, slots=True)
class Root:
    """What a container sees of the file system."""

    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    trees: tuple[Path, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything about a container before it starts. No namespace: the kubelet's own network; no hostname: its own."""

    directory: Path
    log: Path
    program: Program
    identity: Identity = Identity()
    root: Root = Root()
    network_namespace: Path | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended; a signal N counts as code 128 + N."""

    code: int
    started_at: float
    at: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command that was run inside a container ended, with the beginning of its output."""

    code: int
    output: str


class Container:
    """One started container, ours or an earlier kubelet's."""

    def __init__(self, directory: Path, record: Mapping[str, Any], process: "subprocess.Popen[bytes] | None") -> None:
        self.directory = directory
        self.pid: int = record["pid"]
        self.started_at: float = record["started_at"]
        self.ended = asyncio.Event()
        self._process = process
        self._keeper = os.pidfd_open(record["keeper"])

    @classmethod
    async def start(cls, spec: ContainerSpec) -> Self:
        """Start a container in its emptied directory; raises StartFailed."""
        shutil.rmtree(spec.directory, ignore_errors=True)
        spec.directory.mkdir(parents=True)
        document = spec.directory / SPEC_FILE
        document.write_text(json.dumps(_document(spec)))
        process = subprocess.Popen(  # noqa: ASYNC220  # asyncio's own would end with its loop; this one outlives us
            _launcher("run", document), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        with process.stdout as pipe:
            answer = await _read_answer(pipe.fileno(), START_SECONDS)
        if answer != "started":
            process.kill()
            process.wait()
            raise StartFailed(answer or "no answer from the container's keeper")
        return cls(spec.directory, json.loads((spec.directory / STATE_FILE).read_text()), process)

    @classmethod
    def adopt(cls, directory: Path) -> Self | None:
        """Find the container that runs in this directory, if one does."""
        record = _read_json(directory / STATE_FILE)
        if record is None or _start_ticks(record["keeper"]) != record["keeper_start"]:
            return None
        try:
            return cls(directory, record, None)
        except ProcessLookupError:
            return None

    async def wait(self) -> Exit:
        """Wait for the end; to be called once."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._keeper, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._keeper)
            os.close(self._keeper)
        self.ended.set()
        if self._process is not None:
            self._process.wait()
        return last_exit(self.directory) or Exit(KEEPER_LOST_CODE, self.started_at, time.time())

    def send(self, number: signal.Signals) -> None:
        """Signal the container's first process; the kernel drops what that one has no handler for, but SIGKILL."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End all of its processes now."""
        self.send(signal.SIGKILL)

    async def execute(self, arguments: Sequence[str], timeout_seconds: float) -> CommandResult:
        """Run a command inside, as the container's own user; raises TimeoutError (the command is gone then)."""
        if self.ended.is_set():
            return CommandResult(NOT_RUNNING_CODE, "the container is not running")
        document = self.directory / f"exec-{time.monotonic_ns()}.json"
        spec = json.loads((self.directory / SPEC_FILE).read_text())
        document.write_text(json.dumps(spec | {"arguments": list(arguments), "pid": self.pid}))
        process = await asyncio.create_subprocess_exec(
            *_launcher("exec", document),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout_seconds)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            document.unlink(missing_ok=True)
        return CommandResult(process.returncode or 0, output[:OUTPUT_BYTES].decode(errors="replace"))


def last_exit(directory: Path) -> Exit | None:
    """Tell how the container in this directory ended; None while it runs or where none ever did."""
    record = _read_json(directory / EXIT_FILE)
    if record is not None:
        return Exit(record["code"], record["started_at"], record["at"])
    return None


def lost_exit(directory: Path) -> Exit | None:
    """Tell the end of a container whose keeper was killed with it, as the kubelet finds it; None for none such."""
    record = _read_json(directory / STATE_FILE)
    return None if record is None else Exit(KEEPER_LOST_CODE, record["started_at"], time.time())


async def _read_answer(descriptor: int, timeout_seconds: float) -> str:
    """Read what the keeper says before it lets go of the pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb")
    )
    try:
        return (await asyncio.wait_for(reader.read(), timeout_seconds)).decode(errors="replace")
    except TimeoutError:
        return f"the container's keeper said nothing for {timeout_seconds:.0f} s"
    finally:
        transport.close()


def _launcher(verb: str, document: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(LAUNCHER), verb, str(document)]


def _document(spec: ContainerSpec) -> dict[str, Any]:
    """Write a spec in the launcher's words."""
    return {
        "arguments": list(spec.program.arguments),
        "environment": dict(spec.program.environment),
        "working_directory": spec.program.working_directory,
        "user": spec.identity.user,
        "group": spec.identity.group,
        "groups": list(spec.identity.groups),
        "capabilities": sorted(spec.identity.capabilities),
        "no_new_privileges": spec.identity.no_new_privileges,
        "directory": str(spec.directory),
        "log": str(spec.log),
        "network_namespace": str(spec.network_namespace or ""),
        "hostname": spec.hostname,
        "privileged": spec.identity.privileged,
        "read_only_root": spec.root.read_only,
        "mounts": [asdict(mount) | {"source": str(mount.source)} for mount in spec.root.mounts],
        "trees": [str(tree) for tree in spec.root.trees],
        "files": dict(spec.root.files),
    }


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def _start_ticks(pid: int) -> int | None:
    """Tell when a process started, in ticks after boot: with its PID the name of one process; None for no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])
