"""Who holds which address, how much is left, and what is the lowest free one: also against a brute-force model."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.allocator.ledger import Ledger, Usage
from baremetal_lb.allocator.sharing import Sharing
from baremetal_lb.api.pool import AllocationOrder
from baremetal_lb.cluster.service import Port, ServiceKey
from baremetal_lb.config.model import Claim, Config, ConflictingHost, Pool

V4, V6 = Family.IPV4, Family.IPV6
WEB, OTHER = ServiceKey("shop", "web"), ServiceKey("shop", "other")


def pool(*ranges: str, buggy: bool = False) -> Pool:
    return Pool("gold", tuple(AddressRange.parse(text) for text in ranges), avoid_buggy_ips=buggy)


def ledger(*pools: Pool) -> Ledger:
    made = Ledger()
    made.configure(Config(pools))
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

    assert made.hold(WEB, addresses("192.0.2.1", "2001:db8::1")) == frozenset()
    assert made.hold(WEB, addresses("2001:db8::1")) == frozenset(addresses("192.0.2.1"))
    assert made.holders_of(ip_address("192.0.2.1")) == ()
    assert made.holders_of(ip_address("2001:db8::1")) == (WEB,)
    assert made.hold(WEB, []) == frozenset(addresses("2001:db8::1"))
    assert made.held_by(WEB) == frozenset()


@pytest.mark.parametrize(
    ("gold", "held", "family", "expected"),
    [
        pytest.param(pool("192.0.2.0/24"), (), V4, Usage(256, 0, 0, 256), id="an unused pool"),
        pytest.param(pool("192.0.2.0/24", buggy=True), (), V4, Usage(254, 0, 0, 254), id="without .0 and .255"),
        pytest.param(
            pool("192.0.2.0/24", buggy=True), ("192.0.2.0",), V4, Usage(254, 1, 0, 254), id="a .0 held all the same"
        ),
        pytest.param(pool("2001:db8::/64"), ("2001:db8::1",), V6, Usage(2**64, 1, 0, 2**64 - 1), id="IPv6 in full"),
        pytest.param(pool("192.0.2.0/24"), (), V6, Usage(0, 0, 0, 0), id="a family that the pool has not"),
        pytest.param(pool("192.0.2.0/24"), ("198.51.100.1",), V4, Usage(256, 0, 0, 256), id="what is held outside"),
    ],
)
def test_usage(gold: Pool, held: tuple[str, ...], family: Family, expected: Usage) -> None:
    made = ledger(gold)
    made.hold(WEB, addresses(*held))

    assert made.usage(gold, family) == expected


@pytest.mark.parametrize(
    ("ranges", "family", "total"),
    [
        pytest.param(("2001:db8::/32", "2001:db9::/126"), V6, 2**96 + 4, id="a huge range, then a small one"),
        pytest.param(("2001:db9::/126", "2001:db8::/32"), V6, 2**96 + 4, id="a small range, then a huge one"),
        pytest.param(("::/1", "8000::/1"), V6, 2**128, id="everything there is"),
        pytest.param(("2001:db8::/32", "192.0.2.0/24"), V4, 256, id="a huge range of the other family"),
    ],
)
def test_huge_pools_are_counted_exactly(ranges: tuple[str, ...], family: Family, total: int) -> None:
    """[C33] No order of the ranges makes a count overflow; a pool with addresses never looks exhausted."""
    gold = pool(*ranges)
    made = ledger(gold)
    first = AddressRange.parse(next(text for text in ranges if (":" in text) == (family is V6))).first
    made.hold(WEB, [first])

    assert made.usage(gold, family) == Usage(total, 1, 0, total - 1)


@pytest.mark.parametrize(
    ("text", "family"), [pytest.param("192.0.2.1", V4, id="IPv4"), pytest.param("2001:db8::1", V6, id="IPv6")]
)
def test_what_is_reserved_is_neither_free_nor_counted_twice(text: str, family: Family) -> None:
    gold = pool("192.0.2.0/30", "2001:db8::/126")
    address, stray = ip_address(text), ip_address("198.51.100.1")
    made = Ledger()
    made.configure(Config((gold,), claims=(Claim("for-web", (address, stray), WEB),)))
    assert made.usage(gold, family) == Usage(4, 0, 1, 3)
    assert made.claimed_for(WEB, family) == ((address, stray) if family is V4 else (address,))
    assert made.reservation_against(WEB, address) is None
    assert made.reservation_against(OTHER, address) is not None

    made.hold(WEB, [address])
    assert made.usage(gold, family) == Usage(4, 1, 0, 3)
    made.configure(Config((gold,)))
    assert made.usage(gold, family) == Usage(4, 1, 0, 3)
    made.hold(WEB, [])
    assert made.usage(gold, family) == Usage(4, 0, 0, 4)


@pytest.mark.parametrize(
    ("text", "family"), [pytest.param("192.0.2.1", V4, id="IPv4"), pytest.param("2001:db8::1", V6, id="IPv6")]
)
def test_what_is_in_quarantine_is_neither_free_nor_counted_twice(text: str, family: Family) -> None:
    address, host = ip_address(text), ConflictingHost("02:00:00:00:00:99", "eth0", "n1")
    plain = pool("192.0.2.0/30", "2001:db8::/126")
    gold = replace(plain, quarantined={address: host})
    made = ledger(gold)
    assert made.usage(gold, family) == Usage(4, 0, 0, 3, quarantined=1)
    assert made.foreign_host(address) == host

    made.hold(WEB, [address])
    assert made.usage(gold, family) == Usage(4, 1, 0, 3)
    made.hold(WEB, [])
    assert made.usage(gold, family) == Usage(4, 0, 0, 3, quarantined=1)
    made.configure(Config((gold,), claims=(Claim("kept", (address,)),)))
    assert made.usage(gold, family) == Usage(4, 0, 1, 3)
    made.configure(Config((plain,)))
    assert made.usage(plain, family) == Usage(4, 0, 0, 4)


MAIL = ServiceKey("mail", "web")
HTTP, TLS = (Sharing("k", "shop", frozenset({"*"}), ports=frozenset({Port("TCP", port)})) for port in (80, 443))


@pytest.mark.parametrize(
    ("text", "family"), [pytest.param("192.0.2.1", V4, id="IPv4"), pytest.param("2001:db8::1", V6, id="IPv6")]
)
def test_a_namespace_is_charged_once_for_an_address_that_its_services_share(text: str, family: Family) -> None:
    gold = pool("192.0.2.0/30", "2001:db8::/126")
    made = ledger(gold)
    made.hold(WEB, addresses(text), HTTP)
    made.hold(OTHER, addresses(text), TLS)
    third = ServiceKey("shop", "third")

    for within in (gold, None):
        assert made.used_by_others(third, within, family) == 1
        assert made.used_by_others(WEB, within, family) == 1, "the other one has it still"
        assert made.used_by_others(MAIL, within, family) == 0
    made.hold(OTHER, [])
    for within in (gold, None):
        assert made.used_by_others(WEB, within, family) == 0, "its own costs nothing"
        assert made.used_by_others(third, within, family) == 1
    made.check_invariants()


def test_what_is_held_outside_of_the_pools_counts_for_the_namespace_only() -> None:
    gold = pool("192.0.2.0/30")
    made = ledger(gold)
    made.hold(WEB, addresses("198.51.100.1", "2001:db8::1"))

    assert [made.used_by_others(OTHER, None, family) for family in Family] == [1, 1]
    assert made.used_by_others(OTHER, gold, V4) == 0
    made.configure(Config((pool("198.51.100.0/30"),)))
    assert made.used_by_others(OTHER, gold, V4) == 1, "by the name of the pool"


@pytest.mark.parametrize(
    ("text", "family"), [pytest.param("192.0.2.1", V4, id="IPv4"), pytest.param("2001:db8::1", V6, id="IPv6")]
)
def test_an_address_is_open_to_those_who_may_share_it_with_each_holder(text: str, family: Family) -> None:
    """[C16] [C18]"""
    made, address = ledger(pool("192.0.2.0/30", "2001:db8::/126")), ip_address(text)
    made.hold(WEB, [address], HTTP)
    assert made.is_open_to(OTHER, address, TLS)
    assert not made.is_open_to(OTHER, address)
    assert list(made.shareable(OTHER, family, TLS)) == [address]
    assert list(made.shareable(OTHER, family, HTTP)) == []

    made.hold(OTHER, [address], TLS)
    assert made.holders_of(address) == (OTHER, WEB)
    assert made.obstacle(MAIL, address, TLS) == (OTHER, "both have port 443/TCP")
    assert made.hold(WEB, [], HTTP) == frozenset({address})
    assert made.holders_of(address) == (OTHER,)
    assert made.sharing_of(WEB) == Sharing()


def test_the_only_holder_may_share_otherwise() -> None:
    """[C17] In place."""
    made, (address,) = ledger(pool("192.0.2.0/30")), addresses("192.0.2.1")
    made.hold(WEB, [address], HTTP)
    made.hold(WEB, [address], TLS)

    assert list(made.shareable(OTHER, V4, HTTP)) == [address]
    made.hold(WEB, [address])
    assert list(made.shareable(OTHER, V4, HTTP)) == []
    made.check_invariants()


@pytest.mark.parametrize(
    ("order", "by_name", "by_uid"),
    [
        pytest.param(AllocationOrder.SEQUENTIAL, False, False, id="Sequential: the next, whoever asks"),
        pytest.param(AllocationOrder.RANDOM, False, True, id="Random: another for each Service that was made"),
        pytest.param(AllocationOrder.STICKY, True, False, id="[C32] Sticky: by name, also when it was made anew"),
    ],
)
@pytest.mark.parametrize("family", list(Family))
def test_which_free_address_is_given(order: AllocationOrder, by_name: bool, by_uid: bool, family: Family) -> None:
    ranges = (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8::/120"))
    gold = Pool("gold", ranges, order=order)
    made = ledger(gold)

    assert (made.free_address(gold, family, WEB, "1") != made.free_address(gold, family, OTHER, "1")) is by_name
    assert (made.free_address(gold, family, WEB, "1") != made.free_address(gold, family, WEB, "2")) is by_uid


def test_other_pools_take_nothing_away() -> None:
    made = ledger(pool("192.0.2.0/30"))
    made.hold(WEB, addresses("192.0.2.0"))
    made.configure(Config())
    assert made.held_by(WEB) == frozenset(addresses("192.0.2.0"))

    gold = pool("192.0.2.0/29")
    made.configure(Config((gold,)))
    assert made.usage(gold, V4).assigned == 1
    assert made.free_address(gold, V4, WEB, "") == ip_address("192.0.2.1")


def test_ranges_are_used_in_the_order_written() -> None:
    gold = pool("198.51.100.0/31", "192.0.2.0/31")
    made = ledger(gold)
    made.hold(WEB, addresses("198.51.100.0", "198.51.100.1"))
    assert made.free_address(gold, V4, WEB, "") == ip_address("192.0.2.0")

    made.hold(WEB, addresses("198.51.100.0"))
    assert made.free_address(gold, V4, WEB, "") == ip_address("198.51.100.1")


def test_an_address_that_the_pool_avoids_is_not_given_again() -> None:
    gold = pool("192.0.2.0/31", buggy=True)
    made = ledger(gold)
    made.hold(WEB, addresses("192.0.2.0", "192.0.2.1"))
    assert made.free_address(gold, V4, WEB, "") is None

    made.hold(WEB, addresses("192.0.2.1"))
    assert made.free_address(gold, V4, WEB, "") is None


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
            made.configure(Config((gold,)))
        made.check_invariants()
        for family in Family:
            everything = [one for block in gold.giving_of(family) for one in block.addresses() if gold.usable(one)]
            free = [one for one in everything if not made.holders_of(one)]
            assert made.free_address(gold, family, WEB, "") == (free[0] if free else None)
            assert made.usage(gold, family).available == len(free)
