"""What is concluded from a client's connections."""

import pytest

from baremetal_lb.lab.connections import Attempt, Connections, Download

SEEN = Connections([Attempt(1.0, 1.5), Attempt(2.0, None), Attempt(3.0, 4.5), Attempt(4.0, 4.25)])


@pytest.mark.parametrize(
    ("moment", "at"),
    [
        pytest.param(0.0, 1.5, id="the first of all"),
        pytest.param(
            1.0, 4.25, id="one that was begun later may come about earlier; one begun at the moment is no later"
        ),
        pytest.param(4.0, 0.0, id="none yet"),
    ],
)
def test_the_first_connection_after_a_moment(moment: float, at: float) -> None:
    assert SEEN.first_since(moment) == at


def test_what_did_not_come_about_has_failed() -> None:
    assert SEEN.failed_at() == [2.0]


@pytest.mark.parametrize(
    ("received_at", "gap"),
    [
        pytest.param([], 10.0, id="nothing came"),
        pytest.param([1.0, 12.0, 16.0, 30.0], 4.0, id="only the time asked for counts, its ends as if something came"),
        pytest.param([11.0, 12.0, 13.0], 7.0, id="nothing came at the end"),
    ],
)
def test_the_gap_in_a_download(received_at: list[float], gap: float) -> None:
    assert Download(received_at).gap_seconds(10.0, 20.0) == gap
