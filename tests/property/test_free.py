"""Free addresses are found as a search through all of them would find them."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import Address, AddressRange, Family, merged, parse_address
from baremetal_lb.allocator.consistent_hash import probes
from baremetal_lb.allocator.free import FreeAddresses
from baremetal_lb.allocator.index_set import IndexSet
from baremetal_lb.allocator.numbering import Numbering
from baremetal_lb.config.model import Pool

BASES: dict[Family, Address] = {
    Family.IPV4: parse_address("192.0.2.0"),
    Family.IPV6: parse_address("2001:db8::"),
}
families = st.sampled_from(Family)
seeds = st.binary(max_size=20)
counts = st.one_of(st.integers(1, 300), st.integers(1, 2**120))


@st.composite
def small_ranges(draw: st.DrawFn, longest: int) -> AddressRange:
    first, length = draw(st.integers(0, 600)), draw(st.integers(1, longest))
    base = BASES[draw(families)]
    return AddressRange(base + first, base + (first + length - 1))


@st.composite
def small_pools(draw: st.DrawFn) -> Pool:
    """A pool around one or two borders of a /24, its ranges in any order."""
    ranges = merged(draw(st.lists(small_ranges(300), min_size=1, max_size=5)))
    return Pool(
        "gold",
        tuple(draw(st.permutations(ranges))),
        excluded=merged(draw(st.lists(small_ranges(20), max_size=4))),
        avoid_buggy_ips=draw(st.booleans()),
    )


def walked(pool: Pool, family: Family) -> list[Address]:
    """What the pool gives, found by walking all of it."""
    return [
        address
        for block in pool.ranges
        if block.family is family
        for address in block.addresses()
        if pool.usable(address)
    ]


@given(small_pools(), families)
def test_the_numbering_is_that_of_a_walk(pool: Pool, family: Family) -> None:
    numbering, expected = Numbering(pool, family), walked(pool, family)
    assert numbering.total == pool.capacity(family) == len(expected)
    assert [numbering.address_at(index) for index in range(numbering.total)] == expected
    places = {address: index for index, address in enumerate(expected)}
    for base in BASES.values():
        for offset in range(-1, 950):
            address = base + offset
            assert numbering.index_of(address) == places.get(address)


@given(
    st.integers(1, 2**128),
    st.integers(0, 2**128 - 1),
    st.lists(st.integers(0, 2**128), max_size=5),
)
def test_a_large_range_is_numbered_to_and_fro(size: int, first: int, indexes: list[int]) -> None:
    kind = type(BASES[Family.IPV6])
    block = AddressRange(kind(first), kind(min(first + size - 1, 2**128 - 1)))
    numbering = Numbering(Pool("gold", (block,)), Family.IPV6)
    assert numbering.total == block.size
    for index in indexes:
        address = numbering.address_at(index % block.size)
        assert int(address) == first + index % block.size
        assert numbering.index_of(address) == index % block.size


@given(
    limit=st.sampled_from((1, 1023, 1024, 1025, 2048, 5000)),
    gaps=st.sets(st.integers(0, 4999), max_size=30),
    starts=st.lists(st.integers(0, 5100), min_size=1, max_size=20),
)
def test_the_first_gap_of_a_nearly_full_set_is_found(limit: int, gaps: set[int], starts: list[int]) -> None:
    numbers = IndexSet(limit)
    for number in range(limit):
        numbers.add(number)
    there = {gap for gap in gaps if gap < limit}
    for gap in there:
        numbers.remove(gap)
    for start in starts:
        assert numbers.first_absent(start) == min((gap for gap in there if gap >= start), default=None)


@given(
    limit=st.integers(2**20, 2**120),
    runs=st.lists(st.tuples(st.integers(0, 2**120), st.integers(1, 1500)), min_size=1, max_size=4),
    removed=st.lists(st.integers(0, 6000), max_size=20),
    data=st.data(),
)
def test_the_first_gap_of_a_large_set_is_found(
    limit: int, runs: list[tuple[int, int]], removed: list[int], data: st.DataObject
) -> None:
    numbers, there = IndexSet(limit), set[int]()
    for start, length in runs:
        for number in range(start % limit, min(start % limit + length, limit)):
            if number not in there:
                numbers.add(number)
                there.add(number)
    for place in removed:
        if there:
            number = sorted(there)[place % len(there)]
            numbers.remove(number)
            there.remove(number)
    for start in data.draw(st.lists(st.sampled_from([0, limit - 1, *sorted(there)]), min_size=1, max_size=10)):
        expected = next((number for number in range(start, limit) if number not in there), None)
        assert numbers.first_absent(start) == expected
        assert (start in numbers) is (start in there)


class Model:
    """The free addresses in a list."""

    def __init__(self, pool: Pool, family: Family) -> None:
        self.everything = walked(pool, family)
        self.taken: set[Address] = set()

    def search(self, order: Iterator[int]) -> Address | None:
        return next((self.everything[n] for n in order if self.everything[n] not in self.taken), None)

    def first(self) -> Address | None:
        return self.search(iter(range(len(self.everything))))

    def by_hash(self, seed: bytes) -> Address | None:
        count = len(self.everything)
        return self.search(self._order(seed, count)) if count else None

    def _order(self, seed: bytes, count: int) -> Iterator[int]:
        home = next(probes(seed, count))
        yield from probes(seed, count)
        yield from ((home + step) % count for step in range(count))


@given(
    small_pools(),
    families,
    st.floats(0, 1),
    st.lists(st.tuples(st.integers(-1, 950), seeds), max_size=40),
)
def test_what_is_free_is_what_a_search_finds(
    pool: Pool, family: Family, fill: float, steps: list[tuple[int, bytes]]
) -> None:
    addresses, model = FreeAddresses(pool, family), Model(pool, family)
    for address in model.everything[: int(fill * len(model.everything))]:
        addresses.take(address)
        model.taken.add(address)
    for offset, seed in steps:
        address = BASES[family] + offset
        if address in model.taken:
            addresses.give_back(address)
            model.taken.remove(address)
        else:
            addresses.take(address)
            model.taken |= {address} & set(model.everything)
        assert addresses.available == len(model.everything) - len(model.taken)
        assert addresses.first() == model.first()
        assert addresses.by_hash(seed) == model.by_hash(seed)


@given(small_pools(), families, seeds, st.lists(st.integers(0, 10**6), max_size=30))
def test_the_address_of_a_seed_stays_while_others_are_taken(
    pool: Pool, family: Family, seed: bytes, taken: list[int]
) -> None:
    addresses, everything = FreeAddresses(pool, family), walked(pool, family)
    home = addresses.by_hash(seed)
    assert (home is None) is (not everything)
    for address in {everything[n % len(everything)] for n in taken if everything} - {home}:
        addresses.take(address)
        assert addresses.by_hash(seed) == home


@given(seeds, counts, st.integers(0, 2**64))
def test_with_more_places_a_seed_stays_or_moves_to_a_new_one(seed: bytes, count: int, more: int) -> None:
    for before, after in zip(probes(seed, count), probes(seed, count + more), strict=True):
        assert 0 <= before < count
        assert after == before or count <= after < count + more
