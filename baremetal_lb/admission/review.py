"""The webhook's answer, kind by kind.

It refuses only what a user can set right at once and what would harm somebody else. It never refuses a change that
leaves everything that matters as it is: a label, a finalizer, the last steps of a deletion.
"""

from collections.abc import Callable, Mapping

from baremetal_lb.admission.advertisements import review_l2_advertisement
from baremetal_lb.admission.claims import review_claim
from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import ALLOWED, Question, Verdict
from baremetal_lb.admission.pools import review_pool
from baremetal_lb.admission.services import review_service

REVIEWS: Mapping[str, Callable[[Question, Known], Verdict]] = {
    "ipaddresspools": review_pool,
    "ipaddressclaims": review_claim,
    "l2advertisements": review_l2_advertisement,
    "services": review_service,
}
"""How to judge each kind, by its plural."""


def review(plural: str, question: Question, known: Known) -> Verdict:
    """Judge what is about to be written."""
    if question.is_without_effect:
        return ALLOWED
    return REVIEWS[plural](question, known)
