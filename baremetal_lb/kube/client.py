"""Plain requests to the Kubernetes API server: JSON objects in and out, one error type.

The `kubernetes` package only reads kubeconfigs (`kube/login.py`). Its client is left aside: building one of its models
for each of thousands of Services costs more than the request itself, and importing it more memory than all of those.
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

from baremetal_lb.kube.login import Login, NoLoginError, log_in, ssl_context

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
"""Merges the conditions of a Service by their type; only for kinds that Kubernetes itself brings."""

MAX_CONNECTIONS = 64
REQUEST_TIMEOUT_SECONDS = 10.0
WATCH_READ_TIMEOUT_SECONDS = 420.0
"""Longer than any watch that `kube.watch` asks for: only a silent server reaches it."""

READ_BUFFER_BYTES = 2**21
"""So that reading a watch that brings large objects stops seldom."""

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

    def __init__(self, login: Login) -> None:
        self._login = login
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """Read the credentials (of the Pod's service account where no file is named); nothing is sent yet.

        Raises ApiError (reason "NoCredentials") where there are none.
        """
        SSLProtocol.max_size = TLS_READ_BYTES  # there is no other way to say it
        try:
            return cls(await log_in(kubeconfig, context))
        except NoLoginError as error:
            raise ApiError(0, "NoCredentials", str(error)) from error

    @property
    def login(self) -> Login:
        """Server, CA and credentials, for a library that must log in by itself (kopf)."""
        return self._login

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
        if self._session is not None:
            await self._session.close()

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
        url = self._login.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        token = await self._login.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        try:
            async with self._connected().request(
                method,
                url,
                headers=headers,
                data=json.dumps(body) if body is not None else None,
                timeout=timeout,
                proxy=self._login.proxy,
                proxy_headers=self._login.proxy_headers,
            ) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {str(error) or type(error).__name__}") from error

    def _connected(self) -> aiohttp.ClientSession:
        """The session, which needs a running loop to be made in.

        It trusts no environment: aiohttp would look for proxies and .netrc anew, in a thread, at every request.
        """
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, ssl=ssl_context(self._login), socket_factory=_keepalive_socket
            )
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=READ_BUFFER_BYTES)
        return self._session


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
