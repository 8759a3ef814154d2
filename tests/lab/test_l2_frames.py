"""Our ARP and NDP against the kernel's and against Debian's tools, on a cable of its own; no Kubernetes involved."""

import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from baremetal_lb.l2.io.port import GROUPS_PER_SOCKET
from bench.segment import SPEAKER_MAC, Announcer, Segment
from tests.lab.cables import (
    NODE_IPV4,
    NODE_IPV6,
    OTHER_MAC,
    V4,
    V6,
    announce_and_settle,
    believe,
    both_families,
    mac_by_asking,
    neighbour,
    ping,
    question,
    questions_arriving,
    until,
)


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


class TestPing:
    @both_families
    def test_an_address_answers_to_ping_where_that_is_wished(
        self, node_address: None, cable: Segment, announcer: Announcer, address: str
    ) -> None:
        del node_address
        announcer.wish({address: {"answers_ping": True}})
        until(lambda: address in announcer.report()["announcements"])
        for size in ("0", "57", "1400"):
            assert ping(cable, address, "-s", size) == 0
        announcer.wish({address: {}})
        announcer.report()
        assert ping(cable, address) != 0

    @both_families
    def test_it_stops_when_the_address_is_given_up(
        self, node_address: None, cable: Segment, announcer: Announcer, address: str
    ) -> None:
        del node_address
        announcer.wish({address: {"answers_ping": True}})
        until(lambda: address in announcer.report()["announcements"])
        assert ping(cable, address) == 0
        announcer.wish({})
        announcer.report()
        assert ping(cable, address) != 0

    @both_families
    def test_other_addresses_and_groups_meet_silence(
        self, node_address: None, cable: Segment, announcer: Announcer, address: str
    ) -> None:
        del node_address
        other = address[:-1] + "1"
        announcer.wish({address: {"answers_ping": True}, other: {}})
        until(lambda: announcer.report()["announcements"].keys() == {address, other})
        assert ping(cable, other) != 0
        if address == V4:
            believe(cable, address, "ff:ff:ff:ff:ff:ff", state="permanent")
        else:
            believe(cable, address, "33:33:00:00:00:01", state="permanent")
        assert ping(cable, address) != 0

    @pytest.fixture
    def node_address(self, cable: Segment, undo: Callable[..., object]) -> None:
        """A node forwards, and knows its neighbours: its kernel may have something to say about a ping as well."""
        for address in (f"{NODE_IPV4}/24", f"{NODE_IPV6}/64"):
            undo(cable.speaker, "ip", "addr", "del", address, "dev", "eth0")
            cable.run(cable.speaker, "ip", "addr", "add", address, "dev", "eth0", "nodad")
        for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            undo(cable.speaker, "sysctl", "-qw", f"{setting}=0")
            cable.run(cable.speaker, "sysctl", "-qw", f"{setting}=1")


class TestMulticastFiltering:
    """A macvlan, unlike a veth, passes only the groups that were joined, as real cards do."""

    @pytest.mark.parametrize("is_late", [False, True], ids=["it is there already", "it appears later"])
    def test_solicitations_arrive_thanks_to_the_join(
        self, cable: Segment, announcer: Announcer, undo: Callable[..., object], is_late: bool
    ) -> None:
        """D26 and D48: there one that appears later joins nothing."""
        if is_late:
            announcer.announce(**{V6: ["macvlan0"]})
            announcer.report()
        make = f"ip link add macvlan0 link eth0 address {OTHER_MAC} type macvlan mode bridge"
        undo(cable.speaker, "ip", "link", "del", "macvlan0")
        cable.run(cable.speaker, *make.split())
        cable.run(cable.speaker, "ip", "link", "set", "macvlan0", "up")
        announcer.announce(**{V6: ["macvlan0"]})
        until(lambda: announcer.report()["announcements"].get(V6, 0) >= 5, 10)
        assert mac_by_asking(cable, V6) == OTHER_MAC
        assert questions_arriving(cable, "macvlan0", V6) > 0
        # A macvlan filters by a hash of 8 bits, which now and then is that of a group that was joined.
        others = (f"2001:db8:0:2::dead:{number}" for number in range(3))
        assert any(questions_arriving(cable, "macvlan0", other) == 0 for other in others)

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
    frame = question(V4)
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
    frame = question(V4)
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
