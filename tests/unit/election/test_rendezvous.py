from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.election.rendezvous import Candidates

NODES = ("node1", "node2", "node3", "node4", "node5")
ADDRESSES: dict[str, list[Address]] = {
    "IPv4": [ip_network("198.51.100.0/22", strict=False)[number] for number in range(1000)],
    "IPv6": [ip_network("2001:db8::/64")[number] for number in range(1000)],
}


NODES_FOR_IPV4 = ("node2", "node1", "node3", "node4", "node5")
NODES_FOR_IPV6 = ("node1", "node3", "node4", "node2", "node5")


@pytest.fixture(params=list(ADDRESSES))
def addresses(request: pytest.FixtureRequest) -> list[Address]:
    return ADDRESSES[request.param]


def test_order_of_the_input_does_not_matter(addresses: list[Address]) -> None:
    forwards, backwards = Candidates(NODES), Candidates(reversed(NODES))
    assert [forwards.rank(one) for one in addresses] == [backwards.rank(one) for one in addresses]


def test_first_is_the_first_of_the_rank(addresses: list[Address]) -> None:
    candidates = Candidates(NODES)
    assert all(candidates.rank(one)[0] == candidates.first(one) for one in addresses)
    assert all(sorted(candidates.rank(one)) == list(NODES) for one in addresses)


def test_a_removal_moves_only_the_addresses_of_the_removed_node(addresses: list[Address]) -> None:
    before, after = Candidates(NODES), Candidates(NODES[1:])
    for address in addresses:
        assert after.rank(address) == tuple(node for node in before.rank(address) if node != NODES[0])


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_spreads_evenly(addresses: list[Address], count: int) -> None:
    """A share is within 40 % and a handful of the mean, as independent hashes would have it."""
    candidates = Candidates(f"worker-{number:03}.example.com" for number in range(count))
    shares = Counter(candidates.first(one) for one in addresses)
    mean = len(addresses) / count
    assert max(shares.values()) < mean * 1.4 + 14
    assert min(shares[node] for node in candidates.nodes) > mean * 0.6 - 7


def test_the_addresses_of_a_dead_node_spread_over_all_others(addresses: list[Address]) -> None:
    """A product of hashes must not make one node the heir of another."""
    candidates = Candidates(f"node{number}" for number in range(4))
    heirs = Counter(candidates.rank(one)[:2] for one in addresses)
    assert len(heirs) == 12
    assert max(heirs.values()) < 2 * len(addresses) / 12


def test_is_the_same_in_every_release() -> None:
    """Speakers of two releases elect together during an upgrade, so the order is part of the protocol."""
    assert Candidates(NODES).rank(ip_address("192.0.2.100")) == NODES_FOR_IPV4
    assert Candidates(NODES).rank(ip_address("2001:db8:0:2::100")) == NODES_FOR_IPV6


def test_no_candidates_are_falsy() -> None:
    assert not Candidates()
    assert Candidates(("node1",))
    assert "node1" in Candidates(("node1",))
    assert "node2" not in Candidates(("node1",))
