"""Who holds which address, how much is left, and what is the lowest free one: also against a brute-force model."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.allocator.free import FreeAddresses
from baremetal_lb.allocator.ledger import Ledger, Usage
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Pool

V4, V6 = Family.IPV4, Family.IPV6
WEB, OTHER = ServiceKey("shop", "web"), ServiceKey("shop", "other")


def pool(*ranges: str, buggy: bool = False) -> Pool:
    return Pool("gold", tuple(AddressRange.parse(text) for text in ranges), avoid_buggy_ips=buggy)


def ledger(*pools: Pool) -> Ledger:
    made = Ledger()
    made.set_pools(pools)
    return made


def addresses(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


def test_an_address_never_has_two_holders() -> None:
    made = ledger(pool("192.0.2.0/30"))
    made.hold(WEB, addresses("192.0.2.1"))

    with pytest.raises(AssertionError, match="two holders"):
        made.hold(OTHER, addresses("192.0.2.1"))


def test_holding_less_frees_the_rest_and_tells_so() -> None:
    made = ledger(pool("192.0.2.0/30", "2001:db8::/126"))

    assert made.hold(WEB, addresses("192.0.2.1", "2001:db8::1")) is False
    assert made.hold(WEB, addresses("2001:db8::1")) is True
    assert made.holder_of(ip_address("192.0.2.1")) is None
    assert made.holder_of(ip_address("2001:db8::1")) == WEB
    assert made.hold(WEB, []) is True
    assert made.held_by(WEB) == frozenset()


@pytest.mark.parametrize(
    ("gold", "held", "family", "expected"),
    [
        pytest.param(pool("192.0.2.0/24"), (), V4, Usage(256, 0, 256), id="an unused pool"),
        pytest.param(pool("192.0.2.0/24", buggy=True), (), V4, Usage(254, 0, 254), id="without .0 and .255"),
        pytest.param(
            pool("192.0.2.0/24", buggy=True), ("192.0.2.0",), V4, Usage(254, 1, 254), id="a .0 held all the same"
        ),
        pytest.param(pool("2001:db8::/64"), ("2001:db8::1",), V6, Usage(2**64, 1, 2**64 - 1), id="IPv6 in full"),
        pytest.param(pool("192.0.2.0/24"), (), V6, Usage(0, 0, 0), id="a family that the pool has not"),
        pytest.param(pool("192.0.2.0/24"), ("198.51.100.1",), V4, Usage(256, 0, 256), id="what is held outside"),
    ],
)
def test_usage(gold: Pool, held: tuple[str, ...], family: Family, expected: Usage) -> None:
    made = ledger(gold)
    made.hold(WEB, addresses(*held))

    assert made.usage(gold, family) == expected


def test_other_pools_take_nothing_away() -> None:
    made = ledger(pool("192.0.2.0/30"))
    made.hold(WEB, addresses("192.0.2.0"))
    made.set_pools([])
    assert made.held_by(WEB) == frozenset(addresses("192.0.2.0"))

    gold = pool("192.0.2.0/29")
    made.set_pools([gold])
    assert made.usage(gold, V4).assigned == 1
    assert made.first_free(gold, V4) == ip_address("192.0.2.1")


def test_ranges_are_used_in_the_order_written() -> None:
    gold = pool("198.51.100.0/31", "192.0.2.0/31")
    made = ledger(gold)
    made.hold(WEB, addresses("198.51.100.0", "198.51.100.1"))
    assert made.first_free(gold, V4) == ip_address("192.0.2.0")

    made.hold(WEB, addresses("198.51.100.0"))
    assert made.first_free(gold, V4) == ip_address("198.51.100.1")


def test_an_address_that_the_pool_avoids_is_not_given_again() -> None:
    gold = pool("192.0.2.0/31", buggy=True)
    made = ledger(gold)
    made.hold(WEB, addresses("192.0.2.0", "192.0.2.1"))
    assert made.first_free(gold, V4) is None

    made.hold(WEB, addresses("192.0.2.1"))
    assert made.first_free(gold, V4) is None


def test_coming_and_going_costs_no_memory() -> None:
    gold = pool("192.0.2.0/30")
    free = FreeAddresses(gold, V4, set(addresses("192.0.2.0", "192.0.2.1")).__contains__)
    free.first()

    for _ in range(10):
        free.given_back(ip_address("192.0.2.1"))

    assert len(free._returned) == 1


RANGES = ("192.0.2.254-192.0.3.1", "192.0.2.16/30", "2001:db8::/126", "2001:db8:1::5-2001:db8:1::6")
PLACES = [address for text in RANGES for address in AddressRange.parse(text).addresses()]


@given(
    ranges=st.lists(st.sampled_from(RANGES), unique=True, min_size=1),
    buggy=st.booleans(),
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.sets(st.sampled_from(PLACES), max_size=4), st.booleans()), max_size=30
    ),
)
def test_the_lowest_free_address_is_that_of_a_full_search(
    ranges: list[str], buggy: bool, steps: list[tuple[int, set[Address], bool]]
) -> None:
    gold = pool(*ranges, buggy=buggy)
    made = ledger(gold)
    for number, wanted, changes_pools in steps:
        service = ServiceKey("ns", str(number))
        made.hold(service, [one for one in wanted if made.is_open_to(service, one)])
        if changes_pools:
            made.set_pools([gold])
        made.check_invariants()
        for family in Family:
            everything = [one for block in gold.ranges_of(family) for one in block.addresses() if gold.usable(one)]
            free = [one for one in everything if made.holder_of(one) is None]
            assert made.first_free(gold, family) == (free[0] if free else None)
            assert made.usage(gold, family).available == len(free)
