"""The webhook's certificate as files of a Secret: makes a new one, reads the one that is there."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from baremetal_lb.admission.certificate import CertificateFacts

LIFETIME = timedelta(days=90)
BACKDATED = timedelta(hours=1)
"""The clocks of a cluster's machines differ a little; a certificate must not be too young for any of them."""

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
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _sign_authority(authority_key, now)
    certificate = _sign_certificate(key, name, authority, authority_key)
    return ServingCertificate(
        facts=_facts(certificate),
        certificate=_pem(certificate),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        authority=_pem(authority),
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
            certificate=_pem(certificate),
            key=files[KEY_FILE],
            authority=_pem(authority),
        )
    except (KeyError, ValueError, TypeError, binascii.Error, InvalidSignature, x509.ExtensionNotFound):
        return None


def read_bundle(text: str) -> tuple[bytes, ...]:
    """Read whom a webhook's configuration trusts (caBundle); nobody where that is no list of certificates."""
    try:
        return tuple(map(_pem, x509.load_pem_x509_certificates(base64.b64decode(text))))
    except (ValueError, binascii.Error):
        return ()


def write_bundle(authorities: Iterable[bytes]) -> str:
    """Write them down as a caBundle."""
    return base64.b64encode(b"".join(authorities)).decode()


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"baremetal-lb webhook {now:%Y-%m-%d}")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_certificate(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateBuilder()
        # The name is in the extension: a common name has room for 64 characters only.
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "baremetal-lb webhook")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return CertificateFacts(
        names=frozenset(names.get_values_for_type(x509.DNSName)),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
