"""The workload of the lab: says over HTTP and UDP who answered whom. Run by path; standard library only.

`echo.py --http PORT --udp PORT` listens on both families. `/` answers JSON, `/healthz` says ok, and
`/stream?seconds=N&bytes=B` is a download of B bytes that takes N seconds, for tests of failover.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

MAX_REQUEST_BYTES = 16 * 1024
REQUEST_SECONDS = 30.0
MAX_STREAM_BYTES = 1 << 30
MAX_STREAM_SECONDS = 3600.0
STREAM_STEPS_PER_SECOND = 20


def describe(client: tuple[str, int], port: int, protocol: str, forwarded: str = "") -> dict[str, Any]:
    """Tell who answers whom; a client that came over IPv4 is shown as such on a dual-stack socket too."""
    answer: dict[str, Any] = {
        "pod": os.environ.get("POD_NAME", ""),
        "node": os.environ.get("NODE_NAME", ""),
        "namespace": os.environ.get("POD_NAMESPACE", ""),
        "client": client[0].removeprefix("::ffff:"),
        "client_port": client[1],
        "port": port,
        "protocol": protocol,
    }
    return answer | ({"forwarded": forwarded} if forwarded else {})


def parse_request(head: bytes) -> tuple[str, Mapping[str, str]]:
    """Read the target and the headers (names in lower case) of a request; raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    _, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return target, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def serve_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS) as patience:
            while await _answer_one(reader, writer, patience):
                patience.reschedule(asyncio.get_running_loop().time() + REQUEST_SECONDS)
    except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: asyncio.Timeout) -> bool:
    """Answer one request; tell whether the connection stays open."""
    target, headers = parse_request((await reader.readuntil(b"\r\n\r\n"))[:-4])
    keep = headers.get("connection", "").lower() != "close"
    url = urlsplit(target)
    if url.path == "/stream":
        patience.reschedule(None)
        await _stream(writer, parse_qs(url.query))
        return False
    if url.path == "/healthz":
        _write_answer(writer, "text/plain", b"ok\n", keep=keep)
    else:
        client, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        forwarded = headers.get("x-forwarded-for") or headers.get("x-real-ip", "")
        body = json.dumps(describe(client[:2], own[1], "TCP", forwarded)).encode() + b"\n"
        _write_answer(writer, "application/json", body, keep=keep)
    await writer.drain()
    return keep


def _write_answer(writer: asyncio.StreamWriter, kind: str, body: bytes, *, keep: bool) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + body)


async def _stream(writer: asyncio.StreamWriter, query: Mapping[str, list[str]]) -> None:
    """Send that many bytes evenly over that many seconds."""
    seconds = min(float(query.get("seconds", ["10"])[0]), MAX_STREAM_SECONDS)
    size = min(int(query.get("bytes", ["1000000"])[0]), MAX_STREAM_BYTES)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    writer.write(f"{head}Content-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    loop, sent = asyncio.get_running_loop(), 0
    start = loop.time()
    while sent < size:
        share = min((loop.time() - start) / seconds, 1.0) if seconds > 0 else 1.0
        due = int(size * share)
        writer.write(bytes(min(due - sent, 1 << 20)))
        sent += min(due - sent, 1 << 20)
        await writer.drain()
        if sent == due:
            await asyncio.sleep(1 / STREAM_STEPS_PER_SECOND)


class UdpEcho(asyncio.DatagramProtocol):
    """Answers each datagram with the same JSON; what was sent comes back as `data`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket to answer on."""
        # Not an assertion: asyncio's own transport is no DatagramTransport before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        own = self._transport.get_extra_info("sockname")
        answer = describe(addr[:2], own[1], "UDP") | {"data": data.decode(errors="replace")}
        self._transport.sendto(json.dumps(answer).encode() + b"\n", addr)


def dual_stack_socket(kind: socket.SocketKind, port: int) -> socket.socket:
    """Listen on one port for both families."""
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    return listener


async def serve(http_ports: list[int], udp_ports: list[int]) -> None:
    """Serve until SIGTERM or SIGINT, then stop at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for port in http_ports:
        listener = dual_stack_socket(socket.SOCK_STREAM, port)
        await asyncio.start_server(serve_http, sock=listener, limit=MAX_REQUEST_BYTES)
    for port in udp_ports:
        await loop.create_datagram_endpoint(UdpEcho, sock=dual_stack_socket(socket.SOCK_DGRAM, port))
    await stop.wait()


def main() -> None:
    """Read the ports and serve."""
    parser = argparse.ArgumentParser(description="Say who answered whom.")
    parser.add_argument("--http", type=int, action="append", default=[], metavar="PORT")
    parser.add_argument("--udp", type=int, action="append", default=[], metavar="PORT")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.http, arguments.udp))


if __name__ == "__main__":
    main()
