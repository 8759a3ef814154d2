"""The part of the API client that the controller uses; the tests put a simulated API server behind it."""

from collections.abc import Mapping
from typing import Any, Protocol


class ApiWriter(Protocol):
    """Reads and writes single objects; raises `kube.client.ApiError`."""

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Read an object or a list."""

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in a collection."""

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object."""
