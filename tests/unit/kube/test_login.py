"""How a process in a Pod logs in."""

from pathlib import Path

import pytest

from baremetal_lb.kube import login
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.login import NoLoginError, PodLogin


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a service account, in a Pod."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("a certificate")
    return tmp_path


@pytest.mark.parametrize(
    ("address", "host"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
async def test_a_pod_knows_the_server_and_its_token(
    account: Path, monkeypatch: pytest.MonkeyPatch, address: str, host: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", address)
    pod = PodLogin(account)
    assert (pod.host, pod.ssl_ca_cert) == (host, str(account / "ca.crt"))
    assert await pod.get_api_key_with_prefix("BearerToken") == "Bearer first"


async def test_a_new_token_is_used_after_a_minute(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it can't be read, the old one goes on."""
    pod = PodLogin(account)
    (account / "token").write_text("second")
    assert await pod.get_api_key_with_prefix("BearerToken") == "Bearer first"
    monkeypatch.setattr(login, "TOKEN_SECONDS", -1.0)
    assert await pod.get_api_key_with_prefix("BearerToken") == "Bearer second"
    (account / "token").unlink()
    assert await pod.get_api_key_with_prefix("BearerToken") == "Bearer second"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_what_is_missing_is_named(account: Path, missing: str) -> None:
    (account / missing).unlink()
    with pytest.raises(NoLoginError, match=missing):
        PodLogin(account)


def test_an_empty_token_is_none(account: Path) -> None:
    (account / "token").write_text("\n")
    with pytest.raises(NoLoginError, match="empty"):
        PodLogin(account)


async def test_outside_of_a_pod_a_kubeconfig_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match="name a kubeconfig") as caught:
        await KubeClient.connect()
    assert caught.value.reason == "NoCredentials"
