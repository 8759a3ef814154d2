"""The arithmetic on ranges agrees with sets of addresses."""

import contextlib
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import (
    Address,
    AddressRange,
    Family,
    RangeIndex,
    buggy_count,
    is_buggy,
    merged,
    parse_address,
    subtract,
)

KINDS: st.SearchStrategy[type[Address]] = st.sampled_from((IPv4Address, IPv6Address))
BASES: dict[type[Address], int] = {IPv4Address: 0xC0000200, IPv6Address: 0x20010DB8 << 96}
offsets = st.integers(0, 1200)


@st.composite
def small_ranges(draw: st.DrawFn) -> AddressRange:
    """A range within a few hundred addresses, so that ranges meet often."""
    kind = draw(KINDS)
    first, last = sorted((draw(offsets), draw(offsets)))
    return AddressRange(kind(BASES[kind] + first), kind(BASES[kind] + last))


@st.composite
def any_ranges(draw: st.DrawFn) -> AddressRange:
    kind = draw(KINDS)
    numbers = st.integers(0, 2 ** kind(0).max_prefixlen - 1)
    first, last = sorted((draw(numbers), draw(numbers)))
    return AddressRange(kind(first), kind(last))


some_ranges = st.lists(small_ranges(), max_size=6)
some_addresses = KINDS.flatmap(lambda kind: st.builds(lambda offset: kind(BASES[kind] + offset), offsets))


def members(ranges: list[AddressRange] | tuple[AddressRange, ...]) -> set[Address]:
    return {address for block in ranges for address in block.addresses()}


@given(any_ranges())
def test_what_is_written_is_read_back(block: AddressRange) -> None:
    assert AddressRange.parse(str(block)) == block
    assert AddressRange.parse(f"{block.first} - {block.last}") == block


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_address, AddressRange.parse):
        with contextlib.suppress(ValueError):
            parse(text)


@given(small_ranges(), small_ranges())
def test_intersection_is_that_of_the_sets(one: AddressRange, other: AddressRange) -> None:
    common = one.intersection(other)
    assert (members((common,)) if common else set()) == members((one,)) & members((other,))
    assert one.overlaps(other) is bool(common)


@given(some_ranges)
def test_merging_keeps_the_addresses_and_removes_overlaps(ranges: list[AddressRange]) -> None:
    result = merged(ranges)
    assert members(result) == members(ranges)
    assert sum(block.size for block in result) == len(members(ranges))


@given(some_ranges, some_ranges)
def test_subtracting_is_that_of_the_sets_in_the_order_of_the_ranges(
    ranges: list[AddressRange], excluded: list[AddressRange]
) -> None:
    gone = members(excluded)
    walked = [address for block in ranges for address in block.addresses() if address not in gone]
    assert [address for block in subtract(ranges, excluded) for address in block.addresses()] == walked


@given(some_ranges)
def test_buggy_addresses_are_counted_as_if_walked(ranges: list[AddressRange]) -> None:
    walked = [address for block in ranges for address in block.addresses()]
    assert buggy_count(ranges) == sum(map(is_buggy, walked))
    assert sum(block.size for block in ranges) == len(walked)
    assert buggy_count([block for block in ranges if block.family is Family.IPV6]) == 0


@given(some_ranges, some_addresses, small_ranges())
def test_an_index_answers_as_a_search_does(ranges: list[AddressRange], address: Address, probe: AddressRange) -> None:
    disjoint = merged(ranges)
    index = RangeIndex((block, block) for block in reversed(disjoint))
    assert index.find(address) == next((block for block in disjoint if address in block), None)
    assert list(index.overlapping(probe)) == [
        (common, block) for block in disjoint if (common := block.intersection(probe))
    ]
