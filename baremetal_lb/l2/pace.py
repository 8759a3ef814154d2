"""How fast frames that nobody asked for may leave, so that a thousand addresses at once are no storm."""

from dataclasses import dataclass
from math import inf

MAX_PER_SECOND = 2_500
MAX_BURST = 50
BUNDLE_SECONDS = 0.01
"""What has to wait leaves in bundles so far apart, so that the loop is not woken for each frame."""


@dataclass(slots=True)
class Pace:
    """A bucket of permissions that is filled at `MAX_PER_SECOND`, up to `MAX_BURST`."""

    allowed_at: float = -inf
    """When the next frame may leave."""

    def take(self, now: float, frames: int = 1) -> bool:
        """Take the permission for some frames that belong together, if there is one for the first."""
        self.allowed_at = max(self.allowed_at, now - MAX_BURST / MAX_PER_SECOND)
        if self.allowed_at > now:
            return False
        self.allowed_at += frames / MAX_PER_SECOND
        return True

    def next_at(self, wanted_at: float) -> float:
        """Tell when to come for what is to leave at this time."""
        return wanted_at if wanted_at >= self.allowed_at else self.allowed_at + BUNDLE_SECONDS
