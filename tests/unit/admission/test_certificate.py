"""When the webhook's certificate is replaced, and whom the API server trusts meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from baremetal_lb.admission.certificate import CertificateFacts, needs_rotation, trusted_authorities

NAME = "webhook.system.svc"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def facts(*, age: timedelta, life: timedelta = 90 * DAY, name: str = NAME) -> CertificateFacts:
    return CertificateFacts(frozenset({name}), NOW - age, NOW - age + life)


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        pytest.param(None, True, id="there is none"),
        pytest.param(facts(age=0 * DAY), False, id="a new one stays"),
        pytest.param(facts(age=60 * DAY - timedelta(seconds=1)), False, id="it stays for two thirds of its life"),
        pytest.param(facts(age=60 * DAY), True, id="then it is replaced"),
        pytest.param(facts(age=91 * DAY), True, id="one that has ended is replaced"),
        pytest.param(facts(age=-DAY), False, id="one of a faster clock stays"),
        pytest.param(facts(age=0 * DAY, name="other.system.svc"), True, id="one for another name is replaced"),
    ],
)
def test_a_certificate_is_replaced_in_time(certificate: CertificateFacts | None, *, expected: bool) -> None:
    assert needs_rotation(certificate, NAME, NOW) is expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([], [b"new"], id="the first one is alone"),
        pytest.param([b"old"], [b"new", b"old"], id="the one before it is trusted on"),
        pytest.param([b"old", b"older"], [b"new", b"old"], id="the one before that no longer"),
        pytest.param([b"new"], [b"new"], id="none is named twice"),
    ],
)
def test_the_two_newest_authorities_are_trusted(before: list[bytes], expected: list[bytes]) -> None:
    assert trusted_authorities(b"new", before) == tuple(expected)
