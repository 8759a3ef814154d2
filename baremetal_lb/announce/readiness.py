"""Which Nodes have been NotReady for longer than a grace: a machine that is fed what their conditions say, and time.

The time is our own since we saw it first, never the one that a Node's condition tells. A speaker that has just been
started thus gives a Node the whole grace anew.
"""


class Readiness:
    """The machine."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._not_ready_since: dict[str, float] = {}

    def seen(self, node: str, now: float, *, not_ready: bool) -> None:
        """Take in what a Node says; one that is gone is not `not_ready`."""
        if not_ready:
            self._not_ready_since.setdefault(node, now)
        else:
            self._not_ready_since.pop(node, None)

    def overdue(self, now: float) -> frozenset[str]:
        """Name the nodes whose grace is over."""
        return frozenset(node for node, since in self._not_ready_since.items() if since + self._grace_seconds <= now)

    def next_deadline(self, now: float) -> float | None:
        """Tell when another grace is over, if nothing else happens before."""
        ends = (since + self._grace_seconds for since in self._not_ready_since.values())
        return min((at for at in ends if at > now), default=None)
