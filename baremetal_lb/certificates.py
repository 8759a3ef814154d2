"""Makes certificates: an authority that signs itself, and servers' that it signs.

Elliptic curves only: they are made in microseconds, and Kubernetes accepts them everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from baremetal_lb.addresses import Address

BACKDATED = timedelta(hours=1)
"""The clocks of a cluster's machines differ a little; a certificate must not be too young for any of them."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the certificate for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(name: str, now: datetime, lifetime: timedelta) -> KeyPair:
    """Make an authority that signs servers' certificates, but no other authority's."""
    key, subject = new_key(), _subject(name)
    certificate = (
        _certificate(subject, key, signs_certificates=True)
        .issuer_name(subject)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def make_server(authority: KeyPair, name: str, served: Iterable[str | Address]) -> KeyPair:
    """Make a server's certificate for these DNS names and addresses, valid as long as the authority.

    `name` is for people, with room for 64 characters; no client looks at it.
    """
    key, signed_by = new_key(), authority.certificate
    names = [x509.DNSName(one) if isinstance(one, str) else x509.IPAddress(one) for one in served]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _certificate(_subject(name), key, signs_certificates=False)
        .issuer_name(signed_by.subject)
        .not_valid_before(signed_by.not_valid_before_utc)
        .not_valid_after(signed_by.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Python's TLS refuses a certificate that does not say who signed it.
        .add_extension(issuer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def pem(certificate: x509.Certificate) -> bytes:
    """Write a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, signs_certificates: bool
) -> x509.CertificateBuilder:
    length = 0 if signs_certificates else None
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=signs_certificates, path_length=length), critical=True)
        .add_extension(_key_usage(signs_certificates=signs_certificates), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
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
