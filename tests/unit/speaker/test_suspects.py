"""What the beats say, and which side of a partition gives way."""

import pytest

from baremetal_lb.election.peer import PeerState
from baremetal_lb.speaker.suspects import RETURN_SECONDS, Suspects


def told(node: str, **states: PeerState) -> Suspects:
    made = Suspects(node)
    for number, (peer, state) in enumerate(states.items()):
        made.peer_changed(peer, state, float(number))
    return made


@pytest.mark.parametrize(
    ("state", "is_suspect", "is_leaving"),
    [
        pytest.param(PeerState.UNKNOWN, False, False, id="unknown: that says nothing"),
        pytest.param(PeerState.ALIVE, False, False, id="alive"),
        pytest.param(PeerState.LEAVING, False, True, id="leaving: it still holds what it held"),
        pytest.param(PeerState.UNHEALTHY, True, False, id="unhealthy"),
        pytest.param(PeerState.SILENT, True, False, id="silent"),
    ],
)
def test_what_a_state_means(state: PeerState, is_suspect: bool, is_leaving: bool) -> None:
    made = told("me", peer=state)
    assert (made.suspect_since("peer") == 0.0) == is_suspect
    assert (made.leaving_since("peer") == 0.0) == is_leaving
    assert made.is_away("peer") == (is_suspect or is_leaving)


def test_a_suspicion_lasts_from_its_first_moment() -> None:
    made = told("me", peer=PeerState.UNHEALTHY)
    made.peer_changed("peer", PeerState.SILENT, 5.0)
    assert made.suspect_since("peer") == 0.0
    made.peer_changed("peer", PeerState.ALIVE, 6.0)
    assert made.suspect_since("peer") is None
    made.peer_changed("peer", PeerState.SILENT, 7.0)
    assert made.suspect_since("peer") == 7.0


@pytest.mark.parametrize(
    ("states", "nobody"),
    [
        pytest.param("SS", False, id="two may well be gone both"),
        pytest.param("SSS", True, id="three are silent"),
        pytest.param("SSSU", True, id="of the fourth nothing was ever heard"),
        pytest.param("SSUU", False, id="only two were ever heard"),
        pytest.param("SSSA", False, id="one is alive"),
        pytest.param("SSH", False, id="one is heard, and says that it is unhealthy"),
        pytest.param("SSL", False, id="one is heard, and says that it leaves"),
    ],
)
def test_who_hears_nobody_is_rather_cut_off_itself(states: str, nobody: bool) -> None:
    meaning = {
        "S": PeerState.SILENT,
        "U": PeerState.UNKNOWN,
        "A": PeerState.ALIVE,
        "H": PeerState.UNHEALTHY,
        "L": PeerState.LEAVING,
    }
    made = told("me", **{f"peer{number}": meaning[letter] for number, letter in enumerate(states)})
    assert made.hears_nobody() == nobody


@pytest.mark.parametrize(
    ("before", "after", "is_back"),
    [
        pytest.param(PeerState.SILENT, PeerState.ALIVE, True, id="silent, then alive"),
        pytest.param(PeerState.SILENT, PeerState.UNHEALTHY, True, id="silent, then unhealthy: the network is back"),
        pytest.param(PeerState.SILENT, PeerState.UNKNOWN, False, id="silent, then unknown: that says nothing"),
        pytest.param(PeerState.UNHEALTHY, PeerState.ALIVE, False, id="its speaker only was away"),
        pytest.param(PeerState.UNKNOWN, PeerState.ALIVE, False, id="it is new"),
    ],
)
def test_who_is_back(before: PeerState, after: PeerState, is_back: bool) -> None:
    assert told("me", peer=before).peer_changed("peer", after, 5.0) == is_back


UP, AWAY = PeerState.ALIVE, PeerState.SILENT


@pytest.mark.parametrize(
    ("node", "states", "was_cut_off"),
    [
        pytest.param("b", {"a": AWAY, "c": AWAY}, True, id="alone of three: it was we"),
        pytest.param("b", {"a": AWAY, "c": UP}, False, id="two of three: it was the other"),
        pytest.param("b", {"a": AWAY}, True, id="two nodes: the first name stays"),
        pytest.param("a", {"b": AWAY}, False, id="two nodes: and that is ours"),
        pytest.param("b", {"a": AWAY, "c": UP, "d": AWAY}, True, id="two of four: not with the first name"),
        pytest.param("c", {"a": UP, "b": AWAY, "d": AWAY}, False, id="two of four: with the first name"),
        pytest.param("c", {"a": UP, "b": AWAY, "d": AWAY, "e": AWAY}, True, id="two of five"),
        pytest.param("b", {"a": AWAY, "c": PeerState.UNHEALTHY}, True, id="an unhealthy one is on no side"),
    ],
)
def test_which_side_gives_way(node: str, states: dict[str, PeerState], was_cut_off: bool) -> None:
    made = told(node, **states)
    first = next(peer for peer, state in states.items() if state is AWAY)
    made.peer_changed(first, UP, 10.0)
    assert made.was_cut_off(10.0) == was_cut_off


def test_who_comes_back_one_after_the_other_was_away_together() -> None:
    made = told("b", a=AWAY, c=AWAY)
    made.peer_changed("a", UP, 10.0)
    made.peer_changed("c", UP, 10.1)
    assert made.was_cut_off(10.1)
    made.peer_changed("c", AWAY, 20.0)
    made.peer_changed("c", UP, 20.0 + RETURN_SECONDS)
    assert not made.was_cut_off(20.0 + RETURN_SECONDS)


def test_who_is_no_peer_any_more_is_forgotten() -> None:
    made = told("me", one=AWAY, two=UP, three=PeerState.LEAVING)
    assert made.keep({"two"}) == {"one", "three"}
    assert set(made.states()) == {"two"}
    assert made.suspect_since("one") is made.leaving_since("three") is None
