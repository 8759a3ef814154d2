"""Lists of any length, read a page at a time: a page is all that has to be kept as it was written."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


async def pages(
    get: Callable[..., Awaitable[dict[str, Any]]], path: str, *, limit: int, **query: str | int
) -> AsyncIterator[dict[str, Any]]:
    """Yield the pages of a list, each of up to `limit` objects. `get` is a client's method, or acts like it."""
    query["limit"] = limit
    while True:
        page = await get(path, **query)
        yield page
        if not (token := page["metadata"].get("continue")):
            return
        query["continue"] = token
