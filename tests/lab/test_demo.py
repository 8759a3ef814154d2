"""`make demo` is the first thing that a newcomer sees: it works, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import namespaces_of

NAME = f"demo{os.getpid()}"


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    """A demo under way, its output read line by line, in a process group of its own as a terminal gives it."""
    command = [sys.executable, "-m", "baremetal_lb.cli.main", "demo", "--name", NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()
            Lab(NAME).down()


def assert_nothing_is_left() -> None:
    paths = LabPaths.of(NAME)
    assert namespaces_of(paths) == []
    assert not paths.state.exists()


def test_the_demo_tells_the_whole_story_and_leaves_nothing() -> None:
    with demo() as process:
        told, _ = process.communicate(timeout=240)
        assert process.returncode == 0, told
        assert_nothing_is_left()
    assert "✗" not in told
    assert re.search(r"echo +LoadBalancer +\S+ +192\.0\.2\.100,2001:db8:0:2::100 ", told)
    assert told.count("ip neighbour  →  192.0.2.100 dev eth0 lladdr 02:62:6d:") == 2
    assert re.search(r"without a page of 192\.0\.2\.100 for [0-4]\.\d\d s", told)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="a machine that shuts down")],
)
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals) -> None:
    with demo() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "client start in network namespaces" in line:
                break
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert_nothing_is_left()


def test_a_lab_of_somebody_else_is_left_alone() -> None:
    with Lab(NAME, nodes=0, clients=0), demo() as process:
        told, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"lab down --name {NAME}" in told
        assert LabPaths.of(NAME).state.exists()
