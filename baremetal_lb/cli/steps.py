"""Tell a person what happens, step by step, with the time each step took.

On a terminal a line turns while a step is under way. Elsewhere (a CI log, a file) every line is written once, as it
comes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


@dataclass(slots=True)
class Step:
    """One step under way."""

    console: Console
    details: list[str] = field(default_factory=list)

    def progress(self, line: str) -> None:
        """Print a line at once: a sign of life in a long step."""
        self.console.print(f"    [dim]{escape(line)}[/dim]", highlight=False)

    def detail(self, text: str) -> None:
        """Keep something to show below the step when it is done."""
        self.details += text.rstrip().splitlines()


class Steps:
    """The steps of one command."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Do one step: its title and time appear when it is done, or when it failed."""
        step = Step(self._console)
        started_at = time.monotonic()
        try:
            with self._console.status(escape(title)):
                yield step
        except BaseException:
            self._close("[red]✗[/red]", title, started_at, step)
            raise
        self._close("[green]✓[/green]", title, started_at, step)

    def _close(self, mark: str, title: str, started_at: float, step: Step) -> None:
        seconds = time.monotonic() - started_at
        self._console.print(f"{mark} {escape(title)} [dim]{seconds:.1f} s[/dim]", highlight=False, soft_wrap=True)
        for line in step.details:
            self._console.print(f"    {escape(line)}", highlight=False, soft_wrap=True)
