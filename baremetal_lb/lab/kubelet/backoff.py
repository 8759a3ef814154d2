"""How long a container that ended waits for its next start (pure)."""

from dataclasses import dataclass

FIRST_SECONDS, LAST_SECONDS = 10.0, 300.0
FORGIVEN_AFTER_SECONDS = 600.0
"""A container that ran this long is as good as new."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before the next start: none for the first restart, then 10 s, doubling to 5 min."""

    seconds: float = 0.0

    def next(self) -> "Backoff":
        """Tell the back-off after a restart."""
        return Backoff(min(max(self.seconds * 2, FIRST_SECONDS), LAST_SECONDS))


def after_run(backoff: Backoff, ran_seconds: float) -> Backoff:
    """Tell the back-off that counts for a container that ran so long and ended."""
    return Backoff() if ran_seconds >= FORGIVEN_AFTER_SECONDS else backoff
