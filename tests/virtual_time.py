"""Made-up time for an event loop: whatever waits for a timer goes on at once."""

import asyncio
import selectors


class _VirtualSelector(selectors.SelectSelector):
    """Waits for nothing: where no socket is ready, time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now += timeout + 1e-6  # past the timer, whatever floats make of the sum
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._virtual.now += seconds
