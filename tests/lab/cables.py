"""What the tests on a cable of its own share: who believes what, who asks, who answers."""

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.lab.questions import Asker, question_for
from bench.segment import CLIENT_IPV4, CLIENT_IPV6, CLIENT_MAC, Announcer, Segment

V4 = "192.0.2.10"
V6 = "2001:db8:0:2::10"
OTHER_MAC = "02:00:5e:00:53:99"
NODE_IPV4 = "192.0.2.101"
NODE_IPV6 = "2001:db8:0:2::101"

both_families = pytest.mark.parametrize("address", [V4, V6])


def until(happened: Callable[[], bool], seconds: float = 1.0) -> None:
    """Wait for something to be so, and fail if it is not so in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def neighbour(cable: Segment, address: str, interface: str = "eth0") -> dict[str, Any]:
    """The client's entry for an address; empty if it has none."""
    output = cable.run(cable.client, "ip", "-json", "neigh", "show", address, "dev", interface)
    entries: list[dict[str, Any]] = json.loads(output or "[]")
    return entries[0] if entries else {}


def believe(cable: Segment, address: str, mac: str, state: str = "reachable", interface: str = "eth0") -> None:
    """Let the client take an address to be at a MAC."""
    cable.run(cable.client, "ip", "neigh", "replace", address, "lladdr", mac, "dev", interface, "nud", state)


def second_segment(cable: Segment, undo: Callable[..., object]) -> None:
    """Connect the two hosts by another cable, `eth1` on both sides."""
    undo(cable.speaker, "ip", "link", "del", "eth1")
    make = f"ip link add eth1 address {OTHER_MAC} type veth peer name eth1 netns {cable.client}"
    cable.run(cable.speaker, *make.split())
    cable.run(cable.client, "ip", "link", "set", "eth1", "up")
    cable.run(cable.client, "ip", "addr", "add", f"{CLIENT_IPV4}/24", "dev", "eth1", "noprefixroute")
    cable.run(cable.speaker, "ip", "link", "set", "eth1", "up")


def ping(cable: Segment, address: str, *how: str) -> int:
    """Let the client's kernel ping once, and answer the exit code of Debian's ping."""
    command = ["ip", "netns", "exec", cable.client, "ping", "-c", "1", "-W", "1", *how, address]
    return subprocess.run(command, check=False, capture_output=True).returncode


def neighbour_by_pinging(cable: Segment, address: str, interface: str) -> str | None:
    """Let the client's kernel resolve an address on an interface, and look into its table."""
    ping(cable, address, "-I", interface)
    return neighbour(cable, address, interface).get("lladdr")


def mac_by_asking(cable: Segment, address: str, interface: str = "eth0") -> str | None:
    """Resolve an address with Debian's arping or ndisc6: at which MAC does it answer?"""
    if ":" in address:
        tool = ["ndisc6", "-1", "-m", "-q", "-r", "2", "-w", "500", address, interface]
    else:
        tool = ["arping", "-c", "1", "-w", "1", "-I", interface, address]
    output = subprocess.run(
        ["ip", "netns", "exec", cable.client, *tool], check=False, capture_output=True, text=True
    ).stdout.lower()
    words = output.replace("[", " ").replace("]", " ").split()
    return next((word for word in words if word.count(":") == 5 and len(word) == 17), None)


def question(address: str) -> bytes:
    """The client's question to everybody, or to the address's group."""
    own = ip_address(CLIENT_IPV6 if ":" in address else CLIENT_IPV4)
    return question_for(Asker(bytes.fromhex(CLIENT_MAC.replace(":", "")), own), ip_address(address))


def questions_arriving(cable: Segment, interface: str, address: str) -> int:
    """Ask for an address, and count the client's frames that reach an interface of the speaker."""
    frames = []
    with cable.packet_socket(cable.speaker, 0x86DD, interface) as listener:
        listener.setblocking(False)
        mac_by_asking(cable, address)
        with suppress(BlockingIOError):
            while True:
                frames.append(listener.recv(128))
    return sum(frame[6:12].hex(":") == CLIENT_MAC for frame in frames)


def announce_and_settle(announcer: Announcer, *addresses: str) -> None:
    """Announce, and wait until gratuitous frames have become rare: what answers then was asked for."""
    announcer.announce(*addresses)
    until(lambda: min(announcer.report()["announcements"].values(), default=0) >= 5, 10)
