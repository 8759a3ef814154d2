"""The lab's credentials are ones that TLS and the API server accept."""

import base64
import json
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from baremetal_lb.certificates import KeyPair, make_authority
from baremetal_lb.lab import names
from baremetal_lb.lab.api import read_credentials
from baremetal_lb.lab.certificates import (
    LIFETIME,
    make_server_certificate,
    render_token_file,
    write_certificate,
    write_credentials,
    write_key,
)
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.users import ADMIN, User, kubelet_user, users_of

ADDRESSES = (ip_address("192.0.2.2"), ip_address("2001:db8:0:2::2"))


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return make_authority("test", datetime.now(UTC), LIFETIME)


@pytest.fixture(scope="module")
def server(authority: KeyPair) -> x509.Certificate:
    return make_server_certificate(authority, ADDRESSES).certificate


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setattr(names, "STATE_ROOT", tmp_path)
    return LabPaths.of("test")


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("192.0.2.2", id="its own IPv4 address"),
        pytest.param("2001:db8:0:2::2", id="its own IPv6 address"),
        pytest.param("10.96.0.1", id="the IPv4 address of its Service"),
        pytest.param("fd00:10:96::1", id="the IPv6 address of its Service"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("::1", id="IPv6 loopback"),
    ],
)
def test_the_server_certificate_names(server: x509.Certificate, address: str) -> None:
    named = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ip_address(address) in named.get_values_for_type(x509.IPAddress)


def test_the_server_certificate_names_the_service(server: x509.Certificate) -> None:
    named = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc" in named.get_values_for_type(x509.DNSName)


def test_the_authority_signed_the_server(authority: KeyPair, server: x509.Certificate) -> None:
    server.verify_directly_issued_by(authority.certificate)
    assert server.not_valid_before_utc < datetime.now(UTC) < server.not_valid_after_utc


def test_each_may_do_its_own_part_only(authority: KeyPair, server: x509.Certificate) -> None:
    assert authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_python_s_tls_accepts_the_pair(authority: KeyPair, tmp_path: Path) -> None:
    """A handshake in memory: strict verification by the client, as kubectl and our own clients do it."""
    pair = make_server_certificate(authority, ADDRESSES)
    write_certificate(tmp_path / "crt", pair.certificate)
    write_key(tmp_path / "key", pair.key)
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    bundle = authority.certificate.public_bytes(serialization.Encoding.PEM).decode()
    asking = ssl.create_default_context(cadata=bundle)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname="10.96.0.1")
    server = accepting.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.cipher() is not None


def test_every_user_has_a_kubeconfig_with_its_own_token(paths: LabPaths) -> None:
    write_credentials(paths, "https://192.0.2.2:6443", ADDRESSES, ["node1", "node2"])
    tokens = {line.split(",")[1]: line.split(",")[0] for line in (paths.pki / "tokens.csv").read_text().splitlines()}
    for user in users_of(["node1", "node2"]):
        document = json.loads(paths.kubeconfig(user.kubeconfig).read_text())
        assert document["users"][0]["user"]["token"] in (paths.pki / "tokens.csv").read_text()
        assert document["clusters"][0]["cluster"]["server"] == "https://192.0.2.2:6443"
    assert read_credentials(paths).token == tokens["admin"]
    assert read_credentials(paths).host == "192.0.2.2"
    assert base64.b64encode((paths.pki / "ca.crt").read_bytes()).decode() in paths.kubeconfig("admin").read_text()


@pytest.mark.parametrize(
    "file", ["pki/tokens.csv", "pki/apiserver.key", "pki/service-accounts.key", "kubeconfig/admin"]
)
def test_secrets_are_for_root_only(paths: LabPaths, file: str) -> None:
    write_credentials(paths, "https://192.0.2.2:6443", ADDRESSES, [])
    assert (paths.state / file).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("user", "line"),
    [
        pytest.param(ADMIN, 't,admin,admin,"system:masters"', id="the administrator is a master"),
        pytest.param(
            kubelet_user("node1"), 't,system:node:node1,system:node:node1,"system:nodes"', id="a kubelet is a node"
        ),
    ],
)
def test_the_token_file_says_who_is_who(user: User, line: str) -> None:
    assert render_token_file({user: "t"}) == line + "\n"
