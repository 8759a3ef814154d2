"""Start processes that outlive us, and stop them again without ever hitting a stranger.

A process is remembered by pid and start time: a pid alone may belong to somebody else by now.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from baremetal_lb.lab.names import NAMESPACE_ROOT

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
# Python ignores these; what we start must have them as it would from a shell.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Command:
    """How one process of a lab is started: enough to start it again."""

    name: str
    host: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    """A process that was started, told apart from any other that ever had its pid."""

    command: Command
    pid: int
    started_at_ticks: int


def start(command: Command, namespace: str, log: Path) -> Started:
    """Start a process in a namespace and a session of its own; its output is appended to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        "nsenter",
        # Not `ip netns exec`: that makes a mount namespace, and what a kubelet mounts there is hidden from all others.
        ["nsenter", f"--net={NAMESPACE_ROOT / namespace}", "--", *command.argv],
        {**os.environ, **command.environment},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=_DEFAULT_SIGNALS,
    )
    return Started(command, pid, _start_ticks(pid) or 0)


def is_alive(process: Started) -> bool:
    """Tell whether this very process still runs."""
    _reap(process.pid)
    return process.started_at_ticks != 0 and _start_ticks(process.pid) == process.started_at_ticks


def kill(processes: Iterable[Started], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        if is_alive(process):
            send(process.pid, number)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(processes: Iterable[Started]) -> None:
    """Wait until none of them runs; raise TimeoutError when the kernel does not let go."""
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        while is_alive(process):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{process.command.name} (pid {process.pid}) does not end")
            time.sleep(_POLL_SECONDS)


def kill_pids(pids: Iterable[int]) -> None:
    """Kill processes by pid; for pids that were just read from the kernel."""
    for pid in pids:
        send(pid, signal.SIGKILL)
        _reap(pid)


def _reap(pid: int) -> None:
    """Collect a child of ours that ended; others are collected by whoever started them."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _start_ticks(pid: int) -> int | None:
    """Read the start time of a process, in clock ticks since boot; None when it is gone or a zombie.

    A process whose first thread is a zombie is not gone before its other threads are: its sockets are still open.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, which may hold anything.
    fields = line.rpartition(")")[2].split()
    state, thread_count, started_at_ticks = fields[0], int(fields[17]), int(fields[19])
    return None if state == "X" or (state == "Z" and thread_count <= 1) else started_at_ticks
