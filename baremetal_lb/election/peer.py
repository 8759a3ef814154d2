"""What the machine of the beats knows of one other node. Times are the machine's own; see `beats.py`."""

from collections import deque
from enum import StrEnum
from math import inf
from typing import NamedTuple

from baremetal_lb.election.messages import Beat, Flag, fingerprint

NONCE_SECONDS = 0.7
"""How old what a beat echoes may be: longer than it takes while beats are lost both ways, and not much. A node that
sends but hears nothing is silent so much later."""

KEPT_SECONDS = 1.0
"""What we know of a node is kept for so long after it has served its purpose."""

WATCHER_SECONDS = 10.0
"""A node gets beats for so long after it said that it watches us: it may be stalled, and must find us alive then."""

_NONCES_KEPT = 64


class PeerState(StrEnum):
    """What we know of a node that we watch."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    LEAVING = "leaving"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"

    @property
    def is_suspect(self) -> bool:
        """Whether its addresses may be without a holder. Ask the segment before you believe it."""
        return self in {PeerState.UNHEALTHY, PeerState.SILENT}


class Nonce(NamedTuple):
    """A number that we sent to a node: when in the machine's time and when by the clock, and where to."""

    sent_at: float
    sent_at_clock: float
    number: int
    address: str


class Peer:
    """One node that we watch, or that watches us."""

    __slots__ = (
        "address",
        "echo",
        "fingerprint",
        "greeting",
        "heard_at",
        "incarnation",
        "is_steady",
        "is_watched",
        "kept_until",
        "newest_key",
        "node",
        "nonces",
        "quiet_since",
        "reply_not_before",
        "sequence",
        "state",
        "watches_us_until",
    )

    def __init__(self, node: str, at: float) -> None:
        self.node = node
        self.fingerprint = fingerprint(node)
        self.address = ""
        """Where our beats go: where the speaker says, or where a watcher has shown to be."""
        self.is_watched = False
        self.watches_us_until = -inf
        self.kept_until = at + KEPT_SECONDS
        """What we know of it is forgotten then, unless we watch it."""
        self.state = PeerState.UNKNOWN
        self.quiet_since = at
        """When it last proved its life, or could begin to."""
        self.is_steady = False
        """Whether it beats to us until it dies. If not, it has to hear us first."""
        self.heard_at: float | None = None
        """When it last proved its life, by the clock."""
        self.incarnation: int | None = None
        self.sequence = 0
        self.echo = 0
        """The newest nonce of its own."""
        self.greeting = (0, 0)
        """The run and the sequence of the last beat that proved nothing but may have been its first."""
        self.newest_key: int | None = None
        """Of its keys; None where we are not in touch."""
        self.nonces: deque[Nonce] = deque(maxlen=_NONCES_KEPT)
        self.reply_not_before = -inf

    def nonce_in(self, beat: Beat, at: float) -> Nonce | None:
        """Find the nonce of ours that a beat echoes; None if it is none, or too old."""
        for nonce in self.nonces:
            if nonce.number == beat.echo:
                return nonce if at < nonce.sent_at + NONCE_SECONDS else None
        return None

    def life_proved(self, beat: Beat, at: float, clock: float) -> None:
        """Take in what a beat says that echoes a nonce of ours; older nonces are void from now on.

        If we stalled for long since we sent that one, its sender may have given us up as a watcher meanwhile.
        """
        while self.nonces[0].number != beat.echo:
            self.nonces.popleft()
        self.incarnation, self.sequence = beat.incarnation, beat.sequence
        self.echo, self.newest_key = beat.nonce, beat.newest_key
        self.quiet_since = at
        is_late_news = clock > self.nonces[0].sent_at_clock + WATCHER_SECONDS - KEPT_SECONDS
        self.is_steady = bool(beat.flags & Flag.STEADY) and not is_late_news
        self.watches_us_until = at + WATCHER_SECONDS if beat.flags & Flag.WATCHING else -inf
        self.kept_until = max(self.watches_us_until, at + KEPT_SECONDS)

    def greets_anew(self, beat: Beat) -> bool:
        """Whether a beat that proves nothing is at least later than the last such one of its run."""
        incarnation, sequence = self.greeting
        return beat.incarnation != incarnation or beat.sequence > sequence

    def greeted(self, beat: Beat) -> None:
        """Take in what its sender needs to see in our next beat, if it is what it says."""
        self.greeting = (beat.incarnation, beat.sequence)
        self.echo, self.newest_key = beat.nonce, beat.newest_key

    def fell_silent(self) -> None:
        """Forget what is worth nothing any more."""
        self.newest_key = None
        self.nonces.clear()
