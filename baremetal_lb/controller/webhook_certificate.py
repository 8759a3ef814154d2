"""The webhook's certificate as files of a Secret: makes a new one, reads the one that is there."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from baremetal_lb.admission.certificate import CertificateFacts
from baremetal_lb.certificates import make_authority, make_server, pem

LIFETIME = timedelta(days=90)

CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE = "tls.crt", "tls.key", "ca.crt"


@dataclass(frozen=True, slots=True)
class ServingCertificate:
    """A certificate with its key, and the authority that signed it; all in PEM."""

    facts: CertificateFacts
    certificate: bytes
    key: bytes
    authority: bytes

    @property
    def chain(self) -> bytes:
        """Certificate and key as one file."""
        return self.certificate + self.key

    def secret_data(self) -> Mapping[str, str]:
        """What a Secret holds of it."""
        files = {CERTIFICATE_FILE: self.certificate, KEY_FILE: self.key, AUTHORITY_FILE: self.authority}
        return {name: base64.b64encode(content).decode() for name, content in files.items()}


def make_certificate(name: str, now: datetime) -> ServingCertificate:
    """Make a certificate for a DNS name, signed by an authority that signs no other."""
    authority = make_authority(f"baremetal-lb webhook {now:%Y-%m-%d}", now, LIFETIME)
    server = make_server(authority, "baremetal-lb webhook", [name])
    return ServingCertificate(
        facts=_facts(server.certificate),
        certificate=pem(server.certificate),
        key=server.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        authority=pem(authority.certificate),
    )


def read_certificate(data: Mapping[str, str]) -> ServingCertificate | None:
    """Read a Secret's data; None where that is no certificate with its own key and its authority."""
    try:
        files = {name: base64.b64decode(data[name]) for name in (CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE)}
        certificate = x509.load_pem_x509_certificate(files[CERTIFICATE_FILE])
        key = serialization.load_pem_private_key(files[KEY_FILE], password=None)
        authority = x509.load_pem_x509_certificate(files[AUTHORITY_FILE])
        if key.public_key() != certificate.public_key():
            return None
        certificate.verify_directly_issued_by(authority)
        return ServingCertificate(
            facts=_facts(certificate),
            certificate=pem(certificate),
            key=files[KEY_FILE],
            authority=pem(authority),
        )
    except (KeyError, ValueError, TypeError, binascii.Error, InvalidSignature, x509.ExtensionNotFound):
        return None


def read_bundle(text: str) -> tuple[bytes, ...]:
    """Read whom a webhook's configuration trusts (caBundle); nobody where that is no list of certificates."""
    try:
        return tuple(map(pem, x509.load_pem_x509_certificates(base64.b64decode(text))))
    except (ValueError, binascii.Error):
        return ()


def write_bundle(authorities: Iterable[bytes]) -> str:
    """Write them down as a caBundle."""
    return base64.b64encode(b"".join(authorities)).decode()


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return CertificateFacts(
        names=frozenset(names.get_values_for_type(x509.DNSName)),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
    )
