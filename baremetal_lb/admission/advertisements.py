"""Judges an L2Advertisement that is about to be written: whether it can be read, and whether its pools are there."""

from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import Finding, Question, Verdict, combine, judge, split
from baremetal_lb.config.compile_l2 import compile_l2_advertisements
from baremetal_lb.config.reading import RawObject, name_of


def review_l2_advertisement(question: Question, known: Known) -> Verdict:
    """Judge what is about to happen to an advertisement; deleting one is nobody else's business."""
    if question.new is None:
        return Verdict()
    faults, remarks = _look_at(question.new, known)
    faults_before, _ = _look_at(question.old, known)
    return combine(judge(faults, faults_before), Verdict(warnings=remarks))


def _look_at(raw: RawObject | None, known: Known) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    existing = frozenset(map(name_of, known.pools))
    return split(compile_l2_advertisements((raw,), known.config.pools, existing=existing)[1] if raw else ())
