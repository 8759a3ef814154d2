"""Wait for something to be seen, and say what was seen instead when it never is."""

import time
from collections.abc import Callable
from typing import TypeVar

from baremetal_lb.lab.api import RequestError

Seen = TypeVar("Seen")

POLL_SECONDS = 0.05


class NeverSeenError(AssertionError):
    """What was awaited did not come; the message tells what was there instead."""


def wait_for(
    what: str, look: Callable[[], Seen], accept: Callable[[Seen], object] = bool, *, within: float = 30.0
) -> Seen:
    """Look until what is seen is accepted, and answer it; raise NeverSeenError after `within` seconds.

    An OSError (no answer from the network) and a RequestError (none from the API server) count as seen, too.
    """
    deadline = time.monotonic() + within
    while True:
        last: object
        try:
            last = seen = look()
            if accept(seen):
                return seen
        except (OSError, RequestError) as error:
            last = error
        if time.monotonic() > deadline:
            raise NeverSeenError(f"not seen within {within:g} s: {what}; seen last: {last!r}")
        time.sleep(POLL_SECONDS)


def stays(what: str, look: Callable[[], Seen], accept: Callable[[Seen], object] = bool, *, seconds: float) -> None:
    """Look again and again for some seconds; raise NeverSeenError as soon as what is seen is not accepted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if not accept(seen):
            raise NeverSeenError(f"did not stay for {seconds:g} s: {what}; seen: {seen!r}")
        time.sleep(POLL_SECONDS)
