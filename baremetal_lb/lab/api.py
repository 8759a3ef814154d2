"""Requests to a lab's API server from outside its namespaces, as its administrator.

Plain and blocking, for tests and for bringing a lab up, where a kubectl costs a tenth of a second. One connection per
request: the API server may be killed at any time, and then a kept connection is only a surprise.
"""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.topology import API_PORT, CONTROL_PLANE
from baremetal_lb.lab.users import ADMIN

REQUEST_TIMEOUT_SECONDS = 10.0
CHANGES_SECONDS = 1
MERGE_PATCH = "application/merge-patch+json"


class RequestError(LabError):
    """The API server's refusal; `status` is 0 where no answer came."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a kubeconfig of ours says."""

    host: str
    authority: str
    token: str


def read_credentials(paths: LabPaths, user: str = ADMIN.kubeconfig) -> Credentials:
    """Read one of the kubeconfigs that the lab wrote."""
    raw = json.loads(paths.kubeconfig(user).read_text())
    cluster = raw["clusters"][0]["cluster"]
    return Credentials(
        host=cluster["server"].removeprefix("https://").rpartition(":")[0],
        authority=base64.b64decode(cluster["certificate-authority-data"]).decode(),
        token=raw["users"][0]["user"]["token"],
    )


def request(
    paths: LabPaths, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
) -> Any:
    """Ask the API server and answer its JSON; raise RequestError."""
    answer = _ask(paths, method, path, body, content_type)
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode()


def changes(paths: LabPaths, collection: str, since: str) -> list[Any]:
    """Read what happened to the objects of a collection since a resourceVersion; raise RequestError.

    The API server remembers the last minute at least. Each change is one of a watch: its type, and the object after it.
    """
    query = f"watch=1&resourceVersion={since}&timeoutSeconds={CHANGES_SECONDS}"
    lines = _ask(paths, "GET", f"{collection}?{query}", None, "").splitlines()
    return [json.loads(line) for line in lines]


def _ask(paths: LabPaths, method: str, path: str, body: Any, content_type: str) -> bytes:
    credentials = read_credentials(paths)
    headers = {"Authorization": f"Bearer {credentials.token}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = content_type
    status, answer = _exchange(
        paths, credentials, (method, path, json.dumps(body) if body is not None else None, headers)
    )
    if status >= 400:
        raise RequestError(status, _message(answer))
    return answer


def _exchange(
    paths: LabPaths, credentials: Credentials, question: tuple[str, str, str | None, Mapping[str, str]]
) -> tuple[int, bytes]:
    method, path, body, headers = question
    try:
        connection = _connect(paths, credentials)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise RequestError(0, f"{method} {path}: {error or type(error).__name__}") from error


def _connect(paths: LabPaths, credentials: Credentials) -> http.client.HTTPSConnection:
    address = (credentials.host, API_PORT)
    plain = inside(
        paths.namespace(CONTROL_PLANE), lambda: socket.create_connection(address, timeout=REQUEST_TIMEOUT_SECONDS)
    )
    # Else the request waits for the server's delayed acknowledgement of the handshake.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = ssl.create_default_context(cadata=credentials.authority)
    # It would make a context of its own, and that reads all authorities of the machine.
    connection = http.client.HTTPSConnection(*address, timeout=REQUEST_TIMEOUT_SECONDS, context=context)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=credentials.host)
    except BaseException:
        plain.close()
        raise
    return connection


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace")
