"""A process is known by pid and start time, so that a stranger with the same pid is left alone."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from baremetal_lb.lab import processes
from baremetal_lb.lab.processes import Command, Started, is_alive, kill, wait_until_gone

COMMAND = Command("sleeper", "cp", ("sleep",), {})


@pytest.fixture
def sleeper() -> Iterator[Started]:
    with subprocess.Popen(["sleep", "60"]) as child:
        ticks = processes._start_ticks(child.pid)
        assert ticks is not None
        yield Started(COMMAND, child.pid, ticks)
        child.kill()


def test_it_is_alive_until_it_is_killed(sleeper: Started) -> None:
    assert is_alive(sleeper)
    kill([sleeper])
    wait_until_gone([sleeper])
    assert not is_alive(sleeper)


def test_a_stranger_with_the_same_pid_is_not_killed(sleeper: Started) -> None:
    earlier = dataclasses.replace(sleeper, started_at_ticks=sleeper.started_at_ticks - 1)
    assert not is_alive(earlier)
    kill([earlier])
    assert is_alive(sleeper)


def test_a_zombie_is_not_alive() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert processes._start_ticks(pid) is None
    os.waitpid(pid, 0)


def test_a_process_whose_start_was_not_seen_is_not_alive() -> None:
    assert not is_alive(Started(COMMAND, os.getpid(), 0))


def test_waiting_for_one_that_stays_ends(sleeper: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.0)
    kill([sleeper], signal.SIGCONT)
    with pytest.raises(TimeoutError, match="sleeper"):
        wait_until_gone([sleeper])


LEADER_ENDS_FIRST = """
import ctypes, os, threading
def outlive():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        pass
    os.write(1, b"!")
    os.read(0, 1)
    os._exit(0)
threading.Thread(target=outlive).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_as_long_as_any_of_its_threads() -> None:
    """Its sockets are open until then, so that nobody else can have its port."""
    program = [sys.executable, "-c", LEADER_ENDS_FIRST]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        ticks = processes._start_ticks(child.pid)
        assert ticks is not None
        started = Started(COMMAND, child.pid, ticks)
        assert child.stdout.read(1) == b"!"
        assert is_alive(started)
        child.stdin.close()
        wait_until_gone([started])
