"""What is read from the kernel's answer, and when the answer is no good."""

import struct
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.l2.links import (
    IncompleteList,
    Link,
    LinkFlag,
    OperationalState,
    links_request,
    networks_request,
    parse_links,
    parse_networks,
)

MAC = bytes.fromhex("02005e005301")
NEW_LINK, NEW_ADDRESS, DONE, ERROR = 16, 20, 3, 2


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes = b"", flags: int = 2) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body + bytes(-len(body) % 4)


def link(*attributes: bytes, index: int = 2, flags: int = 0x1043) -> bytes:
    return message(NEW_LINK, struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(attributes))


def address(text: str, prefix_length: int, *attributes: bytes, scope: int = 0) -> bytes:
    packed = ip_address(text).packed
    header = struct.pack("=BBBBI", 2 if len(packed) == 4 else 10, prefix_length, 0, scope, 2)
    return message(NEW_ADDRESS, header + b"".join(attributes) + attribute(1, packed))


ETH0 = link(attribute(3, b"eth0\0"), attribute(1, MAC), attribute(16, b"\x06"), attribute(35, struct.pack("=I", 7)))
VRF_PORT = link(
    attribute(3, b"eth1\0"),
    attribute(1, MAC),
    attribute(16, b"\x02"),
    attribute(10, struct.pack("=I", 9)),
    attribute(0x8000 | 18, attribute(1, b"veth\0") + attribute(4, b"vrf\0")),
    index=3,
    flags=0x1003,
)


def test_links_are_read() -> None:
    up = LinkFlag.UP | LinkFlag.BROADCAST
    assert parse_links(ETH0 + VRF_PORT) == (
        [
            Link(2, "eth0", up, MAC, OperationalState.UP, carrier_changes=7),
            Link(3, "eth1", up, MAC, OperationalState.DOWN, has_master=True, port_of="vrf"),
        ],
        False,
    )


def test_a_link_without_attributes_is_read() -> None:
    assert parse_links(link(flags=0)) == ([Link(2, "", LinkFlag(0))], False)


def test_the_list_ends_where_the_kernel_says_so() -> None:
    assert parse_links(ETH0 + message(DONE, bytes(4)) + VRF_PORT)[1] is True


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(message(ERROR, bytes(20)), id="the kernel refuses"),
        pytest.param(ETH0 + message(DONE, bytes(4), flags=0x12), id="links changed while they were listed"),
        pytest.param(struct.pack("=IHHII", 0, NEW_LINK, 0, 1, 0), id="a length that leads nowhere"),
    ],
)
def test_an_answer_that_is_no_complete_list(answer: bytes) -> None:
    with pytest.raises(IncompleteList):
        parse_links(answer)


def test_the_request_asks_for_all_links_without_statistics() -> None:
    size, kind, flags, _, _ = struct.unpack_from("=IHHII", links_request())
    assert (size, kind, flags) == (len(links_request()), 18, 0x301)
    assert links_request().endswith(attribute(29, struct.pack("=I", 8)))


@pytest.mark.parametrize(
    ("given", "network"),
    [
        pytest.param(address("192.0.2.77", 24), "192.0.2.0/24", id="IPv4"),
        pytest.param(address("2001:db8:0:2::77", 64), "2001:db8:0:2::/64", id="IPv6"),
        pytest.param(
            address("192.0.2.78", 30, attribute(2, bytes([10, 0, 0, 1]))),
            "192.0.2.76/30",
            id="of the peer, if it has one",
        ),
        pytest.param(address("192.0.2.77", 32), None, id="IPv4: a single host"),
        pytest.param(address("2001:db8:0:2::77", 128), None, id="IPv6: a single host"),
        pytest.param(address("fe80::77", 64, scope=253), None, id="IPv6: for this link only"),
        pytest.param(address("127.0.0.1", 8, scope=254), None, id="IPv4: for this host only"),
    ],
)
def test_networks_are_read(given: bytes, network: str | None) -> None:
    expected = AddressRange.parse(network) if network else None
    assert parse_networks(given + ETH0 + message(DONE, bytes(4))) == ([(2, expected)], True)


def test_networks_that_changed_meanwhile_are_no_complete_list() -> None:
    with pytest.raises(IncompleteList):
        parse_networks(message(DONE, bytes(4), flags=0x12))


def test_the_request_asks_for_all_addresses() -> None:
    size, kind, flags, _, _ = struct.unpack_from("=IHHII", networks_request())
    assert (size, kind, flags) == (len(networks_request()), 22, 0x301)
