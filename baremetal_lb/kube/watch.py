"""List, watch, and compare after every new list: what was deleted while we were cut off is delivered as well.

`kubernetes.aio` has a Watch without an informer: it raises on connection errors and forgets deletions. This one keeps
the keys it has delivered, each with its resourceVersion, so that a new list tells only what is new. It goes on from the
last resourceVersion after a lost connection, and lists anew where the API server has forgotten that version (410 Gone).
"""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.pages import pages

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

PAGE_SIZE = 500
WATCH_SECONDS = 300
"""A stream is asked to end after this long (plus up to a fifth), so that a stuck one can't last."""

FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.1, 3.0

log = structlog.get_logger()


class Watch(Generic[T]):
    """Keeps a receiver in step with one kind of object.

    `on_change(key, view)` is called for each object that appears or changes, `on_change(key, None)` for each that is
    gone; one that `parse` can't read (it raises KeyError, TypeError, ValueError or AttributeError) counts as gone.
    `on_connection(connected)` is called when the stream opens and when it is lost.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        parse: Callable[[dict[str, Any]], T],
        on_change: Callable[[Key, T | None], None],
        *,
        on_connection: Callable[[bool], None] | None = None,
        field_selector: str = "",
        label_selector: str = "",
    ) -> None:
        self._client = client
        self._path = path
        self._parse = parse
        self._on_change = on_change
        self._on_connection = on_connection
        self._selectors: dict[str, str] = {
            name: value
            for name, value in (("fieldSelector", field_selector), ("labelSelector", label_selector))
            if value
        }
        self._delivered: dict[Key, str] = {}
        self._version = ""
        self._lists_wanted = 0
        self._lists_made = 0
        self._list_made = asyncio.Event()
        self._stream_end: asyncio.Timeout | None = None
        self.synced = asyncio.Event()
        self.connected = False
        self.reconnects = 0

    async def run(self) -> None:
        """Follow the API server for ever; only a fault of the receiver ends it."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                while not self._version or self._lists_made < self._lists_wanted:
                    await self._list()
                await self._follow()
                backoff = FIRST_BACKOFF_SECONDS
            except ApiError as error:
                self._set_connected(connected=False)
                self.reconnects += 1
                if error.status == 410:
                    self._version = ""
                    continue
                log.warning("watch lost", path=self._path, error=str(error), retry_seconds=round(backoff, 2))
                await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
                backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)

    async def relist(self) -> None:
        """List anew; returns when the receiver knows all that had happened before the call.

        A stream may lag behind for as long as it likes, and says nothing about that.
        """
        self._lists_wanted += 1
        wanted = self._lists_wanted
        if self._stream_end is not None:
            self._stream_end.reschedule(asyncio.get_running_loop().time())
            self._stream_end = None
        while self._lists_made < wanted:
            self._list_made.clear()
            await self._list_made.wait()

    async def _list(self) -> None:
        """Deliver every object that is new, then the disappearance of those that were known and are not listed."""
        wanted = self._lists_wanted
        seen: set[Key] = set()
        version = ""
        async for page in pages(self._client.get, self._path, limit=PAGE_SIZE, **self._selectors):
            for raw in page["items"]:
                seen.add(self._deliver(raw))
            version = page["metadata"]["resourceVersion"]
        for key in self._delivered.keys() - seen:
            self._forget(key)
        self._version = version
        self._lists_made = wanted
        self._list_made.set()
        self.synced.set()

    async def _follow(self) -> None:
        """Deliver changes until the API server ends the stream, or a new list is wanted."""
        try:
            async with asyncio.timeout(None) as self._stream_end:
                await self._follow_stream()
        except TimeoutError:
            return
        finally:
            self._stream_end = None

    async def _follow_stream(self) -> None:
        seconds = int(WATCH_SECONDS * random.uniform(1.0, 1.2))
        query: dict[str, str | int] = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": seconds,
        }
        async with self._client.stream(self._path, **query, **self._selectors) as lines:
            self._set_connected(connected=True)
            async for line in lines:
                self._apply(json.loads(line))

    def _apply(self, event: dict[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(raw.get("code", 500), raw.get("reason", "Unknown"), raw.get("message", ""))
        self._version = raw["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self._forget(_key(raw))
        elif event["type"] != "BOOKMARK":
            self._deliver(raw)

    def _deliver(self, raw: dict[str, Any]) -> Key:
        key, version = _key(raw), raw["metadata"]["resourceVersion"]
        if self._delivered.get(key) == version:
            return key
        try:
            view = self._parse(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("object not understood", path=self._path, key=key, error=repr(error))
            self._forget(key)
            return key
        self._delivered[key] = version
        self._on_change(key, view)
        return key

    def _forget(self, key: Key) -> None:
        if self._delivered.pop(key, None) is not None:
            self._on_change(key, None)

    def _set_connected(self, *, connected: bool) -> None:
        if connected == self.connected:
            return
        self.connected = connected
        if self._on_connection is not None:
            self._on_connection(connected)


def _key(raw: dict[str, Any]) -> Key:
    metadata = raw["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
