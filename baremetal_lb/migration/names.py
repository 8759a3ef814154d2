"""Names for resources that leave their namespace: MetalLB's have one, ours do not."""

import re
from collections.abc import Sequence

from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.migration.sources import L2_ADVERTISEMENT, Source

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9.-]+")


def name_all(sources: Sequence[Source]) -> tuple[list[str], list[Note]]:
    """Give each source a name of its own, in their order; the first of a name keeps it."""
    names: list[str] = []
    notes: list[Note] = []
    for source in sources:
        name = _free(source, names)
        names.append(name)
        if name != source.name:
            notes.append(Note(Severity.WARNING, str(source), _told(source, name)))
    return names, notes


def _free(source: Source, taken: Sequence[str]) -> str:
    wanted = _valid(source.name)
    candidates = [
        wanted,
        f"{wanted}-{source.namespace}",
        *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)),
    ]
    return next(name for name in candidates if name not in taken)


def _valid(name: str) -> str:
    """The old configuration allowed any word as a name."""
    return _NOT_IN_A_NAME.sub("-", name.lower()).strip("-.") or "unnamed"


def _told(source: Source, name: str) -> str:
    why = "no name for a resource" if _valid(source.name) != source.name else "taken, since ours have no namespaces"
    users = "" if source.kind == L2_ADVERTISEMENT else "; change the Services that ask for it by name"
    return f"the name {source.name} is {why}; it is called {name} here{users}"
