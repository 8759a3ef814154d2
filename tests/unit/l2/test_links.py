"""What is read from the kernel's answer, and when the answer is no good."""

import struct

import pytest

from baremetal_lb.l2.links import IncompleteList, Link, LinkFlag, OperationalState, list_request, parse_links

MAC = bytes.fromhex("02005e005301")
NEW_LINK, DONE, ERROR = 16, 3, 2


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes = b"", flags: int = 2) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body + bytes(-len(body) % 4)


def link(*attributes: bytes, index: int = 2, flags: int = 0x1043) -> bytes:
    return message(NEW_LINK, struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(attributes))


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
    size, kind, flags, _, _ = struct.unpack_from("=IHHII", list_request())
    assert (size, kind, flags) == (len(list_request()), 18, 0x301)
    assert list_request().endswith(attribute(29, struct.pack("=I", 8)))
