"""The lab's own certificate authority, the API server's certificate, service account keys, tokens and kubeconfigs.

Elliptic curves only: they are made in microseconds, and Kubernetes accepts them everywhere.
"""

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from baremetal_lb.addresses import Address
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.topology import SERVICE_NETWORKS
from baremetal_lb.lab.users import User, users_of

SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
_LIFETIME = timedelta(days=30)
# Clocks of hosts are one clock here, but a laptop's may be set back a little after the lab was made.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the certificate for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def write_credentials(paths: LabPaths, api_url: str, addresses: Iterable[Address], nodes: Iterable[str]) -> None:
    """Make all keys, certificates, tokens and kubeconfigs of a lab."""
    paths.pki.mkdir(parents=True, exist_ok=True)
    paths.pki.chmod(0o700)
    authority = make_authority(f"baremetal-lb lab {paths.name}")
    write_certificate(paths.pki / "ca.crt", authority.certificate)
    server = make_server_certificate(authority, addresses)
    write_key(paths.pki / "apiserver.key", server.key)
    write_certificate(paths.pki / "apiserver.crt", server.certificate)
    write_key(paths.pki / "service-accounts.key", new_key())
    tokens = {user: secrets.token_urlsafe(24) for user in users_of(nodes)}
    _write_private(paths.pki / "tokens.csv", render_token_file(tokens))
    bundle = authority.certificate.public_bytes(serialization.Encoding.PEM)
    for user, token in tokens.items():
        _write_private(paths.kubeconfig(user.kubeconfig), render_kubeconfig(api_url, bundle, user.name, token))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(name: str) -> KeyPair:
    """Make a certificate authority that signs itself."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _certificate(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def make_server_certificate(authority: KeyPair, addresses: Iterable[Address]) -> KeyPair:
    """Make the API server's certificate: valid for these addresses, its Service's, loopback, and its DNS names."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    all_addresses = [*addresses, *(network[1] for network in SERVICE_NETWORKS), *map(ip_address, ("127.0.0.1", "::1"))]
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
    names += [x509.IPAddress(address) for address in all_addresses]
    issuer_key = authority.key.public_key()
    certificate = (
        _certificate(subject, authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Python's TLS refuses a certificate that does not say who signed it.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def render_token_file(tokens: dict[User, str]) -> str:
    """Write the API server's static tokens: token, user, uid and, in quotes, groups."""
    return "".join(f'{token},{user.name},{user.name},"{",".join(user.groups)}"\n' for user, token in tokens.items())


def render_kubeconfig(api_url: str, authority: bytes, user: str, token: str) -> str:
    """Write a kubeconfig that needs no other file (JSON, which is YAML)."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": api_url,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
    }
    return json.dumps(document, indent=2)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key as PEM that only root can read."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    _write_private(path, pem.decode())


def write_certificate(path: Path, certificate: x509.Certificate) -> None:
    """Write a certificate as PEM."""
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
