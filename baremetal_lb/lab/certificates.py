"""The lab's own certificate authority, the API server's certificate, service account keys, tokens and kubeconfigs."""

import base64
import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from baremetal_lb.addresses import Address
from baremetal_lb.certificates import KeyPair, make_authority, make_server, new_key, pem
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
LIFETIME = timedelta(days=30)


def write_credentials(paths: LabPaths, api_url: str, addresses: Iterable[Address], nodes: Iterable[str]) -> None:
    """Make all keys, certificates, tokens and kubeconfigs of a lab."""
    paths.pki.mkdir(parents=True, exist_ok=True)
    paths.pki.chmod(0o700)
    authority = make_authority(f"baremetal-lb lab {paths.name}", datetime.now(UTC), LIFETIME)
    write_certificate(paths.pki / "ca.crt", authority.certificate)
    server = make_server_certificate(authority, addresses)
    write_key(paths.pki / "apiserver.key", server.key)
    write_certificate(paths.pki / "apiserver.crt", server.certificate)
    write_key(paths.pki / "service-accounts.key", new_key())
    tokens = {user: secrets.token_urlsafe(24) for user in users_of(nodes)}
    _write_private(paths.pki / "tokens.csv", render_token_file(tokens))
    bundle = pem(authority.certificate)
    for user, token in tokens.items():
        _write_private(paths.kubeconfig(user.kubeconfig), render_kubeconfig(api_url, bundle, user.name, token))


def make_server_certificate(authority: KeyPair, addresses: Iterable[Address]) -> KeyPair:
    """Make the API server's certificate: valid for these addresses, its Service's, loopback, and its DNS names."""
    own = [*addresses, *(network[1] for network in SERVICE_NETWORKS), *map(ip_address, ("127.0.0.1", "::1"))]
    return make_server(authority, "kube-apiserver", [*SERVER_NAMES, *own])


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
    path.write_bytes(pem(certificate))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
