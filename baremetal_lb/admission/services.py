"""Judges a Service that is about to be written: whether it asks for what another one has.

What it asks for is judged by the functions that will decide on it, over a ledger with what the statuses of its
neighbours show. So the words are the same as those of its condition a moment later. Only what all Services together
make true is left to the condition: that a pool is full, or a quota used up.
"""

from collections.abc import Iterator

from baremetal_lb.addresses import family_of
from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.admission.model import Finding, Question, Verdict, combine, judge
from baremetal_lb.allocator.allocate import Outcome, allocate, keep
from baremetal_lb.allocator.choose import Held, named_refusal
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.request import AllocationRequest, Refusal, parse_request
from baremetal_lb.api.annotations import Annotation
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.config.reading import RawObject
from baremetal_lb.reasons import Reason

CLASHES = frozenset({Reason.ADDRESS_IN_USE, Reason.SHARING_REFUSED})


def review_service(question: Question, known: Known) -> Verdict:
    """Judge what a Service asks for; where that is what it asked for before, it is no business of the webhook."""
    if question.new is None:
        return Verdict()
    asker, before = _read(question.new), _read_before(question.old)
    if not known.is_ours(asker.view) or (before and before.request == asker.request):
        return Verdict()
    others = _others(asker, before, known)
    with known.ledger(other.view for other in others) as ledger:
        clashes_before = tuple(_clashes(before, others, known, ledger)) if before else ()
        clashes = judge(_clashes(asker, others, known, ledger), clashes_before)
    if clashes.denials:
        return clashes
    with known.ledger([*(other.view for other in others), asker.view]) as ledger:
        return combine(clashes, Verdict(warnings=tuple(_complaint(_outcome(asker, known, ledger)))))


def _read(raw: RawObject) -> Neighbour:
    view = parse_service(raw)
    return Neighbour(view, parse_request(view))


def _read_before(raw: RawObject | None) -> Neighbour | None:
    before = _read(raw) if raw else None
    return before if before and before.view.is_load_balancer else None


def _others(asker: Neighbour, before: Neighbour | None, known: Known) -> list[Neighbour]:
    """Those that can be in its way; one that is being deleted is not for long."""
    near = known.near((*asker.addresses, *(before.addresses if before else ())))
    return [one for one in near if one.view.key != asker.view.key and not one.view.deleting]


def _clashes(asker: Neighbour, others: list[Neighbour], known: Known, ledger: Ledger) -> Iterator[Finding]:
    """Each address that it asks for or has, and cannot have beside those that have it or ask for it too."""
    if isinstance(asker.request, Refusal):
        return
    applicant = known.applicant(asker.view, asker.request)
    for address in asker.addresses:
        refusal = named_refusal(applicant, address, ledger)
        if refusal and refusal.reason in CLASHES:
            yield Finding(refusal.reason, refusal.message)
    for other in others:
        if known.is_ours(other.view):
            yield from _rivalry(asker, asker.request, other)


def _rivalry(asker: Neighbour, request: AllocationRequest, other: Neighbour) -> Iterator[Finding]:
    """What both ask for and neither has, unless they may share it."""
    if isinstance(other.request, Refusal) or not request.sharing.refusal(other.request.sharing):
        return
    for address in asker.wanted:
        if address in other.wanted and address not in {*asker.view.ingress, *other.view.ingress}:
            yield Finding(
                Reason.ADDRESS_IN_USE,
                f"{address} is asked for by Service {other.view.key} too; ask for another address, or let both share "
                f"it (annotation {Annotation.SHARING_KEY})",
            )


def _outcome(asker: Neighbour, known: Known, ledger: Ledger) -> Outcome:
    view, has = asker.view, ledger.held_by(asker.view.key)
    own = {
        family: tuple(one for one in view.ingress if one in has and family_of(one) is family)
        for family in view.families
    }
    current: Held = {family: addresses for family, addresses in own.items() if addresses}
    if isinstance(asker.request, Refusal):
        return keep(current, asker.request, ledger, {})
    return allocate(known.applicant(asker.view, asker.request), current, ledger)


def _complaint(outcome: Outcome) -> Iterator[Finding]:
    """What the Service's condition is going to complain of."""
    if outcome.reason not in {Reason.ASSIGNED, Reason.PENDING_CLUSTER_IP}:
        yield Finding(outcome.reason, outcome.message)
