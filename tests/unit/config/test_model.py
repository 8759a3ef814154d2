"""What a compiled pool and Config answer."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import AddressRange, Family
from baremetal_lb.api.selector import Operator
from baremetal_lb.config.model import Config, L2Advertisement, Pool
from baremetal_lb.config.selectors import Requirement, Selector


def pool(name: str, *texts: str, avoid_buggy_ips: bool = False) -> Pool:
    return Pool(name, tuple(map(AddressRange.parse, texts)), avoid_buggy_ips=avoid_buggy_ips)


@pytest.mark.parametrize(
    ("texts", "avoid", "ipv4", "ipv6"),
    [
        pytest.param(["192.0.2.0/24"], False, 256, 0, id="IPv4 alone"),
        pytest.param(["192.0.2.0/24"], True, 254, 0, id="buggy addresses do not count where they are avoided"),
        pytest.param(["2001:db8::/120"], True, 0, 256, id="no IPv6 address is buggy"),
        pytest.param(
            ["2001:db8::/64", "192.0.2.0/31", "2001:db8:1::/64"], False, 2, 2**65, id="a large range before others"
        ),
    ],
)
def test_capacity(texts: list[str], avoid: bool, ipv4: int, ipv6: int) -> None:
    one = pool("lan", *texts, avoid_buggy_ips=avoid)
    assert {family: one.capacity(family) for family in Family} == {Family.IPV4: ipv4, Family.IPV6: ipv6}


@pytest.mark.parametrize(
    ("address", "avoid", "holds", "usable"),
    [
        pytest.param("192.0.2.7", True, True, True, id="an address of the pool"),
        pytest.param("192.0.2.0", True, True, False, id="a buggy address that is avoided stays the pool's"),
        pytest.param("192.0.2.0", False, True, True, id="a buggy address that is not avoided"),
        pytest.param("2001:db8::", True, True, True, id="an IPv6 address that ends in 0"),
        pytest.param("198.51.100.7", True, False, False, id="an address of no pool"),
    ],
)
def test_a_pool_may_give(address: str, avoid: bool, holds: bool, usable: bool) -> None:
    one = pool("lan", "192.0.2.0/24", "2001:db8::/64", avoid_buggy_ips=avoid)
    assert (ip_address(address) in one, one.usable(ip_address(address))) == (holds, usable)


def test_the_ranges_to_give_of_a_family_keep_their_order() -> None:
    one = pool("lan", "192.0.2.128/25", "2001:db8::/64", "192.0.2.0/25")
    assert [str(block) for block in one.giving_of(Family.IPV4)] == ["192.0.2.128/25", "192.0.2.0/25"]


def test_a_config_finds_pools_by_address() -> None:
    lan, dmz = pool("lan", "192.0.2.0/24", "2001:db8::/64"), pool("dmz", "198.51.100.0/24")
    config = Config((lan, dmz))
    assert config.pool_of(ip_address("2001:db8::7")) is lan
    assert config.pool_of(ip_address("198.51.100.7")) is dmz
    assert config.pool_of(ip_address("203.0.113.7")) is None


@pytest.mark.parametrize(
    ("racks", "selected"),
    [
        pytest.param([], True, id="without selectors every node may announce"),
        pytest.param(["a"], True, id="a node that the selector matches"),
        pytest.param(["b"], False, id="a node that no selector matches"),
        pytest.param(["b", "a"], True, id="any of the selectors is enough"),
    ],
)
def test_an_advertisement_selects_a_node(racks: list[str], selected: bool) -> None:
    selectors = tuple(Selector((Requirement("rack", Operator.IN, frozenset({rack})),)) for rack in racks)
    assert L2Advertisement("all", frozenset(), selectors).selects_node({"rack": "a"}) is selected
