"""Whether the nodes that this one watches are alive: a machine fed with their beats and with time.

Theory of operation. Beats go both ways between two nodes of which one watches the other: to every node that we watch,
and to every one that lately proved that it watches us. Each beat carries a fresh nonce and echoes the newest one that
came from the other side. A beat *proves life* if it echoes a nonce that we sent to that node 0.7 seconds ago at most.
Nothing that was recorded before can do that, and no clock is compared with another's. A proof also ends the use of all
older nonces, so an earlier run of the same node proves nothing any more. Within a run (an `incarnation`) the sequence
must grow.

A watched node that proved nothing for `misses` intervals and a quarter is SILENT: one beat in `misses` may be all that
gets through. From then on only an echo of a newer nonce shows that it is back, so beats that were held back on the way
don't. A node that was never heard has a second for its first beat.

A beat that is authentic but proves nothing may be the first of a node that has just started. It is answered with one
beat, to give its sender a nonce to echo; not more, so that a recording makes nobody send much to anybody.

The machine lives in a time of its own, from which its own stalls are cut out: where it is called later than it asked
for by more than `STALL_SECONDS`, that span never happened, for deadlines and nonces alike. Whoever drives it reads
every datagram that waits before it calls `tick`, since only `tick` judges.

A beat also says whether its sender goes on beating to us by itself. A node that does not know that we watch it, yet or
any more (after a long stall of ours), has to hear us first. So it has as long for its next beat as for its first.

Several keys may be in use while they are changed. To a node that we are in touch with we sign with the newest key that
it has, too; to others with each in turn.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple

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
from baremetal_lb.election.peer import KEPT_SECONDS, Nonce, Peer, PeerState

STALL_SECONDS = 0.05
FIRST_BEAT_SECONDS = 1.0
"""What a node that is watched from now on may take: it may have to learn of us, or of a key."""

MAX_WATCHERS = 256
"""Nodes that watch us but that we don't watch. Further ones get no answer; they don't know about us, and do nothing."""


class BeatInput(StrEnum):
    """What can happen to it."""

    WELL = "well"
    LEAVING = "leaving"
    UNHEALTHY = "unhealthy"
    EXPIRED = "expired"


_HEARD = {
    BeatInput.WELL: PeerState.ALIVE,
    BeatInput.LEAVING: PeerState.LEAVING,
    BeatInput.UNHEALTHY: PeerState.UNHEALTHY,
}
TRANSITIONS: dict[tuple[PeerState, BeatInput], PeerState] = {
    **{(state, heard): after for state in PeerState for heard, after in _HEARD.items()},
    (PeerState.UNKNOWN, BeatInput.EXPIRED): PeerState.SILENT,
    (PeerState.ALIVE, BeatInput.EXPIRED): PeerState.SILENT,
    (PeerState.LEAVING, BeatInput.EXPIRED): PeerState.SILENT,
    (PeerState.UNHEALTHY, BeatInput.EXPIRED): PeerState.SILENT,
}
"""A proof of life says what the node is, whatever it was. One that is silent cannot expire: that is a fault of ours."""


class ImpossibleTransitionError(AssertionError):
    """Our own bug: a state met an input that cannot reach it."""


class SendBeat(NamedTuple):
    """Send a datagram to an address, at the port that all speakers use."""

    address: str
    data: bytes


class PeerChanged(NamedTuple):
    """A watched node is in another state than before. `heard_at` is when it last proved its life; None for never."""

    node: str
    before: PeerState
    after: PeerState
    heard_at: float | None


Effect = SendBeat | PeerChanged


class Rhythm(NamedTuple):
    """The times of the beats, in seconds, the same for all speakers.

    A speaker that did not say for `speaker_seconds` that it is well is beaten for as unhealthy.
    """

    interval_seconds: float
    misses: int
    speaker_seconds: float

    @property
    def silent_seconds(self) -> float:
        """How long a node may prove nothing.

        Its beats may arrive a quarter of an interval apart from their rhythm, for lateness of its timers and delay in
        the network together, while as many are lost as may be; an interval and a quarter where one fewer is lost.
        """
        return (self.misses + 0.25) * self.interval_seconds


class Beats:
    """The machine of one run of a node's speaker. `draw_nonce` gives random numbers of 64 bits, never 0."""

    def __init__(self, node: str, incarnation: int, rhythm: Rhythm, draw_nonce: Callable[[], int], now: float) -> None:
        self._node = node
        self._incarnation = incarnation
        self._rhythm = rhythm
        self._draw_nonce = draw_nonce
        self._fingerprint = fingerprint(node)
        self._keys: dict[int, bytes] = {}
        self._peers: dict[str, Peer] = {}
        self._sequence = 0
        self._flags = NO_FLAG
        self._said = Flag.UNHEALTHY
        self._well_until = -inf
        self._beat_at = now
        self._stalled = 0.0
        """All our stalls together: what the machine's time is behind the clock."""

    @property
    def states(self) -> dict[str, tuple[PeerState, float | None]]:
        """The state of every node that is watched, and when it last proved its life."""
        return {peer.node: (peer.state, peer.heard_at) for peer in self._watched()}

    def set_peers(self, addresses: Mapping[str, str], now: float) -> list[Effect]:
        """Watch these nodes, at these addresses, and no others; ourselves never."""
        assert self._node not in addresses
        at = self._pass_time(now)
        for peer in self._watched():
            if peer.node not in addresses:
                peer.is_watched, peer.kept_until = False, at + KEPT_SECONDS
        effects: list[Effect] = []
        for node, address in addresses.items():
            peer = self._peers.setdefault(node, Peer(node, at))
            is_news = not peer.is_watched or peer.address != address
            if not peer.is_watched:
                peer.state, peer.quiet_since = PeerState.UNKNOWN, at
            peer.is_watched, peer.address = True, address
            if is_news:
                effects += self._beat_to(peer, address, at)
        return effects

    def set_keys(self, keys: Mapping[int, bytes], now: float) -> list[Effect]:
        """Take these keys by id: all verify, and none but these. Everybody gets his full time anew."""
        at = self._pass_time(now)
        if keys == self._keys:
            return []
        self._keys = dict(keys)
        for peer in self._peers.values():
            peer.quiet_since = at
        return self._beat(at)

    def set_flags(self, flags: Flag, now: float) -> list[Effect]:
        """Say LEAVING or UNHEALTHY of ourselves from now on, at once; or neither."""
        assert not flags & (Flag.WATCHING | Flag.STEADY)
        at = self._pass_time(now)
        self._flags = flags
        return self._beat_if_due(at)

    def speaker_is_well(self, now: float) -> list[Effect]:
        """Take in a sign of life of our own speaker."""
        at = self._pass_time(now)
        self._well_until = at + self._rhythm.speaker_seconds
        return self._beat_if_due(at)

    def speaker_is_gone(self, now: float) -> list[Effect]:
        """Take in that our own speaker has ended, and tell the others."""
        at = self._pass_time(now)
        self._well_until = -inf
        return self._beat_if_due(at)

    def beat_received(self, data: bytes, sender: str, now: float) -> list[Effect]:
        """Take in a datagram from an address; raise RefusedBeat."""
        at = self._pass_time(now)
        beat = parse_beat(data, self._keys)
        if beat.sender == self._node:
            raise RefusedBeat(Refused.OWN)
        if beat.receiver != self._fingerprint:
            raise RefusedBeat(Refused.FOR_ANOTHER_NODE)
        peer = self._peer_of(beat, at)
        if beat.incarnation == peer.incarnation and beat.sequence <= peer.sequence:
            raise RefusedBeat(Refused.OLD)
        echoed = peer.nonce_in(beat, at)
        if echoed is None:
            return self._greeted(peer, beat, sender, at)
        peer.life_proved(beat, at, now)
        peer.heard_at = now
        return self._moved(peer, echoed, sender, at) + self._apply(peer, _what_it_says(beat.flags))

    def tick(self, now: float) -> list[Effect]:
        """Let time pass: beat, and judge who was silent for too long."""
        at = self._pass_time(now)
        effects = self._beat_if_due(at)
        for peer in list(self._peers.values()):
            if at >= self._silent_at(peer):
                peer.fell_silent()
                effects += self._apply(peer, BeatInput.EXPIRED)
            if not peer.is_watched and at >= peer.kept_until:
                del self._peers[peer.node]
        return effects

    def next_deadline(self) -> float:
        """Tell when `tick` may have something to do, if nothing else happens before."""
        at = min(self._beat_at, *(self._silent_at(peer) for peer in self._peers.values()), inf)
        if not self._said & Flag.UNHEALTHY:
            at = min(at, self._well_until)
        return at + self._stalled

    def check_invariants(self) -> None:
        """Hold after every call."""
        assert self._node not in self._peers
        for node, peer in self._peers.items():
            assert peer.node == node
            assert peer.address or not peer.is_watched
            assert peer.is_watched or self._silent_at(peer) == inf
            assert (peer.incarnation is None) == (peer.heard_at is None)
            assert peer.heard_at is not None or peer.state in {PeerState.UNKNOWN, PeerState.SILENT}
            assert list(peer.nonces) == sorted(peer.nonces, key=lambda nonce: nonce.sent_at)

    def _pass_time(self, now: float) -> float:
        """Tell what time it is for the machine. There is always a beat to come, so that is what it asked for."""
        late_by = now - self._stalled - self._beat_at
        if late_by > STALL_SECONDS:
            self._stalled += late_by
        return now - self._stalled

    def _watched(self) -> Iterator[Peer]:
        return (peer for peer in self._peers.values() if peer.is_watched)

    def _peer_of(self, beat: Beat, at: float) -> Peer:
        peer = self._peers.get(beat.sender)
        if peer is not None:
            return peer
        if sum(not one.is_watched for one in self._peers.values()) >= MAX_WATCHERS:
            raise RefusedBeat(Refused.TOO_MANY_PEERS)
        peer = self._peers[beat.sender] = Peer(beat.sender, at)
        return peer

    def _moved(self, peer: Peer, echoed: Nonce, sender: str, at: float) -> list[Effect]:
        """Follow a watcher to another address, once it has echoed a nonce that was sent there.

        What was held back may come from anywhere, and must not lead our beats astray.
        """
        if peer.is_watched or sender == peer.address:
            return []
        if sender == echoed.address:
            peer.address = sender
            return []
        return self._reply(peer, sender, at)

    def _greeted(self, peer: Peer, beat: Beat, sender: str, at: float) -> list[Effect]:
        """Answer a beat that proves nothing, unless its sender is in touch: then our next one tells it all it needs.

        So a recording cannot make us echo an old nonce to a node that is alive.
        """
        is_in_touch = peer.incarnation is not None and at < peer.quiet_since + self._rhythm.silent_seconds
        if is_in_touch or not peer.greets_anew(beat):
            return []
        peer.greeted(beat)
        return self._reply(peer, peer.address if peer.is_watched else sender, at)

    def _reply(self, peer: Peer, address: str, at: float) -> list[Effect]:
        if at < peer.reply_not_before:
            return []
        peer.reply_not_before = at + self._rhythm.interval_seconds / 2
        return self._beat_to(peer, address, at)

    def _silent_at(self, peer: Peer) -> float:
        """When it is to be judged silent. Without a key we hear nobody, and judge nobody."""
        if not peer.is_watched or peer.state is PeerState.SILENT or not self._keys:
            return inf
        if peer.state is PeerState.UNKNOWN or not peer.is_steady:
            return peer.quiet_since + FIRST_BEAT_SECONDS
        return peer.quiet_since + self._rhythm.silent_seconds

    def _apply(self, peer: Peer, happened: BeatInput) -> list[Effect]:
        if not peer.is_watched:
            return []
        before, after = peer.state, TRANSITIONS.get((peer.state, happened))
        if after is None:
            raise ImpossibleTransitionError(f"{peer.node}: {happened} while {before}")
        peer.state = after
        return [] if after is before else [PeerChanged(peer.node, before, after, peer.heard_at)]

    def _beat_if_due(self, at: float) -> list[Effect]:
        """Beat at every interval, and at once where we have something else to say than the last time."""
        if at >= self._beat_at:
            self._beat_at = max(self._beat_at + self._rhythm.interval_seconds, at)
            return self._beat(at)
        return self._beat(at) if self._flags_at(at) != self._said else []

    def _beat(self, at: float) -> list[Effect]:
        self._said = self._flags_at(at)
        return [
            effect
            for peer in self._peers.values()
            if peer.is_watched or (peer.address and at < peer.watches_us_until)
            for effect in self._beat_to(peer, peer.address, at)
        ]

    def _flags_at(self, at: float) -> Flag:
        return self._flags if at < self._well_until else self._flags | Flag.UNHEALTHY

    def _beat_to(self, peer: Peer, address: str, at: float) -> list[Effect]:
        if not self._keys:
            return []
        self._sequence += 1
        nonce = self._draw_nonce()
        peer.nonces.append(Nonce(at, at + self._stalled, nonce, address))
        flags = self._flags_at(at) | (Flag.WATCHING if peer.is_watched else NO_FLAG)
        if peer.is_watched or at + KEPT_SECONDS < peer.watches_us_until:
            flags |= Flag.STEADY
        numbers = (self._incarnation, self._sequence, nonce, peer.echo)
        beat = Beat(self._node, peer.fingerprint, flags, max(self._keys), *numbers)
        key_id = self._key_for(peer, nonce)
        return [SendBeat(address, build_beat(beat, key_id, self._keys[key_id]))]

    def _key_for(self, peer: Peer, chance: int) -> int:
        ids = sorted(self._keys)
        if peer.newest_key is None:
            return ids[chance % len(ids)]
        return max((one for one in ids if one <= peer.newest_key), default=ids[-1])


def _what_it_says(flags: Flag) -> BeatInput:
    """A speaker that is leaving and no longer there is no longer there."""
    if flags & Flag.UNHEALTHY:
        return BeatInput.UNHEALTHY
    if flags & Flag.LEAVING:
        return BeatInput.LEAVING
    return BeatInput.WELL
