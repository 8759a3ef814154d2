"""Question and answer of the webhook."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from baremetal_lb.config.problems import Problem
from baremetal_lb.config.reading import RawObject
from baremetal_lb.reasons import Reason

SERVICES_NAMED = 3
"""Of all Services that something concerns so many are named: it may be every one of the cluster."""


class Operation(StrEnum):
    """What is about to happen to an object, in the words of the API server."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Question:
    """What is about to be written: there is no `old` object at creation, no `new` one at deletion."""

    operation: Operation
    old: RawObject | None = None
    new: RawObject | None = None

    @property
    def is_without_effect(self) -> bool:
        """Whether nothing changes that counts, or the object is on its way out."""
        if self.new is None:
            return False
        if "deletionTimestamp" in self.new["metadata"]:
            return True
        return self.old is not None and _what_counts(self.old) == _what_counts(self.new)

    @property
    def name(self) -> str:
        """The object's name, with its namespace if it has one."""
        metadata = (self.new or self.old or {}).get("metadata", {})
        return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about what is about to be written, with the next step in the message."""

    reason: Reason
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """It is denied where anything stands against it; the warnings are shown to its author either way."""

    denials: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def text(self) -> str:
        """All that stands against it."""
        return "; ".join(map(str, self.denials))


ALLOWED = Verdict()


def _what_counts(raw: RawObject) -> tuple[object, ...]:
    metadata = raw["metadata"]
    return raw.get("spec"), metadata.get("labels"), metadata.get("annotations")


def judge(stands_against: Iterable[Finding], before: Iterable[Finding] = ()) -> Verdict:
    """Deny for what is new; of what was so before, and is no worse now, only warn."""
    known = set(before)
    findings = tuple(dict.fromkeys(stands_against))
    return Verdict(
        denials=tuple(one for one in findings if one not in known),
        warnings=tuple(one for one in findings if one in known),
    )


def combine(*verdicts: Verdict) -> Verdict:
    """Make one verdict of several on the same question; nothing is said twice."""
    return Verdict(
        denials=tuple(dict.fromkeys(one for verdict in verdicts for one in verdict.denials)),
        warnings=tuple(dict.fromkeys(one for verdict in verdicts for one in verdict.warnings)),
    )


def split(problems: Iterable[Problem]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Tell what makes an object invalid from what is merely to be said of it."""
    told = [(one.reason, Finding(one.reason, one.message)) for one in problems]
    invalid = tuple(finding for reason, finding in told if reason is Reason.INVALID_SPEC)
    return invalid, tuple(finding for reason, finding in told if reason is not Reason.INVALID_SPEC)


def name_some(things: Sequence[object]) -> str:
    """Name a few things and count the rest."""
    more = len(things) - SERVICES_NAMED
    return ", ".join(map(str, things[:SERVICES_NAMED])) + (f" and {more} more" if more > 0 else "")
