"""What the kubelet remembers of what it read at the API server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.lab.kubelet import source
from baremetal_lb.lab.kubelet.podview import PodView, parse_pod
from baremetal_lb.lab.kubelet.source import ObjectSource

POD = parse_pod({"metadata": {"namespace": "shop", "name": "web", "uid": "u1"}, "spec": {"containers": []}})
HOUR = {"path": "token", "expirationSeconds": 3600}


class Server(KubeClient):
    """An API server that hands out numbered tokens for an hour, and holds one object."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock
        self.requests: list[Mapping[str, Any]] = []
        self.answer: dict[str, Any] | ApiError = {"data": {"a": "aGVsbG8="}}

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/shop/serviceaccounts/default/token"
        self.requests.append(body["spec"])
        expires_at = datetime.fromtimestamp(self.clock.now + 3600, UTC).isoformat()
        return {"status": {"token": f"token{len(self.requests)}", "expirationTimestamp": expires_at}}

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:  # noqa: ARG002
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    clock = SimpleNamespace(now=1_800_000_000.0)
    monkeypatch.setattr(source, "time", SimpleNamespace(time=lambda: clock.now))
    return Server(clock)


@pytest.mark.parametrize(
    ("seconds_later", "expected"),
    [
        pytest.param(2879, "token1", id="a fresh token is used on"),
        pytest.param(2880, "token2", id="at four fifths of its life it is renewed"),
    ],
)
async def test_token_is_renewed_before_it_expires(server: Server, seconds_later: int, expected: str) -> None:
    tokens = ObjectSource(server)
    assert await tokens.token(POD, HOUR) == "token1"
    server.clock.now += seconds_later
    assert await tokens.token(POD, HOUR) == expected


async def test_token_is_bound_to_its_pod(server: Server) -> None:
    await ObjectSource(server).token(POD, {**HOUR, "audience": "vault"})
    assert server.requests[0]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"}
    assert server.requests[0]["audiences"] == ["vault"]


async def test_each_incarnation_of_a_pod_has_its_own_token(server: Server) -> None:
    tokens = ObjectSource(server)
    later: PodView = parse_pod(
        {"metadata": {"namespace": "shop", "name": "web", "uid": "u2"}, "spec": {"containers": []}}
    )
    assert [await tokens.token(pod, HOUR) for pod in (POD, later, POD)] == ["token1", "token2", "token1"]


async def test_what_was_read_counts_while_the_server_is_away(server: Server) -> None:
    objects = ObjectSource(server)
    assert await objects.data("secret", "shop", "s") == {"a": b"hello"}
    server.answer = ApiError(0, "Unreachable", "")
    assert await objects.data("secret", "shop", "s") == {"a": b"hello"}
    with pytest.raises(ApiError):
        await objects.data("secret", "shop", "never-read")


async def test_what_was_deleted_is_forgotten(server: Server) -> None:
    objects = ObjectSource(server)
    await objects.data("secret", "shop", "s")
    server.answer = ApiError(404, "NotFound", "")
    assert await objects.data("secret", "shop", "s") is None
    server.answer = ApiError(0, "Unreachable", "")
    with pytest.raises(ApiError):
        await objects.data("secret", "shop", "s")


async def test_text_and_binary_data_of_a_config_map(server: Server) -> None:
    server.answer = {"data": {"text": "hello"}, "binaryData": {"bytes": "AP8="}}
    assert await ObjectSource(server).data("configMap", "shop", "c") == {"text": b"hello", "bytes": b"\x00\xff"}
