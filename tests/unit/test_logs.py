"""One form for every line, ours or a library's."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from baremetal_lb.logs import LogFormat, LogLevel, configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_our_lines_and_those_of_libraries_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger().info("service decided", reason="Assigned")
    structlog.get_logger().debug("not written")
    logging.getLogger("library").warning("beware")
    logging.getLogger("library").info("not written")

    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (ours["event"], ours["level"], ours["reason"]) == ("service decided", "info", "Assigned")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("beware", "warning", "library")


def test_a_line_for_people_is_plain_where_nobody_can_see_colours(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.WARNING, LogFormat.CONSOLE)
    structlog.get_logger().info("not written")
    structlog.get_logger().warning("beware", why="because")

    (line,) = capsys.readouterr().err.splitlines()
    assert "beware" in line
    assert "\x1b" not in line
