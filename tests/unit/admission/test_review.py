"""The webhook's answer as a whole: what never concerns it, and what it says for several reasons at once."""

from typing import Any

import pytest

from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import (
    ALLOWED,
    Finding,
    Operation,
    Question,
    Verdict,
    combine,
    judge,
    name_some,
)
from baremetal_lb.admission.review import REVIEWS, review
from baremetal_lb.api.crds import KINDS
from baremetal_lb.api.status import SpeakerStatus
from baremetal_lb.reasons import Reason

ONE, OTHER = Finding(Reason.CONFLICT, "one"), Finding(Reason.INVALID_SPEC, "other")
BAD: dict[str, Any] = {"metadata": {"name": "bad"}, "spec": {"addresses": ["192.0.2.0/33", "2001:db8::/129"]}}


def bad(**metadata: Any) -> dict[str, Any]:
    return {**BAD, "metadata": {**BAD["metadata"], **metadata}}


def test_every_kind_that_people_write_is_reviewed_and_services() -> None:
    assert REVIEWS.keys() == {kind.names.plural for kind in KINDS if kind is not SpeakerStatus} | {"services"}


@pytest.mark.parametrize(
    ("question", "is_denied"),
    [
        pytest.param(Question(Operation.CREATE, None, BAD), True, id="a creation counts"),
        pytest.param(Question(Operation.UPDATE, bad(finalizers=["x"]), BAD), False, id="a finalizer does not"),
        pytest.param(Question(Operation.UPDATE, BAD, {**BAD, "status": {"x": 1}}), False, id="a status does not"),
        pytest.param(
            Question(Operation.CREATE, None, bad(deletionTimestamp="2026-01-01T00:00:00Z")),
            False,
            id="an object on its way out does not",
        ),
    ],
)
def test_only_what_matters_is_judged(question: Question, *, is_denied: bool) -> None:
    assert bool(review("ipaddresspools", question, Known()).denials) is is_denied


def test_only_what_is_new_is_denied() -> None:
    assert judge([ONE, OTHER, OTHER], [ONE]) == Verdict((OTHER,), (ONE,))


def test_verdicts_add_up() -> None:
    both = combine(Verdict((ONE,)), ALLOWED, Verdict((OTHER,), (ONE,)))

    assert both == Verdict((ONE, OTHER), (ONE,))
    assert both.text == "Conflict: one; InvalidSpec: other"


@pytest.mark.parametrize(
    ("things", "text"),
    [
        pytest.param([1], "1", id="one"),
        pytest.param([1, 2, 3], "1, 2, 3", id="three are named"),
        pytest.param([1, 2, 3, 4, 5], "1, 2, 3 and 2 more", id="the others are counted"),
    ],
)
def test_of_many_things_few_are_named(things: list[int], text: str) -> None:
    assert name_some(things) == text


def test_a_question_knows_what_it_is_about() -> None:
    named = {"metadata": {"namespace": "shop", "name": "web"}}

    assert Question(Operation.DELETE, named).name == "shop/web"
    assert Question(Operation.CREATE, None, BAD).name == "bad"
