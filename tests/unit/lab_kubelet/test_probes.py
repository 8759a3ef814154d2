"""What the results of a probe add up to, and how long a container waits for its restart."""

import pytest

from baremetal_lb.lab.kubelet.backoff import Backoff, after_run
from baremetal_lb.lab.kubelet.probes import Tally, count, parse_probe, port_number


@pytest.mark.parametrize(
    ("passed", "results", "expected"),
    [
        pytest.param(False, "+", False, id="one success of two is not enough"),
        pytest.param(False, "++", True, id="two in a row are"),
        pytest.param(False, "+-+", False, id="a failure starts the count anew"),
        pytest.param(True, "--", True, id="two failures of three change nothing"),
        pytest.param(True, "---", False, id="three in a row do"),
        pytest.param(True, "--+--", True, id="a success forgives"),
        pytest.param(True, "---+", False, id="back only after two successes"),
        pytest.param(True, "---++", True, id="back after two successes"),
    ],
)
def test_thresholds(passed: bool, results: str, expected: bool) -> None:
    settings, tally = parse_probe({"successThreshold": 2, "failureThreshold": 3}), Tally(passed)
    for result in results:
        tally = count(settings, tally, ok=result == "+")
    assert tally.passed is expected


def test_defaults_are_those_of_the_api() -> None:
    settings = parse_probe({"exec": {}})
    assert (settings.delay_seconds, settings.period_seconds, settings.timeout_seconds) == (0, 10, 1)
    assert (settings.success_threshold, settings.failure_threshold) == (1, 3)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        pytest.param(80, 80, id="a number"),
        pytest.param("80", 80, id="a number in a string"),
        pytest.param("http", 8080, id="the name of a container's port"),
    ],
)
def test_port(port: int | str, expected: int) -> None:
    assert port_number(port, {"http": 8080}) == expected


def test_unknown_port_name() -> None:
    with pytest.raises(ValueError, match="'metrics'"):
        port_number("metrics", {"http": 8080})


def test_backoff_starts_at_once_then_doubles_to_five_minutes() -> None:
    waits, backoff = [], Backoff()
    for _ in range(8):
        waits.append(backoff.seconds)
        backoff = backoff.next()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize(
    ("ran_seconds", "expected"),
    [pytest.param(599, 40, id="still counted"), pytest.param(600, 0, id="forgiven after ten minutes")],
)
def test_backoff_after_a_run(ran_seconds: float, expected: float) -> None:
    assert after_run(Backoff(40), ran_seconds).seconds == expected
