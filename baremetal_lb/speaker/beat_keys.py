"""The keys that the speakers sign their beats with: a Secret that all of them watch, and that the first one fills.

Its data are random bytes by number. All keys there are accepted, and the newest that both sides have is signed with, so
keys are changed without a gap by adding one with a higher number, and removing the old one later.
"""

import asyncio
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.watch import Key, Watch

SECRET = "speaker-beats"
KEY_BYTES = 32
SHORTEST_KEY_BYTES = 16
GREATEST_ID = 2**32 - 1
RETRY_SECONDS = 5.0

log = structlog.get_logger()

Keys = Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class KeysView:
    """What we use of the Secret."""

    version: str
    keys: Keys = field(repr=False)


def parse_keys(raw: Mapping[str, Any]) -> KeysView:
    """Reduce an API server's Secret. What is no key of ours is passed over."""
    keys: dict[int, bytes] = {}
    for name, encoded in (raw.get("data") or {}).items():
        key = b64decode(encoded)
        if name.isascii() and name.isdigit() and int(name) <= GREATEST_ID and len(key) >= SHORTEST_KEY_BYTES:
            keys[int(name)] = key
    return KeysView(raw["metadata"]["resourceVersion"], keys)


class BeatKeys:
    """Follows the Secret, and fills it if it is empty. `on_change` is called with all keys."""

    def __init__(self, client: KubeClient, namespace: str, on_change: Callable[[Keys], None]) -> None:
        collection = f"/api/v1/namespaces/{namespace}/secrets"
        self.watch = Watch(client, collection, parse_keys, self._seen, field_selector=f"metadata.name={SECRET}")
        self._client = client
        self._path = f"{collection}/{SECRET}"
        self._on_change = on_change
        self._empty: asyncio.Queue[str] = asyncio.Queue()
        """The versions in which it was seen empty."""

    async def fill(self) -> None:
        """Fill it, for ever, whenever it is empty."""
        while True:
            version = await self._empty.get()
            try:
                await self._add_key(version)
            except ApiError as error:
                if error.status == 409:
                    continue  # Another speaker was faster.
                log.warning("no key for the beats", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._empty.put_nowait(version)

    async def _add_key(self, version: str) -> None:
        key = b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        await self._client.patch(self._path, {"metadata": {"resourceVersion": version}, "data": {"1": key}})
        log.info("key for the beats made")

    def _seen(self, _: Key, view: KeysView | None) -> None:
        if view is not None and not view.keys:
            self._empty.put_nowait(view.version)
        self._on_change(view.keys if view is not None else {})
