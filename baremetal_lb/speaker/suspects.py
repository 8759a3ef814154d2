"""What the beats say of the nodes around, since when, and on which side of a partition this node was.

When a node that was silent is heard again, it was cut off, or we were. Both sides may hold the same addresses then, and
one has to give way. It is the side with fewer of the nodes that we know of; of equal sides the one without the node
whose name comes first. Nodes come back one after the other, so who came back a moment ago counts as still away.
"""

from collections.abc import Collection, Mapping

from baremetal_lb.election.peer import PeerState

RETURN_SECONDS = 2.0
"""After a partition all are heard again within this time."""

SEVERAL_PEERS = 3
"""Of fewer all may be gone at once."""


class Suspects:
    """The peers of one node. UNKNOWN says nothing: it is neither suspect nor alive."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._states: dict[str, PeerState] = {}
        self._suspect_since: dict[str, float] = {}
        self._leaving_since: dict[str, float] = {}
        self._back_since: dict[str, float] = {}

    def states(self) -> Mapping[str, PeerState]:
        """Give the last known state of every peer."""
        return self._states

    def suspect_since(self, node: str) -> float | None:
        """Tell since when the node's addresses may be without a holder."""
        return self._suspect_since.get(node)

    def leaving_since(self, node: str) -> float | None:
        """Tell since when the node says that it is about to stop."""
        return self._leaving_since.get(node)

    def is_away(self, node: str) -> bool:
        """Whether the node is no successor: suspect, or leaving."""
        return node in self._suspect_since or node in self._leaving_since

    def has_been_away(self, node: str) -> bool:
        """Whether the node is suspect or was silent before, so that it may have missed what we said."""
        return node in self._suspect_since or node in self._back_since

    def hears_nobody(self) -> bool:
        """Whether all of several peers are silent: it is rather us who can't hear than all of them who are gone."""
        known = [state for state in self._states.values() if state is not PeerState.UNKNOWN]
        return len(known) >= SEVERAL_PEERS and all(state is PeerState.SILENT for state in known)

    def peer_changed(self, node: str, state: PeerState, now: float) -> bool:
        """Take in what a peer is now; tell whether it is back from a silence."""
        was_silent = self._states.get(node) is PeerState.SILENT
        self._states[node] = state
        _mark(self._suspect_since, node, now, holds=state.is_suspect)
        _mark(self._leaving_since, node, now, holds=state is PeerState.LEAVING)
        is_back = was_silent and state not in {PeerState.SILENT, PeerState.UNKNOWN}
        if is_back:
            self._back_since[node] = now
        return is_back

    def keep(self, peers: Collection[str]) -> set[str]:
        """Forget all other nodes: nobody beats with them any more. Tell which of them were suspect or leaving."""
        gone = self._states.keys() - set(peers)
        away = {node for node in gone if self.is_away(node)}
        for node in gone:
            del self._states[node]
            for times in (self._suspect_since, self._leaving_since, self._back_since):
                times.pop(node, None)
        return away

    def was_cut_off(self, now: float) -> bool:
        """Tell, when a node is back, whether it was rather us who were away."""
        silent = {node for node, state in self._states.items() if state is PeerState.SILENT}
        silent |= {node for node, since in self._back_since.items() if now < since + RETURN_SECONDS}
        here = {node for node, state in self._states.items() if state is PeerState.ALIVE} - silent | {self._node}
        if len(here) != len(silent):
            return len(here) < len(silent)
        return min(silent) < min(here)


def _mark(times: dict[str, float], node: str, now: float, *, holds: bool) -> None:
    if holds:
        times.setdefault(node, now)
    else:
        times.pop(node, None)
