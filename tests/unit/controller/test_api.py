"""The guard: nothing is written by one who does not lead."""

from collections.abc import Mapping
from typing import Any

import pytest

from baremetal_lb.controller.api import GuardedApi, NotLeadingError


class Requests:
    """What reached the API server."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def get(self, path: str, **_query: str | int) -> dict[str, Any]:
        return self._send(f"GET {path}")

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(f"POST {path} {dict(body)}")

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(f"PATCH {path} {dict(body)}")

    def _send(self, request: str) -> dict[str, Any]:
        self.sent.append(request)
        return {}


async def test_who_leads_writes() -> None:
    requests = Requests()
    api = GuardedApi(requests, lambda: True)
    await api.get("/a")
    await api.create("/b", {"x": 1})
    await api.patch("/c", {"y": 2})
    assert requests.sent == ["GET /a", "POST /b {'x': 1}", "PATCH /c {'y': 2}"]


async def test_who_does_not_lead_reads_only() -> None:
    requests = Requests()
    api = GuardedApi(requests, lambda: False)
    await api.get("/a")
    with pytest.raises(NotLeadingError):
        await api.create("/b", {})
    with pytest.raises(NotLeadingError):
        await api.patch("/c", {})
    assert requests.sent == ["GET /a"]


async def test_it_is_asked_anew_for_each_write() -> None:
    requests, answers = Requests(), iter([True, False])
    api = GuardedApi(requests, lambda: next(answers))
    await api.patch("/c", {})
    with pytest.raises(NotLeadingError):
        await api.patch("/c", {})
