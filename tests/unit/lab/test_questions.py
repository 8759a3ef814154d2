"""What the lab asks on a segment is what the product's parser takes for a question, and it reads the answers."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.l2.packets import Question, frames_for, parse_heard
from baremetal_lb.l2.templates import build_templates
from baremetal_lb.lab.questions import Asker, claim_to_all, claiming_mac, question_for

MAC, HOLDER = bytes.fromhex("02626d0001c9"), bytes.fromhex("02626d00010b")
IPV4 = (ip_address("192.0.2.201"), ip_address("192.0.2.20"))
IPV6 = (ip_address("2001:db8:0:2::201"), ip_address("2001:db8:0:2::1000:1"))
both_families = pytest.mark.parametrize(("own", "target"), [IPV4, IPV6], ids=["IPv4", "IPv6"])


@both_families
def test_a_question_is_understood(own: Address, target: Address) -> None:
    question = parse_heard(question_for(Asker(MAC, own), target))
    assert question == Question(target=target.packed, sender_mac=MAC, sender=own.packed)


@both_families
def test_an_answer_is_understood(own: Address, target: Address) -> None:
    frames = frames_for(build_templates(), HOLDER, target)
    answer = frames.answer(Question(target=target.packed, sender_mac=MAC, sender=own.packed))
    assert claiming_mac(answer, target) == HOLDER.hex(":")
    assert claiming_mac(answer, own) is None


@both_families
def test_a_claim_that_nobody_asked_for_is_understood(own: Address, target: Address) -> None:
    for frame in frames_for(build_templates(), HOLDER, target).gratuitous():
        assert claiming_mac(frame, target) == HOLDER.hex(":")
        assert claiming_mac(frame, own) is None


@both_families
def test_a_question_claims_only_the_address_of_the_asker(own: Address, target: Address) -> None:
    assert claiming_mac(question_for(Asker(MAC, own), target), target) is None


@both_families
def test_a_claim_is_understood(own: Address, target: Address) -> None:
    """It says what the product's own announcements say."""
    claim = claim_to_all(HOLDER, target)
    assert claiming_mac(claim, target) == HOLDER.hex(":")
    assert claiming_mac(claim, own) is None
    assert parse_heard(claim) in map(parse_heard, frames_for(build_templates(), HOLDER, target).gratuitous())
