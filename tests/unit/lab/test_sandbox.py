"""Every sandbox has addresses of its own, on the lab's segment and apart from its hosts'."""

from itertools import combinations

from baremetal_lb.addresses import AddressRange
from baremetal_lb.lab.sandbox import BLOCKS, Block
from baremetal_lb.lab.topology import LAN, Shape, standard_topology

RANGES = [AddressRange.parse(text) for number in range(BLOCKS) for text in Block(number).ranges()]


def test_blocks_do_not_overlap() -> None:
    assert not [pair for pair in combinations(RANGES, 2) if pair[0].overlaps(pair[1])]


def test_blocks_are_on_the_segment() -> None:
    assert all(block.first in LAN.ipv4 or block.first in LAN.ipv6 for block in RANGES)
    assert all(block.last in LAN.ipv4 or block.last in LAN.ipv6 for block in RANGES)


def test_no_host_has_an_address_of_a_block() -> None:
    hosts = standard_topology(Shape(nodes=9, clients=9, routers=1)).hosts
    assert not [host for host in hosts for address in host.addresses if any(address in block for block in RANGES)]


def test_a_block_writes_as_many_addresses_as_asked_for() -> None:
    assert [AddressRange.parse(text).size for text in Block(3).ranges(2)] == [2, 2]
