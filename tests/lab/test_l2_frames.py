"""Our ARP and NDP against the kernel's and against Debian's tools, on a cable of its own; no Kubernetes involved."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from typing import Any

import pytest

from baremetal_lb.l2.io.port import GROUPS_PER_SOCKET
from baremetal_lb.lab.questions import Asker, question_for
from bench.segment import CLIENT_IPV4, CLIENT_MAC, SPEAKER_MAC, Announcer, Segment, segment

V4 = "192.0.2.10"
V6 = "2001:db8:0:2::10"
OTHER_MAC = "02:00:5e:00:53:99"
CARRIER_SECONDS = 2.5
"""A kernel may notice a second late that its own link is up again, and hear only one of our later announcements."""

both_families = pytest.mark.parametrize("address", [V4, V6])


@pytest.fixture(scope="module")
def shared_cable() -> Iterator[Segment]:
    with segment() as pair:
        yield pair


@pytest.fixture(scope="module")
def shared_announcer(shared_cable: Segment) -> Iterator[Announcer]:
    with Announcer(shared_cable.speaker) as running:
        yield running


@pytest.fixture
def cable(shared_cable: Segment) -> Segment:
    """A cable as new: the client knows nobody."""
    shared_cable.run(shared_cable.client, "ip", "neigh", "flush", "all", "nud", "all")
    return shared_cable


@pytest.fixture
def announcer(shared_announcer: Announcer) -> Iterator[Announcer]:
    yield shared_announcer
    shared_announcer.announce()


@pytest.fixture
def undo(cable: Segment) -> Iterator[Callable[..., object]]:
    """Take commands to run in a namespace when the test is over."""
    with ExitStack() as stack:
        yield lambda namespace, *command: stack.callback(cable.run, namespace, *command)


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


def mac_by_asking(cable: Segment, address: str) -> str | None:
    """Resolve an address with Debian's arping or ndisc6: at which MAC does it answer?"""
    if ":" in address:
        tool = ["ndisc6", "-1", "-m", "-q", "-r", "2", "-w", "500", address, "eth0"]
    else:
        tool = ["arping", "-c", "1", "-w", "1", "-I", "eth0", address]
    output = subprocess.run(
        ["ip", "netns", "exec", cable.client, *tool], check=False, capture_output=True, text=True
    ).stdout.lower()
    words = output.replace("[", " ").replace("]", " ").split()
    return next((word for word in words if word.count(":") == 5 and len(word) == 17), None)


def arp_request(address: str) -> bytes:
    """The client's question to everybody."""
    asker = Asker(bytes.fromhex(CLIENT_MAC.replace(":", "")), IPv4Address(CLIENT_IPV4))
    return question_for(asker, IPv4Address(address))


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
    """Announce, and wait until the last gratuitous frame is out: what answers then was asked for."""
    announcer.announce(*addresses)
    until(lambda: set(announcer.report()["announcements"].values()) == {5}, 10)


@both_families
def test_tools_resolve_what_is_announced_and_nothing_else(cable: Segment, announcer: Announcer, address: str) -> None:
    announce_and_settle(announcer, V4, V6)
    assert mac_by_asking(cable, address) == SPEAKER_MAC
    assert mac_by_asking(cable, address[:-1] + "1") is None
    announcer.announce()
    announcer.report()
    assert mac_by_asking(cable, address) is None


@both_families
def test_the_kernel_of_a_client_resolves(cable: Segment, announcer: Announcer, address: str) -> None:
    announce_and_settle(announcer, V4, V6)
    subprocess.run(
        ["ip", "netns", "exec", cable.client, "ping", "-c", "1", "-W", "1", address], check=False, capture_output=True
    )
    assert neighbour(cable, address)["lladdr"] == SPEAKER_MAC


@both_families
def test_a_clients_entry_moves_to_the_new_holder(cable: Segment, announcer: Announcer, address: str) -> None:
    believe(cable, address, OTHER_MAC)
    announcer.announce(V4, V6)
    until(lambda: neighbour(cable, address)["lladdr"] == SPEAKER_MAC)


@both_families
def test_a_clients_entry_moves_when_our_mac_changes(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    announce_and_settle(announcer, V4, V6)
    believe(cable, address, SPEAKER_MAC)
    undo(cable.speaker, "ip", "link", "set", "eth0", "address", SPEAKER_MAC)
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "address", OTHER_MAC)
    until(lambda: neighbour(cable, address)["lladdr"] == OTHER_MAC)
    assert mac_by_asking(cable, address) == OTHER_MAC


@both_families
def test_a_clients_entry_moves_after_our_link_was_away(cable: Segment, announcer: Announcer, address: str) -> None:
    announce_and_settle(announcer, V4, V6)
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "down")
    until(lambda: announcer.report()["interfaces"] == {})
    believe(cable, address, OTHER_MAC)
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "up")
    until(lambda: neighbour(cable, address).get("lladdr") == SPEAKER_MAC, CARRIER_SECONDS)
    assert mac_by_asking(cable, address) == SPEAKER_MAC


@both_families
def test_an_interface_that_appears_later_announces_and_answers(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    announce_and_settle(announcer, V4, V6)
    undo(cable.speaker, "ip", "link", "del", "eth1")
    make = f"ip link add eth1 address {OTHER_MAC} type veth peer name eth1 netns {cable.client}"
    cable.run(cable.speaker, *make.split())
    cable.run(cable.client, "ip", "link", "set", "eth1", "up")
    believe(cable, address, CLIENT_MAC, interface="eth1")
    cable.run(cable.speaker, "ip", "link", "set", "eth1", "up")
    until(lambda: neighbour(cable, address, "eth1")["lladdr"] == OTHER_MAC, CARRIER_SECONDS)


@both_families
def test_an_interface_that_was_removed_and_made_anew_answers(
    cable: Segment, announcer: Announcer, address: str
) -> None:
    announce_and_settle(announcer, V4, V6)
    cable.run(cable.speaker, "ip", "link", "del", "eth0")
    until(lambda: announcer.report()["interfaces"] == {})
    cable.connect()
    until(lambda: mac_by_asking(cable, address) == SPEAKER_MAC, 3)


def test_a_bridge_answers_in_place_of_its_ports(
    cable: Segment, announcer: Announcer, undo: Callable[..., object]
) -> None:
    announce_and_settle(announcer, V4)
    undo(cable.speaker, "ip", "link", "del", "br0")
    cable.run(cable.speaker, "ip", "link", "add", "br0", "address", OTHER_MAC, "type", "bridge")
    cable.run(cable.speaker, "ip", "link", "set", "br0", "up")
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "master", "br0")
    until(lambda: mac_by_asking(cable, V4) == OTHER_MAC, 5)


@both_families
def test_unicast_refresh_keeps_an_entry_alive(cable: Segment, announcer: Announcer, address: str) -> None:
    announce_and_settle(announcer, V4, V6)
    believe(cable, address, SPEAKER_MAC, state="probe")
    until(lambda: neighbour(cable, address)["state"] == ["REACHABLE"], 2)


def test_an_ipv4_probe_for_our_address_is_answered(cable: Segment, announcer: Announcer) -> None:
    announce_and_settle(announcer, V4)
    detect = ["ip", "netns", "exec", cable.client, "arping", "-D", "-c", "2", "-w", "2", "-I", "eth0", V4]
    assert subprocess.run(detect, check=False, capture_output=True).returncode == 1


def test_a_client_that_wants_our_ipv6_address_finds_it_taken(
    cable: Segment, announcer: Announcer, undo: Callable[..., object]
) -> None:
    announce_and_settle(announcer, V6)
    undo(cable.client, "ip", "addr", "del", f"{V6}/64", "dev", "eth0")
    cable.run(cable.client, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1")
    cable.run(cable.client, "ip", "addr", "add", f"{V6}/64", "dev", "eth0")
    until(lambda: "dadfailed" in cable.run(cable.client, "ip", "-6", "addr", "show", "dev", "eth0"), 5)


class TestMulticastFiltering:
    """A macvlan, unlike a veth, passes only the groups that were joined, as real cards do."""

    def test_solicitations_arrive_thanks_to_the_join(
        self, cable: Segment, announcer: Announcer, undo: Callable[..., object]
    ) -> None:
        make = f"ip link add macvlan0 link eth0 address {OTHER_MAC} type macvlan mode bridge"
        undo(cable.speaker, "ip", "link", "del", "macvlan0")
        cable.run(cable.speaker, *make.split())
        cable.run(cable.speaker, "ip", "link", "set", "macvlan0", "up")
        announcer.announce(**{V6: ["macvlan0"]})
        until(lambda: announcer.report()["announcements"] == {V6: 5}, 10)
        assert mac_by_asking(cable, V6) == OTHER_MAC
        assert questions_arriving(cable, "macvlan0", V6) > 0
        assert questions_arriving(cable, "macvlan0", "2001:db8:0:2::dead:beef") == 0

    def test_hundreds_of_groups_are_joined_and_left(self, cable: Segment, announcer: Announcer) -> None:
        addresses = [f"2001:db8:0:2::{number:x}" for number in range(0x100, 0x100 + 2 * GROUPS_PER_SOCKET + 10)]

        def joined() -> int:
            return cable.run(cable.speaker, "ip", "-6", "maddr", "show", "dev", "eth0").count("ff02::1:ff00:")

        before = joined()
        announcer.announce(*addresses)
        until(lambda: joined() == before + len(addresses), 5)
        announcer.announce(V6)
        until(lambda: joined() == before + 1, 5)


@pytest.mark.parametrize(
    ("vlan", "answered"), [pytest.param(0, True, id="priority only"), pytest.param(5, False, id="unknown VLAN")]
)
def test_tagged_questions(cable: Segment, announcer: Announcer, vlan: int, answered: bool) -> None:
    announce_and_settle(announcer, V4)
    frame = arp_request(V4)
    with cable.packet_socket(cable.client, 0x0806) as client:
        client.settimeout(0.5)
        client.send(frame[:12] + b"\x81\x00" + vlan.to_bytes(2) + frame[12:])
        if answered:
            assert client.recv(128)[28:32] == IPv4Address(V4).packed
        else:
            with pytest.raises(TimeoutError):
                client.recv(128)


def test_a_thousand_addresses_are_taken_over_within_a_second(cable: Segment, announcer: Announcer) -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 200)]
    addresses += [f"2001:db8:0:2::{number:x}" for number in range(0x1000, 0x1000 + 800)]
    batch = "".join(f"neigh replace {one} lladdr {OTHER_MAC} dev eth0 nud reachable\n" for one in addresses)
    subprocess.run(["ip", "-n", cable.client, "-batch", "-"], input=batch, text=True, check=True)

    def moved() -> int:
        return cable.run(cable.client, "ip", "neigh", "show", "dev", "eth0").count(SPEAKER_MAC)

    announcer.announce(*addresses)
    until(lambda: moved() == len(addresses), 3)


def test_a_flood_starves_nothing_else(cable: Segment, announcer: Announcer) -> None:
    """The reader that never comes to an end would keep the timer waiting for as long as the flood lasts."""
    announce_and_settle(announcer, V4)
    frame = arp_request(V4)
    with cable.packet_socket(cable.client, 0) as client:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for _ in range(100):
                client.send(frame)
    report = announcer.report()
    assert report["replies"][V4] > 10_000
    assert report["lateness_ms"] < 500


def test_without_the_right_to_raw_sockets_the_process_ends(cable: Segment) -> None:
    with Announcer(cable.speaker, "setpriv", "--bounding-set=-net_raw") as announcer:
        announcer.announce(V4)
        assert announcer.wait() == 1
