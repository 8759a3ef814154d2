"""A client of our segments sees interfaces come, go and change; on a cable of its own, no Kubernetes involved."""

import time
from collections.abc import Callable

from bench.segment import CLIENT_MAC, SPEAKER_MAC, Announcer, Segment
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
    neighbour_by_pinging,
    question,
    second_segment,
    until,
)
from tests.lab.vlan import vlan

CARRIER_SECONDS = 2.5
"""A kernel may notice a second late that its own link is up again, and hear only one of our later announcements."""


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
def test_an_interface_that_was_renamed_is_announced_where_its_new_name_is_wanted(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    undo(cable.speaker, "ip", "link", "set", "eth0", "up")
    undo(cable.speaker, "ip", "link", "set", "lan0", "name", "eth0")
    announcer.announce(**{address: ["lan0"]})
    announcer.report()
    until(lambda: mac_by_asking(cable, address) is None)  # the test before it had it renamed, too
    believe(cable, address, OTHER_MAC)
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "name", "lan0")
    until(lambda: neighbour(cable, address)["lladdr"] == SPEAKER_MAC)
    assert mac_by_asking(cable, address) == SPEAKER_MAC


@both_families
def test_what_is_for_an_interface_on_top_of_ours_is_not_even_heard(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    """The kernel shows it to the sockets of the interface below, too."""
    make = f"ip link add macvlan0 link eth0 address {OTHER_MAC} type macvlan mode bridge"
    undo(cable.speaker, "ip", "link", "del", "macvlan0")
    cable.run(cable.speaker, *make.split())
    cable.run(cable.speaker, "ip", "link", "set", "macvlan0", "up")
    announcer.announce(**{address: ["eth0"]})
    until(lambda: announcer.report()["announcements"].get(address, 0) >= 5, 10)
    for mac, heard in ((OTHER_MAC, 0), (SPEAKER_MAC, 1)):
        before = announcer.report()["received"]
        with cable.packet_socket(cable.client, 0) as client:
            client.send(bytes.fromhex(mac.replace(":", "")) + question(address)[6:])
        time.sleep(0.1)
        assert announcer.report()["received"] == before + heard


@both_families
def test_a_vlan_is_a_segment_of_its_own(cable: Segment, announcer: Announcer, address: str) -> None:
    other = address[:-1] + "1"
    with vlan(cable, 5, {cable.speaker: OTHER_MAC, cable.client: "02:00:5e:00:53:05"}) as name:
        cable.run(cable.client, "ip", "route", "add", "2001:db8:0:2::/64", "dev", name, "metric", "5000")
        for interface in ("eth0", name):
            believe(cable, address, CLIENT_MAC, interface=interface)
            believe(cable, other, CLIENT_MAC, interface=interface)
        announcer.announce(**{address: [name], other: ["eth0"]})
        until(lambda: neighbour(cable, address, name)["lladdr"] == OTHER_MAC, CARRIER_SECONDS)
        until(lambda: neighbour(cable, other, "eth0")["lladdr"] == SPEAKER_MAC, CARRIER_SECONDS)
        assert neighbour(cable, address, "eth0")["lladdr"] == neighbour(cable, other, name)["lladdr"] == CLIENT_MAC
        cable.run(cable.client, "ip", "neigh", "flush", "all", "nud", "all")
        until(lambda: neighbour_by_pinging(cable, address, name) == OTHER_MAC, 4)
        assert neighbour_by_pinging(cable, address, "eth0") is None
        assert neighbour_by_pinging(cable, other, name) is None


@both_families
def test_each_of_two_segments_hears_only_what_is_for_it(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    other = address[:-1] + "1"
    second_segment(cable, undo)
    for interface in ("eth0", "eth1"):
        believe(cable, address, CLIENT_MAC, interface=interface)
        believe(cable, other, CLIENT_MAC, interface=interface)
    announcer.announce(**{address: ["eth0"], other: ["eth1"]})
    until(lambda: neighbour(cable, address, "eth0")["lladdr"] == SPEAKER_MAC, CARRIER_SECONDS)
    until(lambda: neighbour(cable, other, "eth1")["lladdr"] == OTHER_MAC, CARRIER_SECONDS)
    assert neighbour(cable, address, "eth1")["lladdr"] == neighbour(cable, other, "eth0")["lladdr"] == CLIENT_MAC
    cable.run(cable.client, "ip", "neigh", "flush", "all", "nud", "all")
    until(lambda: mac_by_asking(cable, other, "eth1") == OTHER_MAC, 3)
    replies = announcer.report()["replies"]
    mac_by_asking(cable, address, "eth1")
    assert announcer.report()["replies"] == replies


def test_an_error_on_one_interface_leaves_the_others_in_peace(
    cable: Segment, announcer: Announcer, undo: Callable[..., object]
) -> None:
    """D27: there a look at the interfaces ends at the first that makes trouble, as one that vanishes just then does."""
    second_segment(cable, undo)
    announce_and_settle(announcer, V4, V6)
    for number in range(30):
        cable.run(cable.speaker, *f"ip link add tmp{number} type bridge".split())
        cable.run(cable.speaker, "ip", "link", "set", f"tmp{number}", "up")
        cable.run(cable.speaker, "ip", "link", "del", f"tmp{number}")
    for address in (V4, V6):
        assert mac_by_asking(cable, address) == SPEAKER_MAC
        assert mac_by_asking(cable, address, "eth1") == OTHER_MAC
    until(lambda: announcer.report()["interfaces"].keys() == {"eth0", "eth1"})


@both_families
def test_news_of_an_interface_arrive_at_once(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    """D12: there interfaces are looked at every 10 s."""
    announce_and_settle(announcer, V4, V6)
    undo(cable.speaker, "ip", "link", "set", "eth0", "address", SPEAKER_MAC)
    believe(cable, address, SPEAKER_MAC)
    cable.run(cable.speaker, "ip", "link", "set", "eth0", "address", OTHER_MAC)
    until(lambda: neighbour(cable, address)["lladdr"] == OTHER_MAC, 0.3)


def test_the_networks_of_an_interface_are_followed(
    cable: Segment, announcer: Announcer, undo: Callable[..., object]
) -> None:
    def networks() -> list[str]:
        known: list[str] = announcer.report()["networks"]["eth0"]
        return known

    before = networks()
    for address, network in ((f"{NODE_IPV4}/24", "192.0.2.0/24"), (f"{NODE_IPV6}/64", "2001:db8:0:2::/64")):
        undo(cable.speaker, "ip", "addr", "del", address, "dev", "eth0")
        cable.run(cable.speaker, "ip", "addr", "add", address, "dev", "eth0", "nodad")
        until(lambda network=network: network in networks())  # type: ignore[misc]  # bound now
        assert network not in before


@both_families
def test_whoever_asked_lately_is_told_in_person_of_a_new_mac(
    cable: Segment, announcer: Announcer, undo: Callable[..., object], address: str
) -> None:
    announce_and_settle(announcer, V4, V6)
    undo(cable.speaker, "ip", "link", "set", "eth0", "address", SPEAKER_MAC)
    assert mac_by_asking(cable, address) == SPEAKER_MAC
    with cable.packet_socket(cable.client, 0x0806 if address == V4 else 0x86DD) as client:
        client.settimeout(1)
        cable.run(cable.speaker, "ip", "link", "set", "eth0", "address", OTHER_MAC)
        told = bytes.fromhex((CLIENT_MAC + OTHER_MAC).replace(":", ""))
        until(lambda: client.recv(128).startswith(told))
