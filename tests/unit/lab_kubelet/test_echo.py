"""What the echo workload answers."""

import asyncio
import json
from typing import Any

import pytest

from baremetal_lb.lab.echo import UdpEcho, describe, parse_request, serve_http


@pytest.fixture(autouse=True)
def _who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "web-1")
    monkeypatch.setenv("NODE_NAME", "node1")
    monkeypatch.setenv("POD_NAMESPACE", "shop")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        pytest.param("::ffff:192.0.2.201", "192.0.2.201", id="IPv4 on a dual-stack socket"),
        pytest.param("2001:db8:0:2::201", "2001:db8:0:2::201", id="IPv6"),
    ],
)
def test_client_address_is_written_as_users_know_it(peer: str, expected: str) -> None:
    answer = describe((peer, 4711), 8080, "UDP")
    assert answer == {
        "pod": "web-1",
        "node": "node1",
        "namespace": "shop",
        "client": expected,
        "client_port": 4711,
        "port": 8080,
        "protocol": "UDP",
    }


def test_headers_are_read_in_any_case() -> None:
    assert parse_request(b"GET /x HTTP/1.1\r\nX-Real-IP: 192.0.2.1") == ("/x", {"x-real-ip": "192.0.2.1"})


async def ask(request: str) -> tuple[str, bytes]:
    server = await asyncio.start_server(serve_http, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().partition("\r\n")[0], body


async def test_a_page_says_who_answers_whom() -> None:
    status, body = await ask("GET / HTTP/1.1\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
    answer: dict[str, Any] = json.loads(body)
    assert status == "HTTP/1.1 200 OK"
    assert (answer["client"], answer["protocol"], answer["forwarded"]) == ("127.0.0.1", "TCP", "192.0.2.7")


async def test_health() -> None:
    assert await ask("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n") == ("HTTP/1.1 200 OK", b"ok\n")


async def test_a_connection_is_used_again() -> None:
    page = "GET /healthz HTTP/1.1\r\n\r\n"
    _, rest = await ask(page + "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert rest.count(b"ok\n") == 2


async def test_a_stream_has_the_size_asked_for() -> None:
    _, body = await ask("GET /stream?seconds=0&bytes=2500000 HTTP/1.1\r\n\r\n")
    assert len(body) == 2_500_000


async def test_a_datagram_comes_back_with_who_answered() -> None:
    loop, answers = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
            answers.put_nowait(data)

    server, _ = await loop.create_datagram_endpoint(UdpEcho, ("127.0.0.1", 0))
    client, _ = await loop.create_datagram_endpoint(Client, remote_addr=server.get_extra_info("sockname"))
    client.sendto(b"hi")
    answer = json.loads(await asyncio.wait_for(answers.get(), 5))
    client.close()
    server.close()
    assert (answer["client"], answer["protocol"], answer["data"]) == ("127.0.0.1", "UDP", "hi")


async def test_nonsense_closes_the_connection() -> None:
    assert await ask("\r\n\r\n") == ("", b"")
