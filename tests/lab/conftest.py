"""One lab for the whole run, whole again after each file, and the evidence of every failure in .lab-failures/.

Tests of packets need no lab, but two hosts on a cable: one for each file.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.state import lab_names
from bench.segment import Announcer, Segment, segment

FAILURES = Path(".lab-failures")
HERE = Path(__file__).parent
OUR_LAB = f"pytest{os.getpid()}"
LAB_OF_A_RUN = re.compile(r"(?:pytest|second)(\d+)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("lab")


@pytest.fixture(scope="session")
def bare_lab() -> Iterator[Lab]:
    """Three nodes and two clients, without the product."""
    _sweep()
    with Lab(OUR_LAB, nodes=3, clients=2, audit=True) as lab:
        yield lab


def _sweep() -> None:
    """Take down what an earlier run left that was killed."""
    for name in lab_names():
        match = LAB_OF_A_RUN.fullmatch(name)
        if match and not Path("/proc", match[1]).exists():
            Lab(name).down()


@pytest.fixture(scope="session")
def lab(bare_lab: Lab) -> Lab:
    """The same lab with the product installed."""
    bare_lab.install()
    return bare_lab


@pytest.fixture(scope="module", autouse=True)
def whole_again() -> Iterator[None]:
    """Mend what a file broke, so that the next one starts on a whole lab."""
    yield
    if OUR_LAB in lab_names():
        Lab.attach(OUR_LAB).heal_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        for lab in _labs_of(item):
            report.sections.append(("lab", _keep_evidence(item, lab)))
    return report


def _labs_of(item: pytest.Item) -> list[Lab]:
    """The labs that a test uses, each once."""
    values = getattr(item, "funcargs", {}).values()
    return list({lab.paths.name: lab for lab in values if isinstance(lab, Lab)}.values())


def _keep_evidence(item: pytest.Item, lab: Lab) -> str:
    directory = FAILURES / re.sub(r"[^\w.-]+", "_", item.nodeid) / lab.paths.name
    try:
        lab.collect(directory)
    except (LabError, OSError) as error:
        return f"no evidence of lab {lab.paths.name!r}: {error}"
    return f"logs, neighbour tables and objects of lab {lab.paths.name!r} are in {directory.resolve()}"


@pytest.fixture(scope="module")
def shared_cable() -> Iterator[Segment]:
    with segment() as pair:
        yield pair


@pytest.fixture(scope="module")
def shared_announcer(shared_cable: Segment) -> Iterator[Announcer]:
    with Announcer(shared_cable.speaker) as running:
        yield running


@pytest.fixture
def cable(shared_cable: Segment) -> Segment:
    """A cable as new: the client knows nobody."""
    shared_cable.run(shared_cable.client, "ip", "neigh", "flush", "all", "nud", "all")
    return shared_cable


@pytest.fixture
def announcer(shared_announcer: Announcer) -> Iterator[Announcer]:
    yield shared_announcer
    shared_announcer.announce()


@pytest.fixture
def undo(cable: Segment) -> Iterator[Callable[..., object]]:
    """Take commands to run in a namespace when the test is over."""
    with ExitStack() as stack:
        yield lambda namespace, *command: stack.callback(cable.run, namespace, *command)
