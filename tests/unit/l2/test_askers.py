"""Whom we remember of those who asked."""

import pytest

from baremetal_lb.l2.askers import MAX_ASKERS, Askers
from baremetal_lb.l2.packets import Question

V4, V6 = bytes([192, 0, 2, 10]), bytes.fromhex("20010db8000000000000000000000010")


def asked_by(number: int, target: bytes = V4) -> Question:
    return Question(target, bytes([2, 0, 0, 0, 0, number]), bytes(len(target) - 1) + bytes([number]))


def askers_after(*questions: Question) -> Askers:
    askers = Askers()
    for question in questions:
        askers.note(question)
    return askers


@pytest.mark.parametrize("target", [V4, V6])
def test_who_asked_is_remembered_once(target: bytes) -> None:
    askers = askers_after(asked_by(1, target), asked_by(2, target), asked_by(1, target))
    assert list(askers.questions_for(target)) == [asked_by(2, target), asked_by(1, target)]


def test_only_the_last_few_are() -> None:
    questions = [asked_by(number) for number in range(1, MAX_ASKERS + 3)]
    assert list(askers_after(*questions).questions_for(V4)) == questions[2:]


@pytest.mark.parametrize("target", [V4, V6])
def test_who_has_no_address_yet_is_not(target: bytes) -> None:
    assert list(askers_after(asked_by(0, target)).questions_for(target)) == []


def test_what_is_not_wanted_any_more_is_forgotten() -> None:
    askers = askers_after(asked_by(1, V4), asked_by(1, V6))
    askers.forget_all_but({V6: object()})
    assert list(askers.questions_for(V4)) == []
    assert list(askers.questions_for(V6)) == [asked_by(1, V6)]
