"""Which of a pool's addresses are free, and in what order they are found."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.allocator.consistent_hash import PROBES, probes
from baremetal_lb.allocator.free import FreeAddresses
from baremetal_lb.allocator.index_set import WORD_BITS, IndexSet
from baremetal_lb.allocator.numbering import Numbering
from baremetal_lb.config.model import Pool

V4, V6 = Family.IPV4, Family.IPV6
SEEDS = [f"shop/web-{number}".encode() for number in range(200)]


def pool(*ranges: str, excluded: tuple[str, ...] = (), buggy: bool = False) -> Pool:
    given, not_given = (tuple(AddressRange.parse(text) for text in texts) for texts in (ranges, excluded))
    return Pool("gold", given, excluded=not_given, avoid_buggy_ips=buggy)


def free(family: Family, *ranges: str, excluded: tuple[str, ...] = (), buggy: bool = False) -> FreeAddresses:
    return FreeAddresses(pool(*ranges, excluded=excluded, buggy=buggy), family)


def take_in_order(addresses: FreeAddresses, most: int = 20) -> list[str]:
    """Take the first free address again and again."""
    taken: list[str] = []
    while (address := addresses.first()) and len(taken) < most:
        addresses.take(address)
        taken.append(str(address))
    return taken


@pytest.mark.parametrize(
    ("addresses", "order"),
    [
        pytest.param(free(V4, "192.0.2.0/31"), ["192.0.2.0", "192.0.2.1"], id="IPv4: by number"),
        pytest.param(free(V6, "2001:db8::/127"), ["2001:db8::", "2001:db8::1"], id="IPv6: by number"),
        pytest.param(
            free(V4, "198.51.100.7/32", "192.0.2.0/31"),
            ["198.51.100.7", "192.0.2.0", "192.0.2.1"],
            id="IPv4: ranges in the order written",
        ),
        pytest.param(
            free(V6, "2001:db8:2::/128", "2001:db8:1::/127"),
            ["2001:db8:2::", "2001:db8:1::", "2001:db8:1::1"],
            id="IPv6: ranges in the order written",
        ),
        pytest.param(
            free(V4, "192.0.2.0/30", excluded=("192.0.2.1-192.0.2.2",)),
            ["192.0.2.0", "192.0.2.3"],
            id="IPv4: what is excluded is not given",
        ),
        pytest.param(
            free(V6, "2001:db8::/126", excluded=("2001:db8::/128", "2001:db8::2/128")),
            ["2001:db8::1", "2001:db8::3"],
            id="IPv6: what is excluded is not given",
        ),
        pytest.param(
            free(V4, "192.0.2.253-192.0.3.2", buggy=True),
            ["192.0.2.253", "192.0.2.254", "192.0.3.1", "192.0.3.2"],
            id="IPv4: .255 and .0 are avoided",
        ),
        pytest.param(
            free(V4, "192.0.2.0/32", "192.0.2.9/32", "192.0.2.255/32", buggy=True),
            ["192.0.2.9"],
            id="IPv4: a range of avoided addresses only gives nothing",
        ),
        pytest.param(
            free(V4, "255.255.255.253-255.255.255.255", buggy=True),
            ["255.255.255.253", "255.255.255.254"],
            id="IPv4: the end of the address space",
        ),
        pytest.param(
            free(V6, "2001:db8::fe-2001:db8::100", buggy=True),
            ["2001:db8::fe", "2001:db8::ff", "2001:db8::100"],
            id="IPv6: no address is buggy",
        ),
        pytest.param(free(V6, "192.0.2.0/24"), [], id="IPv6: a pool of IPv4 addresses gives none"),
        pytest.param(free(V4, "2001:db8::/64"), [], id="IPv4: a pool of IPv6 addresses gives none"),
        pytest.param(free(V4, "192.0.2.0/31", excluded=("192.0.2.0/24",)), [], id="all excluded: none"),
    ],
)
def test_the_lowest_free_address_comes_first(addresses: FreeAddresses, order: list[str]) -> None:
    assert addresses.total == len(order)
    assert take_in_order(addresses) == order
    assert addresses.available == 0
    assert addresses.by_hash(b"anyone") is None


@pytest.mark.parametrize(
    ("family", "block", "address"),
    [
        pytest.param(V4, "192.0.2.0/24", "192.0.2.0", id="IPv4"),
        pytest.param(V6, "2001:db8::/64", "2001:db8::", id="IPv6"),
    ],
)
def test_an_address_given_back_comes_before_higher_ones(family: Family, block: str, address: str) -> None:
    addresses = free(family, block)
    take_in_order(addresses, most=3)
    addresses.give_back(ip_address(address))

    assert addresses.available == addresses.total - 2
    assert addresses.first() == ip_address(address)


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param("192.0.2.7", id="excluded"),
        pytest.param("192.0.3.0", id="avoided as buggy"),
        pytest.param("192.0.1.255", id="below the range"),
        pytest.param("192.0.4.1", id="above the range"),
        pytest.param("::c000:205", id="of the other family"),
    ],
)
def test_an_address_that_the_pool_does_not_give_is_passed_over(stranger: str) -> None:
    addresses = free(V4, "192.0.2.0-192.0.3.9", excluded=("192.0.2.7/32",), buggy=True)
    before = addresses.available

    addresses.take(ip_address(stranger))
    assert addresses.available == before
    addresses.give_back(ip_address(stranger))
    assert addresses.available == before


def test_taking_twice_and_giving_back_what_is_free_are_errors() -> None:
    addresses = free(V4, "192.0.2.0/24")
    with pytest.raises(AssertionError, match="is not there"):
        addresses.give_back(ip_address("192.0.2.1"))

    addresses.take(ip_address("192.0.2.1"))
    with pytest.raises(AssertionError, match="is there already"):
        addresses.take(ip_address("192.0.2.1"))


@pytest.mark.parametrize(
    ("family", "block"),
    [pytest.param(V4, "10.0.0.0/8", id="IPv4"), pytest.param(V6, "2001:db8::/32", id="IPv6")],
)
def test_a_seed_gets_its_address_back_however_the_others_come(family: Family, block: str) -> None:
    addresses = free(family, block)
    homes = {}
    for seed in SEEDS:
        homes[seed] = given(addresses.by_hash(seed))
        addresses.take(homes[seed])
    for address in homes.values():
        addresses.give_back(address)

    for seed in reversed(SEEDS):
        assert addresses.by_hash(seed) == homes[seed]
        addresses.take(homes[seed])


def test_a_seed_whose_address_is_taken_gets_another_and_returns_when_it_is_free() -> None:
    addresses = free(V4, "192.0.2.0/24")
    home = given(addresses.by_hash(b"shop/web"))
    addresses.take(home)
    second = given(addresses.by_hash(b"shop/web"))
    assert second != home

    addresses.give_back(home)
    assert addresses.by_hash(b"shop/web") == home


def test_where_all_probes_are_taken_the_next_free_address_follows_round_the_end() -> None:
    addresses = free(V4, "192.0.2.0/24")
    home, *_ = probed = list(probes(b"shop/web", 256))
    last_free = (home - 1) % 256
    for index in set(range(256)) - {last_free}:
        addresses.take(ip_address("192.0.2.0") + index)
    assert last_free not in probed
    assert addresses.by_hash(b"shop/web") == ip_address("192.0.2.0") + last_free

    nearer = next(index % 256 for index in range(home + 1, home + 256) if index % 256 not in probed)
    addresses.give_back(ip_address("192.0.2.0") + nearer)
    assert addresses.by_hash(b"shop/web") == ip_address("192.0.2.0") + nearer


def test_growing_a_pool_at_its_end_moves_few_seeds() -> None:
    small, large = free(V4, "192.0.2.0/24"), free(V4, "192.0.2.0/24", "198.51.100.0/29")
    moved = [seed for seed in SEEDS if small.by_hash(seed) != large.by_hash(seed)]
    assert len(moved) < 3 * len(SEEDS) * 8 / (256 + 8)
    assert all(given(large.by_hash(seed)) in AddressRange.parse("198.51.100.0/29") for seed in moved)


def test_the_places_of_a_seed_stay_what_they_are_in_every_release() -> None:
    """Statuses hold addresses found by them; a change here moves Services that are recreated after an upgrade."""
    assert list(probes(b"shop/web", 1)) == [0] * PROBES
    assert list(probes(b"shop/web", 1000)) == [333, 34]
    assert next(probes(b"shop/web", 2**120)) == 678554551573186717176925370307549773


@pytest.mark.parametrize("count", [pytest.param(n, id=f"{n} places") for n in (2, 3, 5, 12, 16, 17)])
def test_every_place_is_as_likely_as_any_other(count: int) -> None:
    tally = [0] * count
    for number in range(4000):
        for place in probes(str(number).encode(), count):
            tally[place] += 1
    mean = 4000 * PROBES / count
    assert all(0.85 * mean < seen < 1.15 * mean for seen in tally), tally


LIMITS = [1, WORD_BITS - 1, WORD_BITS, WORD_BITS + 1, 3 * WORD_BITS]


@pytest.mark.parametrize("limit", [pytest.param(limit, id=f"below {limit}") for limit in LIMITS])
def test_a_set_that_is_full_lacks_nothing_until_one_goes(limit: int) -> None:
    numbers = IndexSet(limit)
    for number in range(limit):
        assert numbers.first_absent(0) == number
        numbers.add(number)
    assert numbers.first_absent(0) is None

    numbers.remove(limit - 1)
    assert numbers.first_absent(0) == limit - 1
    assert numbers.first_absent(limit) is None


@pytest.mark.parametrize(
    "limit", [pytest.param(2**bits + more, id=f"2^{bits}{more:+}") for bits in (20, 64, 120) for more in (-1, 0, 1)]
)
def test_a_set_of_any_size_ends_where_it_should(limit: int) -> None:
    numbers = IndexSet(limit)
    assert numbers.first_absent(limit - 1) == limit - 1
    numbers.add(limit - 1)
    assert limit - 1 in numbers
    assert numbers.first_absent(limit - 1) is None
    assert numbers.first_absent(limit - 2) == limit - 2


def test_what_was_put_in_and_taken_out_leaves_nothing_behind() -> None:
    numbers = IndexSet(2**64)
    for number in range(2 * WORD_BITS):
        numbers.add(number)
    for number in range(2 * WORD_BITS):
        numbers.remove(number)
    assert numbers._levels == IndexSet(2**64)._levels


@pytest.mark.parametrize(
    ("family", "block", "buggy"),
    [
        pytest.param(V4, "0.0.0.0/0", False, id="all of IPv4"),
        pytest.param(V4, "0.0.0.0/0", True, id="all of IPv4 without .0 and .255"),
        pytest.param(V6, "2001:db8::/64", False, id="an IPv6 /64"),
        pytest.param(V6, "2000::/8", True, id="an IPv6 /8"),
    ],
)
def test_the_largest_pools_are_numbered_to_their_ends(family: Family, block: str, buggy: bool) -> None:
    gold = pool(block, buggy=buggy)
    numbering = Numbering(gold, family)
    assert numbering.total == gold.capacity(family)
    for index in (0, 1, 253, 254, numbering.total // 3, numbering.total - 1):
        assert numbering.index_of(numbering.address_at(index)) == index
    edge = gold.ranges[0]
    assert numbering.address_at(0) == (edge.first + 1 if family is V4 and buggy else edge.first)
    assert numbering.address_at(numbering.total - 1) == (edge.last - 1 if family is V4 and buggy else edge.last)


def given(address: Address | None) -> Address:
    assert address is not None
    return address
