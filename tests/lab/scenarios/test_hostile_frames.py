"""Frames that break the rules of ARP and NDP reach the holder: it lives, counts them, and goes on answering."""

import random
from collections.abc import Iterator
from functools import partial

import pytest

from baremetal_lb.addresses import Address, family_of
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.questions import Asker, question_for
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
FRAMES = 4000
ETHERNET_HEADER = 14
ARP_SENDER = slice(28, 32)
MALFORMED = "baremetal_lb_frames_malformed_total"


@pytest.fixture
def addresses(sandbox: Sandbox, client: Vantage) -> tuple[Address, ...]:
    """An announced address of each family."""
    sandbox.offer()
    assigned = sandbox.request_service("web", ECHO).assigned()
    for address in assigned:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    return assigned


def test_fuzzed_frames_change_nothing(
    client: Vantage, other_client: Vantage, lab: Lab, addresses: tuple[Address, ...]
) -> None:
    """Thousands of damaged questions among valid ones: nobody restarts, and every valid one is answered."""
    restarts = _restarts(lab)
    dice = random.Random(20261123)
    holders = {address: client.announcers(address) for address in addresses}
    with other_client.raw_socket() as wire:
        for address in addresses:
            for frame in _damaged(dice, question_for(_asker(other_client, address), address)):
                wire.send(frame)
            assert client.announcers(address) == holders[address]
    for address in addresses:
        client.forget(address)
        wait_for(f"a page from {address}", partial(client.reaches, address))
    assert _restarts(lab) == restarts


def test_a_question_that_breaks_a_rule_is_counted(
    client: Vantage, other_client: Vantage, lab: Lab, addresses: tuple[Address, ...]
) -> None:
    """And not answered."""
    for address in addresses:
        holder = client.holder(address)
        question = question_for(_asker(other_client, address), address)
        for reason, frame in _rule_breakers(question):
            before = _malformed(client, lab, holder, reason)
            assert other_client.answers(frame, address) == set(), reason
            wait_for(
                f"{holder} counts {reason}",
                partial(_malformed, client, lab, holder, reason),
                lambda seen: seen > before,  # noqa: B023 - called at once
            )


def _asker(host: Vantage, address: Address) -> Asker:
    mac = bytes.fromhex(host.host.mac(host.host.segments[0]).replace(":", ""))
    return Asker(mac, host.address(family_of(address)))


def _damaged(dice: random.Random, question: bytes) -> Iterator[bytes]:
    """Damage a question: bytes changed, cut short, grown, or nothing but noise behind the Ethernet header.

    The IPv4 address of the sender stays: with that of another host it would be a well-formed lie, and believed.
    """
    for _ in range(FRAMES // 2):
        frame = bytearray(question)
        for _ in range(dice.randint(1, 4)):
            frame[dice.randrange(ETHERNET_HEADER, len(frame))] = dice.randrange(256)
        frame[ARP_SENDER] = question[ARP_SENDER]
        match dice.randrange(4):
            case 0:
                frame = frame[: dice.randrange(ETHERNET_HEADER, len(frame))]
            case 1:
                frame += dice.randbytes(dice.randrange(1, 1000))
            case 2:
                frame[ETHERNET_HEADER:] = dice.randbytes(dice.randrange(1, 100))
        yield bytes(frame)


def _rule_breakers(question: bytes) -> Iterator[tuple[str, bytes]]:
    """Damage a question in ways that a kernel's filter lets pass, each with the reason that is counted."""
    if question[12:14] == b"\x08\x06":
        yield "BadSenderMAC", question[:22] + b"\xff" * 6 + question[28:]
        yield "BadARPHeader", question[:18] + b"\x08" + question[19:]
        return
    yield "BadChecksum", question[:56] + b"\x00\x01" + question[58:]
    yield "Forwarded", question[:21] + b"\x40" + question[22:]
    yield "BadCode", question[:55] + b"\x01" + question[56:]


def _restarts(lab: Lab) -> dict[str, int]:
    pods = lab.get_json(f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods")["items"]
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))
        for pod in pods
    }


def _malformed(client: Vantage, lab: Lab, node: str, reason: str) -> float:
    page = client.fetch(lab.topology.host(node).addresses[0], 7473, "/metrics")
    lines = (line for line in page.body.splitlines() if line.startswith(MALFORMED) and f'"{reason}"' in line)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
