"""What makes it hard for a speaker: questions by the ten thousands, and other processes that want the processor."""

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.questions import Asker, question_for
from baremetal_lb.lab.topology import LAN

BUNDLE_SECONDS = 0.005
WARM_UP_SECONDS = 1.0


@contextmanager
def flooded(client: Vantage, target: Address, per_second: int) -> Iterator[None]:
    """Ask the segment for an address, so many times a second, for as long as the block runs."""
    mac = bytes.fromhex(client.host.mac(LAN).replace(":", ""))
    question = question_for(Asker(mac, client.address(Family.IPV4)), target)
    assert family_of(target) is Family.IPV4
    with _processes(1, _flood, client.namespace, question, per_second):
        yield


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let so many processes compute, for as long as the block runs."""
    with _processes(processes, _burn):
        yield


@contextmanager
def _processes(count: int, work: object, *arguments: object) -> Iterator[None]:
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=work, args=arguments, daemon=True) for _ in range(count)]  # type: ignore[arg-type]
    for one in running:
        one.start()
    try:
        time.sleep(WARM_UP_SECONDS)
        assert all(one.is_alive() for one in running)
        yield
    finally:
        for one in running:
            one.kill()
            one.join()


def _flood(namespace: str, question: bytes, per_second: int) -> None:
    wire = inside(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    wire.bind(("eth0", 0))
    bundle = round(per_second * BUNDLE_SECONDS)
    due = time.monotonic()
    while True:
        for _ in range(bundle):
            wire.send(question)
        due = max(due + BUNDLE_SECONDS, time.monotonic() - 10 * BUNDLE_SECONDS)
        time.sleep(max(0.0, due - time.monotonic()))


def _burn() -> None:
    while True:
        pass
