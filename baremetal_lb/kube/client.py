"""Plain requests to the Kubernetes API server: JSON objects in and out, one error type.

Authentication, TLS and token renewal are the `kubernetes` package's; its generated models are left aside, because
building one for each of thousands of Services costs more than the request itself.
"""

import json
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

MERGE_PATCH = "application/merge-patch+json"
MAX_CONNECTIONS = 64
REQUEST_TIMEOUT_SECONDS = 10.0
WATCH_READ_TIMEOUT_SECONDS = 420.0
"""Longer than any watch that `kube.watch` asks for: only a silent server reaches it."""

KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 5, 2, 3
"""A peer that vanished is noticed within about 11 s on a connection that carries nothing, as watches often do."""


TLS_READ_BYTES = 32 * 1024
"""Two TLS records. asyncio's own 256 KB for each connection are 9 MB for all those of a controller."""


class ApiError(Exception):
    """The API server's refusal; `status` is 0 where no answer came (`reason` is then "Unreachable")."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class KubeClient:
    """One process's connection pool to the API server."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._rest = _Rest(configuration)

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """Read the credentials (of the Pod's service account where no file is named); nothing is sent yet.

        Raises ApiError (reason "NoCredentials") where there are none.
        """
        SSLProtocol.max_size = TLS_READ_BYTES  # there is no other way to say it
        configuration = Configuration()
        try:
            if kubeconfig is None:
                kubernetes_config.load_incluster_config(configuration)
            else:
                await kubernetes_config.load_kube_config(str(kubeconfig), context, client_configuration=configuration)
        except kubernetes_config.ConfigException as error:
            raise ApiError(0, "NoCredentials", str(error)) from error
        configuration.connection_pool_maxsize = MAX_CONNECTIONS
        # With it aiohttp looks for proxies and .netrc anew, in a thread, at every request: a fifth of the cost of each.
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(configuration)

    @property
    def configuration(self) -> Configuration:
        """Server, CA and credentials, for a library that must log in by itself (kopf)."""
        return self._configuration

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Read an object or a list."""
        return await self._request("GET", path, query=query)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in the collection `path`."""
        return await self._request("POST", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object; its resourceVersion guards against a lost update."""
        return await self._request("PUT", path, body=body)

    async def patch(
        self, path: str, body: Mapping[str, Any] | list[Any], *, content_type: str = MERGE_PATCH
    ) -> dict[str, Any]:
        """Patch an object."""
        return await self._request("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Delete an object; `body` holds DeleteOptions."""
        return await self._request("DELETE", path, body=body)

    @asynccontextmanager
    async def stream(self, path: str, **query: str | int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and yield its lines as they come."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=REQUEST_TIMEOUT_SECONDS, sock_read=WATCH_READ_TIMEOUT_SECONDS
        )
        async with self._open("GET", path, query=query, timeout=timeout) as response:
            yield _lines(response)

    async def close(self) -> None:
        """Drop all connections."""
        await self._rest.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | list[Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        async with self._open(
            method, path, query=query, body=body, content_type=content_type, timeout=timeout
        ) as response:
            answer: dict[str, Any] = json.loads(await response.read())
            return answer

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | list[Any] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its answer; raise ApiError for a refusal and for no answer."""
        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        try:
            answer = await self._rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
            async with answer.response as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error or type(error).__name__}") from error


class _Rest(RESTClientObject):  # type: ignore[misc]  # the package has no type information
    """The package's transport, on sockets that notice a vanished peer."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=_keepalive_socket)


def _keepalive_socket(address_info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address_info
    connection = socket.socket(family=family, type=kind, proto=protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    return connection


def _refusal(status: int, body: bytes) -> ApiError:
    """Read a Status object, or whatever a proxy on the way wrote instead."""
    try:
        answer = json.loads(body)
        return ApiError(status, answer.get("reason") or "Unknown", answer.get("message") or "")
    except (ValueError, AttributeError):
        return ApiError(status, "Unknown", body[:200].decode(errors="replace"))


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Split a stream into lines of any length (an object of etcd's limit is longer than aiohttp's own line limit)."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
