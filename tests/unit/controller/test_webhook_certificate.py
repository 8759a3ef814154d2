"""The webhook's certificate: what is made can be read again, and convinces whoever checks it as the API server does."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from baremetal_lb.controller.webhook_certificate import (
    LIFETIME,
    make_certificate,
    read_bundle,
    read_certificate,
    write_bundle,
)

NAME = "controller-webhook.baremetal-lb-system.svc"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_what_is_made_can_be_read_again() -> None:
    made = make_certificate(NAME, NOW)

    assert read_certificate(made.secret_data()) == made
    assert made.facts.names == {NAME}
    assert made.facts.valid_from < NOW < made.facts.valid_until == NOW + LIFETIME


def test_the_authority_vouches_for_the_certificate() -> None:
    made = make_certificate(NAME, NOW)
    store = Store([x509.load_pem_x509_certificate(made.authority)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(NAME))

    verifier.verify(x509.load_pem_x509_certificate(made.certificate), [])


@pytest.mark.parametrize("count", [pytest.param(1, id="one"), pytest.param(2, id="two")])
def test_a_bundle_can_be_read_again(count: int) -> None:
    authorities = tuple(make_certificate(NAME, NOW).authority for _ in range(count))

    assert read_bundle(write_bundle(authorities)) == authorities


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("%%%", id="no base64"),
        pytest.param(base64.b64encode(b"hello").decode(), id="no certificate"),
    ],
)
def test_what_is_no_bundle_trusts_nobody(text: str) -> None:
    assert read_bundle(text) == ()


MADE, OTHER = make_certificate(NAME, NOW).secret_data(), make_certificate(NAME, NOW).secret_data()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({name: MADE[name] for name in ("tls.crt", "tls.key")}, id="no authority"),
        pytest.param({**MADE, "tls.key": OTHER["tls.key"]}, id="the key of another"),
        pytest.param({**MADE, "ca.crt": OTHER["ca.crt"]}, id="the authority of another"),
        pytest.param({**MADE, "tls.crt": "%%%"}, id="no base64"),
        pytest.param({**MADE, "tls.crt": base64.b64encode(b"hello").decode()}, id="no certificate"),
        pytest.param({**MADE, "tls.key": base64.b64encode(b"hello").decode()}, id="no key"),
        pytest.param({**MADE, "ca.crt": ""}, id="an empty authority"),
    ],
)
def test_what_cannot_be_served_counts_as_none(data: dict[str, str]) -> None:
    assert read_certificate(data) is None
