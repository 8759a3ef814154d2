"""A small API server on loopback: lists, streams, forgets versions, drops connections."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.kube.watch import Key, Watch

PATH = "/api/v1/things"


def thing(name: str, version: int, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": name, "resourceVersion": str(version)}, **fields}


class ApiServer:
    """Objects and a history; `compact()` forgets the history, `drop()` cuts every stream."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.changed = asyncio.Condition()
        self.generation = 0
        self.down = False
        self.is_late = False
        self.lists = 0

    async def put(self, name: str, **fields: Any) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        self.objects[name] = thing(name, self.version, **fields)
        await self._record(kind, self.objects[name])

    async def remove(self, name: str) -> None:
        self.version += 1
        gone = {**self.objects.pop(name)}
        gone["metadata"] = {**gone["metadata"], "resourceVersion": str(self.version)}
        await self._record("DELETED", gone)

    async def _record(self, kind: str, raw: dict[str, Any]) -> None:
        self.history.append((self.version, {"type": kind, "object": raw}))
        await self.wake()

    async def wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def drop(self) -> None:
        self.generation += 1
        await self.wake()

    def compact(self) -> None:
        self.oldest = self.version

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return web.json_response({"reason": "ServiceUnavailable", "message": "down", "code": 503}, status=503)
        if "watch" in request.query:
            return await self._stream(request)
        self.lists += 1
        names = sorted(self.objects)
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        more = {"continue": str(start + limit)} if start + limit < len(names) else {}
        items = [self.objects[name] for name in names[start : start + limit]]
        return web.json_response({"metadata": {"resourceVersion": str(self.version), **more}, "items": items})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        position, generation = int(request.query["resourceVersion"]), self.generation
        response = web.StreamResponse()
        await response.prepare(request)
        if position < self.oldest:
            status = {"code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        while generation == self.generation:
            for version, event in self.history:
                if version > position and not self.is_late:
                    await response.write(json.dumps(event).encode() + b"\n")
                    position = version
            async with self.changed:
                if (self.is_late or position == self.version) and generation == self.generation:
                    await self.changed.wait()
        assert request.transport is not None
        request.transport.close()
        return response


class Receiver:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.connections: list[bool] = []
        self._changed = asyncio.Event()

    def change(self, key: Key, view: Any) -> None:
        self.calls.append((key[1], view))
        if view is None:
            del self.seen[key[1]]
        else:
            self.seen[key[1]] = view
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def parse(raw: dict[str, Any]) -> int:
    return int(raw["value"])


@pytest.fixture
async def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[KubeClient]:
    application = web.Application()
    application.router.add_get(PATH, server.handle)
    async with TestServer(application, shutdown_timeout=0) as running:
        configuration = Configuration(host=str(running.make_url("")).rstrip("/"))
        client = KubeClient(configuration)
        yield client
        await client.close()
        await server.drop()


@pytest.fixture
async def receiver() -> Receiver:
    return Receiver()


Start = Callable[[], Awaitable[Watch[int]]]


@pytest.fixture
async def start(client: KubeClient, receiver: Receiver) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []

    async def begin() -> Watch[int]:
        watch = Watch(client, PATH, parse, receiver.change, on_connection=receiver.connections.append)
        tasks.append(asyncio.create_task(watch.run()))
        await asyncio.wait_for(watch.synced.wait(), 10)
        return watch

    yield begin
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_lists_in_pages_then_follows(server: ApiServer, receiver: Receiver, start: Start) -> None:
    """Every object of every page is there at `synced`; changes and deletions follow."""
    for number in range(1201):
        server.objects[f"old-{number:04}"] = thing(f"old-{number:04}", 1, value=number)
    await start()
    assert len(receiver.seen) == 1201
    await server.put("new", value=7)
    await receiver.until(lambda: receiver.seen.get("new") == 7)
    await server.remove("old-0000")
    await receiver.until(lambda: "old-0000" not in receiver.seen)


async def test_goes_on_from_the_last_version(server: ApiServer, receiver: Receiver, start: Start) -> None:
    """After a cut stream nothing is delivered twice and nothing is listed anew."""
    await server.put("a", value=1)
    watch = await start()
    await server.put("b", value=2)
    await receiver.until(lambda: "b" in receiver.seen)
    await server.drop()
    await server.put("c", value=3)
    await receiver.until(lambda: "c" in receiver.seen)
    assert server.lists == 1
    assert watch.reconnects == 1
    assert [name for name, _ in receiver.calls] == ["a", "b", "c"]


async def test_a_deletion_missed_while_cut_off_is_delivered(
    server: ApiServer, receiver: Receiver, start: Start
) -> None:
    """The history is gone (410), so only the comparison with a new list can tell."""
    await server.put("stays", value=1)
    await server.put("goes", value=2)
    await start()
    server.down = True
    await server.drop()
    await server.remove("goes")
    server.compact()
    server.down = False
    await receiver.until(lambda: "goes" not in receiver.seen)
    assert receiver.seen == {"stays": 1}
    assert server.lists == 2


async def test_a_new_list_tells_what_a_late_stream_has_not(server: ApiServer, receiver: Receiver, start: Start) -> None:
    """Everything that happened before the call is known when it returns, and the stream goes on from there."""
    await server.put("a", value=1)
    await server.put("goes", value=1)
    watch = await start()
    await server.put("b", value=2)
    await receiver.until(lambda: "b" in receiver.seen)
    server.is_late = True
    await server.put("a", value=3)
    await server.remove("goes")

    await asyncio.wait_for(watch.relist(), 10)

    assert receiver.seen == {"a": 3, "b": 2}
    assert receiver.connections == [True], "the connection was not lost"
    server.is_late = False
    await server.put("c", value=4)
    await receiver.until(lambda: "c" in receiver.seen)
    assert receiver.calls.count(("a", 3)) == 1


async def test_a_new_list_tells_nothing_twice(server: ApiServer, receiver: Receiver, start: Start) -> None:
    """With thousands of objects each list would cost as much as the first."""
    await server.put("changes", value=1)
    await server.put("stays", value=2)
    await server.put("goes", value=3)
    watch = await start()
    server.is_late = True
    await server.put("changes", value=4)
    await server.remove("goes")
    await asyncio.wait_for(watch.relist(), 10)
    await asyncio.wait_for(watch.relist(), 10)
    assert receiver.calls == [("changes", 1), ("goes", 3), ("stays", 2), ("changes", 4), ("goes", None)]


async def test_a_list_that_was_begun_before_is_not_new(server: ApiServer, receiver: Receiver, start: Start) -> None:
    await server.put("a", value=1)
    watch = await start()
    await server.put("b", value=2)
    await receiver.until(lambda: "b" in receiver.seen)
    relisted = [asyncio.create_task(watch.relist())]
    while server.lists < 2:  # noqa: ASYNC110 - no time passes
        await asyncio.sleep(0)
    await server.put("c", value=3)
    await asyncio.wait_for(watch.relist(), 10)
    assert "c" in receiver.seen
    assert server.lists == 3
    await asyncio.gather(*relisted)


async def test_a_new_list_waits_for_a_server_that_is_away(server: ApiServer, receiver: Receiver, start: Start) -> None:
    await server.put("a", value=1)
    watch = await start()
    await server.put("b", value=2)
    await receiver.until(lambda: "b" in receiver.seen)
    server.down = True
    await server.drop()
    relisted = asyncio.create_task(watch.relist())
    await server.put("c", value=3)
    server.down = False
    await asyncio.wait_for(relisted, 10)
    assert receiver.seen == {"a": 1, "b": 2, "c": 3}


async def test_an_object_that_can_not_be_read_counts_as_gone(
    server: ApiServer, receiver: Receiver, start: Start
) -> None:
    """A view must not outlive the object that it was made of."""
    await server.put("a", value=1)
    await server.put("odd", value="not a number")
    await start()
    assert receiver.seen == {"a": 1}
    await server.put("a", value="broken now")
    await receiver.until(lambda: not receiver.seen)


async def test_connection_is_told_once_per_change(server: ApiServer, receiver: Receiver, start: Start) -> None:
    """Lost and found again, each told once, however many attempts lie between."""
    await server.put("a", value=1)
    watch = await start()
    await server.put("b", value=2)
    await receiver.until(lambda: "b" in receiver.seen)
    server.down = True
    await server.drop()
    await server.put("c", value=3)
    server.down = False
    await receiver.until(lambda: "c" in receiver.seen)
    assert receiver.connections == [True, False, True]
    assert watch.connected


async def test_a_fault_of_the_receiver_ends_the_watch(server: ApiServer, client: KubeClient) -> None:
    """Our own bug is not a lost connection: it must not be retried for ever."""
    await server.put("a", value=1)

    def fail(_key: Key, _view: int | None) -> None:
        raise AssertionError("a bug")

    with pytest.raises(AssertionError, match="a bug"):
        await Watch(client, PATH, parse, fail).run()


async def test_a_refusal_carries_the_servers_words(server: ApiServer, client: KubeClient) -> None:
    server.down = True
    with pytest.raises(ApiError) as caught:
        await client.get(PATH)
    assert (caught.value.status, caught.value.reason, caught.value.message) == (503, "ServiceUnavailable", "down")


async def test_no_answer_is_an_api_error_too() -> None:
    client = KubeClient(Configuration(host="http://127.0.0.1:1"))
    with pytest.raises(ApiError) as caught:
        await client.get(PATH)
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")
    await client.close()
