"""Two nodes, `a` and `b`, that beat every 100 ms; `a` watches `b`, which is silent after 325 ms."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count, pairwise

import pytest

from baremetal_lb.election.beats import (
    FIRST_BEAT_SECONDS,
    MAX_WATCHERS,
    TRANSITIONS,
    BeatInput,
    Beats,
    Effect,
    ImpossibleTransitionError,
    PeerChanged,
    Rhythm,
    SendBeat,
)
from baremetal_lb.election.messages import (
    NO_FLAG,
    Beat,
    Flag,
    Refused,
    RefusedBeat,
    build_beat,
    fingerprint,
    parse_beat,
)
from baremetal_lb.election.peer import NONCE_SECONDS, WATCHER_SECONDS, PeerState

UNKNOWN, ALIVE, LEAVING, UNHEALTHY, SILENT = PeerState
RHYTHM = Rhythm(interval_seconds=0.1, misses=3, speaker_seconds=0.3)
OLD, NEW = {1: b"1" * 32}, {2: b"2" * 32}
START = 1_000.0
ADDRESSES = {"a": "192.0.2.11", "b": "2001:db8:0:2::12"}
MS = 0.001


class Node:
    """A machine, and what has happened to those that it watches."""

    numbers = count(1)

    def __init__(self, name: str, *, keys: dict[int, bytes] = OLD) -> None:
        self.name = name
        self.machine = Beats(name, next(self.numbers), RHYTHM, lambda: next(self.numbers), START)
        self.changes: list[tuple[PeerState, PeerState]] = []
        self.machine.set_keys(keys, START)
        self.machine.speaker_is_well(START)

    def state_of(self, node: str) -> PeerState:
        return self.machine.states[node][0]

    def sent(self, effects: Iterable[Effect]) -> list[SendBeat]:
        """Remember what has changed, and answer what is to be sent."""
        beats = []
        for effect in effects:
            if isinstance(effect, PeerChanged):
                self.changes.append((effect.before, effect.after))
            else:
                beats.append(effect)
        self.machine.check_invariants()
        return beats


class Cable:
    """`a` and `b`, with a wire in each direction that can be cut; every beat is delivered at once."""

    def __init__(self) -> None:
        self.a, self.b = Node("a"), Node("b")
        self.now = START
        self.addresses = dict(ADDRESSES)
        self.cut: set[str] = set()
        """The senders whose beats are lost."""
        self.stalled: set[str] = set()
        """The nodes that don't run; what is sent to them waits."""
        self.ill: set[str] = set()
        """The nodes whose speakers don't say that they are well."""
        self.waiting: dict[str, list[SendBeat]] = {"a": [], "b": []}
        self.heard: list[tuple[str, bytes]] = []
        """All that was delivered: to whom, and what."""
        self.refused: Counter[Refused] = Counter()

    def watch(self) -> None:
        self.do(self.a, self.a.machine.set_peers({"b": ADDRESSES["b"]}, self.now))

    def restart(self, name: str) -> None:
        node = Node(name)
        setattr(self, name, node)

    def do(self, node: Node, effects: Iterable[Effect]) -> None:
        other = self.b if node is self.a else self.a
        for beat in node.sent(effects):
            if node.name in self.cut or beat.address != self.addresses[other.name]:
                continue
            self.waiting[other.name].append(beat)
            if other.name not in self.stalled:
                self.read(other)

    def read(self, node: Node) -> None:
        waiting, self.waiting[node.name] = self.waiting[node.name], []
        for beat in waiting:
            self.heard.append((node.name, beat.data))
            sender = self.addresses["b" if node is self.a else "a"]
            try:
                effects = node.machine.beat_received(beat.data, sender, self.now)
            except RefusedBeat as refused:
                self.refused[refused.reason] += 1
                continue
            self.do(node, effects)

    def run(self, seconds: float) -> None:
        """Let time pass in steps of 10 ms; `a` is called before `b`."""
        for _ in range(round(seconds * 100)):
            self.now += 10 * MS
            for node in (self.a, self.b):
                if node.name in self.stalled:
                    continue
                self.read(node)
                if node.name not in self.ill:
                    self.do(node, node.machine.speaker_is_well(self.now))
                self.do(node, node.machine.tick(self.now))

    def run_until(self, state: PeerState, *, within: float) -> float:
        """Run until `a` sees `b` so, and answer how long that took."""
        start = self.now
        while self.a.state_of("b") is not state:
            self.run(0.01)
            assert self.now - start <= within + MS, f"not {state} within {within} s"
        return self.now - start


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    made.watch()
    made.run(0.5)
    assert made.a.changes == [(UNKNOWN, ALIVE)]
    yield made
    for node in (made.a, made.b):
        node.machine.check_invariants()


def reason_for(node: Node, data: bytes, now: float) -> Refused:
    with pytest.raises(RefusedBeat) as raised:
        node.machine.beat_received(data, "192.0.2.99", now)
    return raised.value.reason


# The states of a watched node.

APPLY: dict[BeatInput, Callable[[Cable], None]] = {
    BeatInput.WELL: lambda cable: cable.cut.clear(),
    BeatInput.LEAVING: lambda cable: cable.do(cable.b, cable.b.machine.set_flags(Flag.LEAVING, cable.now)),
    BeatInput.UNHEALTHY: lambda cable: cable.do(cable.b, cable.b.machine.set_flags(Flag.UNHEALTHY, cable.now)),
    BeatInput.EXPIRED: lambda cable: cable.cut.add("b"),
}
BRING_INTO = {UNKNOWN: None, ALIVE: BeatInput.WELL, LEAVING: BeatInput.LEAVING} | {
    UNHEALTHY: BeatInput.UNHEALTHY,
    SILENT: BeatInput.EXPIRED,
}


@pytest.mark.parametrize("happened", list(BeatInput))
@pytest.mark.parametrize("state", list(PeerState))
def test_every_state_meets_every_input(state: PeerState, happened: BeatInput) -> None:
    """What is not in the table changes nothing: one that is silent can't fall silent."""
    cable = Cable()
    cable.cut.add("b")
    cable.watch()
    before = BRING_INTO[state]
    if before is not None:
        cable.cut.clear()
        APPLY[before](cable)
        cable.run(1.5)
    assert cable.a.state_of("b") is state
    cable.cut.clear()
    cable.b.sent(cable.b.machine.set_flags(NO_FLAG, cable.now))
    APPLY[happened](cable)
    cable.run(1.5)
    assert cable.a.state_of("b") is TRANSITIONS.get((state, happened), state)


def test_a_transition_outside_the_table_is_our_own_fault(cable: Cable) -> None:
    cable.cut.add("b")
    cable.run(0.5)
    peer = cable.a.machine._peers["b"]
    with pytest.raises(ImpossibleTransitionError, match="b: expired while silent"):
        cable.a.machine._apply(peer, BeatInput.EXPIRED)
    assert cable.a.state_of("b") is SILENT


@pytest.mark.parametrize(
    ("state", "is_suspect"),
    [(UNKNOWN, False), (ALIVE, False), (LEAVING, False), (UNHEALTHY, True), (SILENT, True)],
)
def test_suspect_is_who_may_not_answer_for_its_addresses(state: PeerState, *, is_suspect: bool) -> None:
    assert state.is_suspect is is_suspect


# Silence.


def test_a_dead_node_is_silent_after_its_last_beat_and_three_missed_ones(cable: Cable) -> None:
    _, heard_at = cable.a.machine.states["b"]
    cable.cut.add("b")
    cable.run_until(SILENT, within=0.34)
    assert heard_at is not None
    assert cable.now - heard_at == pytest.approx(RHYTHM.silent_seconds, abs=10 * MS)
    assert cable.a.changes == [(UNKNOWN, ALIVE), (ALIVE, SILENT)]


def test_two_missed_beats_are_nothing(cable: Cable) -> None:
    for _ in range(5):
        cable.cut.add("b")
        cable.run(0.2)
        cable.cut.clear()
        cable.run(0.1)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_the_machine_asks_to_be_called_for_its_own_beats_and_for_the_end_of_somebodys_time(cable: Cable) -> None:
    machine = cable.a.machine
    _, heard_at = machine.states["b"]
    assert heard_at is not None
    deadlines = []
    while cable.a.state_of("b") is ALIVE:
        deadlines.append(machine.next_deadline())
        cable.a.sent(machine.tick(deadlines[-1]))
    *beats, end = deadlines
    assert [later - earlier for earlier, later in pairwise(beats)] == pytest.approx([0.1] * (len(beats) - 1))
    assert end == pytest.approx(heard_at + RHYTHM.silent_seconds)


def test_one_that_returns_is_alive_at_once(cable: Cable) -> None:
    cable.cut.add("b")
    cable.run(3.0)
    cable.cut.clear()
    assert cable.run_until(ALIVE, within=0.2) <= 0.2


def test_one_that_was_never_heard_has_a_second_for_its_first_beat() -> None:
    cable = Cable()
    cable.cut = {"a", "b"}
    cable.watch()
    assert cable.run_until(SILENT, within=1.05) == pytest.approx(FIRST_BEAT_SECONDS, abs=11 * MS)
    assert cable.a.machine.states["b"] == (SILENT, None)


def test_on_a_link_that_carries_one_way_only_both_become_silent() -> None:
    """That of `b` which still arrives echoes nothing of ours that is fresh."""
    cable = Cable()
    cable.watch()
    cable.do(cable.b, cable.b.machine.set_peers({"a": ADDRESSES["a"]}, cable.now))
    cable.run(0.5)
    cable.cut.add("a")
    cable.run(RHYTHM.silent_seconds)
    assert (cable.a.state_of("b"), cable.b.state_of("a")) == (ALIVE, SILENT)
    cable.run(NONCE_SECONDS)
    assert (cable.a.state_of("b"), cable.b.state_of("a")) == (SILENT, SILENT)


def test_one_that_does_not_know_yet_that_we_watch_it_has_as_long_for_its_second_beat() -> None:
    """It must hear us once more: our first beat could have been a recording."""
    cable = Cable()
    cable.watch()
    assert cable.a.state_of("b") is ALIVE
    cable.cut.add("a")
    assert cable.run_until(SILENT, within=1.05) == pytest.approx(FIRST_BEAT_SECONDS, abs=11 * MS)


# Our own stalls.


@pytest.mark.parametrize("seconds", [0.06, 0.3, 1.0, 5.0, 3_600.0])
def test_a_stall_of_ours_is_nobodys_silence(cable: Cable, seconds: float) -> None:
    cable.stalled.add("a")
    cable.waiting["a"].clear()
    cable.now += seconds
    cable.stalled.clear()
    cable.run(1.0)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_stalls_one_after_the_other_are_nobodys_silence(cable: Cable) -> None:
    """Each is longer than a nonce lives, so no answer to what we send in between would count without the guard."""
    for _ in range(20):
        cable.stalled.add("a")
        cable.run(1.2)
        cable.stalled.clear()
        cable.run(0.02)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_a_stall_is_no_longer_grace_than_it_was(cable: Cable) -> None:
    cable.cut.add("b")
    cable.run(0.1)
    cable.stalled.add("a")
    cable.run(2.0)
    cable.stalled.clear()
    assert cable.run_until(SILENT, within=0.3) >= 0.12


def test_a_little_late_is_no_stall(cable: Cable) -> None:
    """Timers always are; and detection must not become slower by that."""
    cable.cut.add("b")
    start = cable.now
    while cable.a.state_of("b") is ALIVE:
        cable.now = cable.a.machine.next_deadline() + 45 * MS
        cable.do(cable.a, cable.a.machine.tick(cable.now))
    assert cable.now - start <= RHYTHM.silent_seconds + 0.1


# Recordings and forgeries.


def test_the_beats_of_a_dead_node_never_count_again(cable: Cable) -> None:
    """Not one after the other, not all at once, not in a new run of ours."""
    recorded = [data for receiver, data in cable.heard if receiver == "a"]
    cable.cut.add("b")
    cable.run(2.0)
    for node in (cable.a, Node("a")):
        node.sent(node.machine.set_peers({"b": ADDRESSES["b"]}, cable.now))
        before = node.state_of("b")
        for data in recorded * 2:
            with suppress(RefusedBeat):
                node.sent(node.machine.beat_received(data, ADDRESSES["b"], cable.now))
            node.sent(node.machine.tick(cable.now))
        assert node.state_of("b") is before


def test_a_beat_that_comes_twice_or_too_late_is_refused(cable: Cable) -> None:
    *_, earlier, last = [data for receiver, data in cable.heard if receiver == "a"]
    for data in (last, earlier):
        assert reason_for(cable.a, data, cable.now) is Refused.OLD


def test_the_last_beat_of_an_earlier_run_does_not_count_after_the_first_of_a_new_one(cable: Cable) -> None:
    cable.cut.add("b")
    (late,) = cable.b.sent(cable.b.machine.tick(cable.now + 0.1))
    cable.cut.clear()
    cable.restart("b")
    cable.run(0.3)
    heard_at = cable.a.machine.states["b"]
    assert cable.a.sent(cable.a.machine.beat_received(late.data, ADDRESSES["b"], cable.now)) == []
    assert cable.a.machine.states["b"] == heard_at


def test_a_recording_does_not_spoil_the_talk_of_the_living(cable: Cable) -> None:
    recorded = [data for receiver, data in cable.heard if receiver == "b"]
    cable.restart("b")
    cable.run(0.5)
    for _ in range(100):
        for data in recorded[-3:]:
            with pytest.raises(RefusedBeat, match="Old"):
                cable.b.machine.beat_received(data, "192.0.2.99", cable.now)
        cable.run(0.01)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_a_recording_makes_us_send_no_more_than_it_holds() -> None:
    """A first beat is answered with one, so that a spoofed address gets no more from us than from the spoofer."""
    cable, node = Cable(), Node("b")
    cable.watch()
    first = next(data for receiver, data in cable.heard if receiver == "b")
    answers = []
    for step in range(200):
        now = START + step * 10 * MS
        if step % 2:
            answers += node.sent(node.machine.beat_received(first, "192.0.2.99", now))
        answers += node.sent(node.machine.tick(now))
    assert {one.address for one in answers} == {"192.0.2.99"}
    assert len(answers) <= 2.0 / (RHYTHM.interval_seconds / 2)


@pytest.mark.parametrize(
    ("sender", "receiver", "reason"),
    [
        pytest.param("a", "a", Refused.OWN, id="our own that comes back"),
        pytest.param("b", "c", Refused.FOR_ANOTHER_NODE, id="one for the node that had our address before"),
    ],
)
def test_authentic_beats_that_are_not_for_us_are_refused(
    cable: Cable, sender: str, receiver: str, reason: Refused
) -> None:
    beat = Beat(sender, fingerprint(receiver), NO_FLAG, 1, 1, 1, 1, 0)
    assert reason_for(cable.a, build_beat(beat, 1, OLD[1]), cable.now) is reason


# New runs, watchers, addresses.


def test_a_new_run_of_the_other_side_is_no_gap(cable: Cable) -> None:
    cable.restart("b")
    cable.run(1.0)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_a_new_run_of_ours_hears_the_other_side_at_once(cable: Cable) -> None:
    cable.restart("a")
    cable.watch()
    assert cable.run_until(ALIVE, within=0.2) <= 0.2


def test_who_is_watched_answers_from_then_on_to_where_the_watcher_is(cable: Cable) -> None:
    (beat,) = cable.b.sent(cable.b.machine.tick(cable.now + 0.1))
    assert beat.address == ADDRESSES["a"]
    assert parse_beat(beat.data, OLD).flags == Flag.STEADY


def test_beats_to_who_watches_no_more_end(cable: Cable) -> None:
    cable.do(cable.a, cable.a.machine.set_peers({}, cable.now))
    cable.run(WATCHER_SECONDS)
    assert cable.b.sent(cable.b.machine.tick(cable.now + 0.1)) == []
    assert cable.a.sent(cable.a.machine.tick(cable.now + 0.1)) == []
    assert cable.a.machine.states == {}


def test_a_change_of_address_counts_at_once(cable: Cable) -> None:
    (beat,) = cable.a.sent(cable.a.machine.set_peers({"b": "192.0.2.12"}, cable.now))
    assert beat.address == "192.0.2.12"
    assert cable.a.state_of("b") is ALIVE
    assert cable.a.machine.set_peers({"b": "192.0.2.12"}, cable.now) == []


def test_a_watcher_is_followed_to_its_new_address(cable: Cable) -> None:
    cable.addresses["a"] = "192.0.2.21"
    cable.run(1.0)
    (beat,) = cable.b.sent(cable.b.machine.tick(cable.now + 0.1))
    assert beat.address == "192.0.2.21"
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_a_beat_that_was_held_back_does_not_lead_ours_astray(cable: Cable) -> None:
    """Whoever sends it from elsewhere gets one beat, and can't sign an answer."""
    cable.cut.add("a")
    held_back = cable.a.sent(cable.a.machine.tick(cable.now + 0.1))[-1]
    (answer,) = cable.b.sent(cable.b.machine.beat_received(held_back.data, "192.0.2.99", cable.now))
    assert answer.address == "192.0.2.99"
    (beat,) = cable.b.sent(cable.b.machine.tick(cable.now + 0.1))
    assert beat.address == ADDRESSES["a"]


def test_what_was_held_back_does_not_bring_a_silent_node_back(cable: Cable) -> None:
    cable.cut.add("b")
    held_back = cable.b.sent(cable.b.machine.tick(cable.now + 0.1))[-1]
    cable.run_until(SILENT, within=0.34)
    cable.a.sent(cable.a.machine.beat_received(held_back.data, ADDRESSES["b"], cable.now))
    assert cable.a.state_of("b") is SILENT


def test_watchers_have_a_cap_and_whom_we_watch_does_not_count() -> None:
    node = Node("a")
    node.sent(node.machine.set_peers({"b": ADDRESSES["b"]}, START))
    for number in range(MAX_WATCHERS + 1):
        beat = Beat(f"w{number}", fingerprint("a"), Flag.WATCHING, 1, 1, 1, 1, 0)
        data = build_beat(beat, 1, OLD[1])
        if number < MAX_WATCHERS:
            assert len(node.sent(node.machine.beat_received(data, "192.0.2.99", START))) == 1
        else:
            assert reason_for(node, data, START) is Refused.TOO_MANY_PEERS
    for step in range(120):
        node.sent(node.machine.tick(START + step * 10 * MS))
    assert set(node.machine._peers) == {"b"}


# What a speaker says of itself.


def test_a_speaker_that_leaves_says_so_at_once(cable: Cable) -> None:
    cable.do(cable.b, cable.b.machine.set_flags(Flag.LEAVING, cable.now))
    assert cable.a.state_of("b") is LEAVING


def test_a_speaker_that_does_not_say_that_it_is_well_is_unhealthy(cable: Cable) -> None:
    cable.ill.add("b")
    cable.run(0.29)
    assert cable.a.state_of("b") is ALIVE
    cable.run(0.02)
    assert cable.a.state_of("b") is UNHEALTHY
    cable.ill.clear()
    cable.run(0.01)
    assert cable.a.state_of("b") is ALIVE


def test_a_stall_of_the_whole_node_does_not_make_its_speaker_unhealthy(cable: Cable) -> None:
    cable.stalled.add("b")
    cable.run(0.2)
    cable.stalled.clear()
    cable.ill.add("b")
    cable.run(0.15)
    assert cable.a.state_of("b") is ALIVE


def test_the_end_of_a_speaker_is_told_at_once_and_outdoes_its_farewell(cable: Cable) -> None:
    cable.do(cable.b, cable.b.machine.set_flags(Flag.LEAVING, cable.now))
    cable.do(cable.b, cable.b.machine.speaker_is_gone(cable.now))
    assert cable.a.state_of("b") is UNHEALTHY


# Keys.


def turn_keys(cable: Cable, *steps: tuple[str, dict[int, bytes]], every: float) -> None:
    for name, keys in steps:
        node: Node = getattr(cable, name)
        cable.do(node, node.machine.set_keys(keys, cable.now))
        cable.run(every)


def test_keys_change_with_overlap_and_nobody_notices(cable: Cable) -> None:
    """A new key is not used with a node that has not shown that it has it, too."""
    both = OLD | NEW
    turn_keys(cable, ("a", both), ("b", both), ("a", NEW), ("b", NEW), every=2.0)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_nodes_with_one_key_in_common_find_it() -> None:
    """Neither knows which: who is not in touch is tried with any."""
    cable = Cable()
    cable.a.machine.set_keys(OLD | NEW, START)
    cable.b.machine.set_keys(NEW | {3: b"3" * 32}, START)
    cable.watch()
    cable.run_until(ALIVE, within=FIRST_BEAT_SECONDS)
    cable.run(2.0)
    assert cable.a.changes == [(UNKNOWN, ALIVE)]


def test_keys_that_change_without_overlap_cost_silence_until_both_have_them(cable: Cable) -> None:
    turn_keys(cable, ("b", NEW), every=2.0)
    assert cable.a.state_of("b") is SILENT
    assert cable.refused[Refused.UNKNOWN_KEY] > 20
    cable.do(cable.a, cable.a.machine.set_keys(NEW, cable.now))
    cable.run_until(ALIVE, within=0.2)


def test_without_a_key_nobody_is_judged_and_nothing_is_sent() -> None:
    node = Node("a", keys={})
    assert node.sent(node.machine.set_peers({"b": ADDRESSES["b"]}, START)) == []
    for step in range(500):
        assert node.sent(node.machine.tick(START + step * 10 * MS)) == []
    assert node.state_of("b") is UNKNOWN
    assert len(node.sent(node.machine.set_keys(OLD, START + 5.0))) == 1
