"""The part of the API client that the controller uses; the tests put a simulated API server behind it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from baremetal_lb.kube.client import ApiError


class ApiWriter(Protocol):
    """Reads and writes single objects; raises `kube.client.ApiError`."""

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Read an object or a list."""

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in a collection."""

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object."""


class NotLeadingError(ApiError):
    """Nothing was sent: another replica may lead by now."""

    def __init__(self) -> None:
        super().__init__(0, "NotLeading", "this replica does not lead")


class GuardedApi:
    """Lets a write pass only while this replica leads; everything that only a leader may write goes through here."""

    def __init__(self, client: ApiWriter, may_write: Callable[[], bool]) -> None:
        self._client = client
        self._may_write = may_write

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Read an object or a list."""
        return await self._client.get(path, **query)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in a collection; raises NotLeadingError."""
        self._check()
        return await self._client.create(path, body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object; raises NotLeadingError."""
        self._check()
        return await self._client.patch(path, body)

    def _check(self) -> None:
        if not self._may_write():
            raise NotLeadingError
