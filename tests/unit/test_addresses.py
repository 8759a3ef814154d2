"""What users may write for addresses, and the arithmetic on it."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import (
    AddressRange,
    Family,
    RangeIndex,
    buggy_count,
    family_of,
    is_buggy,
    merged,
    parse_address,
    subtract,
)


def ranges(*texts: str) -> tuple[AddressRange, ...]:
    return tuple(map(AddressRange.parse, texts))


@pytest.mark.parametrize(
    ("text", "family"),
    [
        pytest.param("192.0.2.1", Family.IPV4, id="an IPv4 address"),
        pytest.param("2001:db8::1", Family.IPV6, id="an IPv6 address"),
        pytest.param(" 192.0.2.1 ", Family.IPV4, id="blanks around IPv4 do not matter"),
        pytest.param("\t2001:DB8:0::1", Family.IPV6, id="neither blanks nor spelling of IPv6 matter"),
    ],
)
def test_an_address_is_read(text: str, family: Family) -> None:
    address = parse_address(text)
    assert address == ip_address(text.strip())
    assert family_of(address) is family


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "is not an IP address", id="nothing is no address"),
        pytest.param("192.0.2.256", "is not an IP address", id="an IPv4 byte ends at 255"),
        pytest.param("2001:db8::g", "is not an IP address", id="an IPv6 group is hexadecimal"),
        pytest.param("192.0.2.1/32", "is not an IP address", id="a CIDR is no address"),
        pytest.param("fe80::1%eth0", "write it without '%eth0'", id="an address of a Service has no zone"),
        pytest.param("::ffff:192.0.2.1", "write 192.0.2.1", id="IPv4 is not written as IPv6"),
    ],
)
def test_what_is_no_address_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "first", "last", "size"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.0", "192.0.2.255", 256, id="an IPv4 CIDR has all its addresses"),
        pytest.param("2001:db8::/120", "2001:db8::", "2001:db8::ff", 256, id="an IPv6 CIDR has all its addresses"),
        pytest.param("192.0.2.7/32", "192.0.2.7", "192.0.2.7", 1, id="/32 is one address"),
        pytest.param("2001:db8::7/128", "2001:db8::7", "2001:db8::7", 1, id="/128 is one address"),
        pytest.param("192.0.2.9-192.0.2.10", "192.0.2.9", "192.0.2.10", 2, id="both ends of an IPv4 range count"),
        pytest.param("2001:db8::9-2001:db8::a", "2001:db8::9", "2001:db8::a", 2, id="both ends of an IPv6 range count"),
        pytest.param(" 192.0.2.9 - 192.0.2.9 ", "192.0.2.9", "192.0.2.9", 1, id="blanks around ends do not matter"),
        pytest.param("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2**128, id="no range is too large"),
    ],
)
def test_a_range_is_read(text: str, first: str, last: str, size: int) -> None:
    block = AddressRange.parse(text)
    assert (block.first, block.last, block.size) == (ip_address(first), ip_address(last), size)
    assert block.family is family_of(ip_address(first))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("192.0.2.7", "single address; write 192.0.2.7/32", id="one IPv4 address is written with /32"),
        pytest.param(
            "2001:db8::7", "single address; write 2001:db8::7/128", id="one IPv6 address is written with /128"
        ),
        pytest.param("lan", "neither a CIDR nor a range", id="a word is no range"),
        pytest.param("192.0.2.0/33", "'33' is not a prefix length from 0 to 32", id="an IPv4 prefix ends at 32"),
        pytest.param("2001:db8::/129", "'129' is not a prefix length from 0 to 128", id="an IPv6 prefix ends at 128"),
        pytest.param("192.0.2.0/255.255.255.0", "is not a prefix length", id="a netmask is no prefix length"),
        pytest.param("192.0.2.0/024", "is not a prefix length", id="a prefix length has no leading zero"),
        pytest.param("192.0.2.0/+24", "is not a prefix length", id="a prefix length has no sign"),
        pytest.param("192.0.2.0/24 ", "is not a prefix length", id="a CIDR has no blank behind it"),
        pytest.param(" 2001:db8::/64", "has blanks; write 2001:db8::/64", id="a CIDR has no blank before it"),
        pytest.param("192.0.2.10/24", "write 192.0.2.0/24 .* or 192.0.2.10/32", id="an IPv4 CIDR has no host bits"),
        pytest.param("2001:db8::1/64", "write 2001:db8::/64 .* or 2001:db8::1/128", id="an IPv6 CIDR has no host bits"),
        pytest.param("fe80::%eth0/64", "has a zone", id="a CIDR has no zone"),
        pytest.param("192.0.2.9-192.0.2.1", "write 192.0.2.1-192.0.2.9", id="an IPv4 range starts before its end"),
        pytest.param("2001:db8::a-2001:db8::9", "starts after its end", id="an IPv6 range starts before its end"),
        pytest.param("192.0.2.1-2001:db8::1", "mixes IPv4 and IPv6", id="[A1] a range is of one family"),
        pytest.param("192.0.2.1-9", "'9' is not an IP address", id="both ends of a range are whole addresses"),
        pytest.param("192.0.2.1-192.0.2.2-192.0.2.3", "is not a range", id="a range has two ends"),
    ],
)
def test_what_is_no_range_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AddressRange.parse(text)


@pytest.mark.parametrize(
    ("address", "holds"),
    [
        pytest.param("192.0.2.9", False, id="not the address before the first"),
        pytest.param("192.0.2.10", True, id="the first"),
        pytest.param("192.0.2.20", True, id="the last"),
        pytest.param("192.0.2.21", False, id="not the address after the last"),
        pytest.param("::c000:20f", False, id="not an IPv6 address of the same number"),
    ],
)
def test_a_range_holds(address: str, holds: bool) -> None:
    assert (ip_address(address) in AddressRange.parse("192.0.2.10-192.0.2.20")) is holds


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.128/25", "192.0.2.128/25", id="one inside the other (IPv4)"),
        pytest.param("2001:db8::/64", "2001:db8::/96", "2001:db8::/96", id="one inside the other (IPv6)"),
        pytest.param("192.0.2.1-192.0.2.5", "192.0.2.5-192.0.2.9", "192.0.2.5/32", id="a shared end"),
        pytest.param(
            "2001:db8::1-2001:db8::6", "2001:db8::5-2001:db8::9", "2001:db8::5-2001:db8::6", id="crossing ends"
        ),
        pytest.param("192.0.2.1-192.0.2.4", "192.0.2.5-192.0.2.9", "None", id="neighbours share nothing"),
        pytest.param("0.0.0.0/0", "::/0", "None", id="families share nothing"),
    ],
)
def test_two_ranges_have_in_common(one: str, other: str, common: str) -> None:
    a, b = ranges(one, other)
    assert str(a.intersection(b)) == str(b.intersection(a)) == common
    assert a.overlaps(b) is (common != "None")


def test_a_range_is_walked_upwards() -> None:
    assert [str(address) for address in AddressRange.parse("2001:db8::e-2001:db8::10").addresses()] == [
        "2001:db8::e",
        "2001:db8::f",
        "2001:db8::10",
    ]


def test_a_range_is_written_as_a_cidr_where_it_is_one() -> None:
    assert [str(block) for block in ranges("192.0.2.0-192.0.2.255", "2001:db8::7/128", "192.0.2.1-192.0.2.2")] == [
        "192.0.2.0/24",
        "2001:db8::7/128",
        "192.0.2.1-192.0.2.2",
    ]


@pytest.mark.parametrize(
    ("address", "buggy"),
    [
        pytest.param("192.0.2.0", True, id="an IPv4 address that ends in 0"),
        pytest.param("192.0.2.255", True, id="an IPv4 address that ends in 255"),
        pytest.param("192.0.2.1", False, id="any other IPv4 address"),
        pytest.param("2001:db8::", False, id="no IPv6 address"),
    ],
)
def test_old_equipment_may_refuse(address: str, buggy: bool) -> None:
    assert is_buggy(ip_address(address)) is buggy


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        pytest.param(["192.0.2.0/24"], 2, id="a /24 has two"),
        pytest.param(["10.0.0.0/16"], 512, id="a larger network has two for each /24"),
        pytest.param(["192.0.2.1-192.0.2.254"], 0, id="a range between them has none"),
        pytest.param(["192.0.2.255-192.0.3.0"], 2, id="a range may begin and end with one"),
        pytest.param(["0.0.0.0/32", "192.0.2.7/32"], 1, id="the very first address is one"),
        pytest.param(["2001:db8::/64"], 0, id="IPv6 has none"),
        pytest.param([], 0, id="nothing has none"),
    ],
)
def test_buggy_addresses_are_counted(texts: list[str], count: int) -> None:
    assert buggy_count(ranges(*texts)) == count


def test_merged_ranges_do_not_overlap() -> None:
    written = ranges("192.0.2.128/25", "2001:db8::/64", "192.0.2.0/24", "2001:db8::/48", "192.0.3.0/24", "192.0.2.7/32")
    assert merged(written) == ranges("192.0.2.0/24", "192.0.3.0/24", "2001:db8::/48")


@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        pytest.param([], ["192.0.2.0/29", "2001:db8::/126"], id="nothing"),
        pytest.param(["192.0.2.0/32", "2001:db8::/128"], ["192.0.2.1-192.0.2.7", "2001:db8::1-2001:db8::3"], id="ends"),
        pytest.param(["192.0.2.7/32"], ["192.0.2.0-192.0.2.6", "2001:db8::/126"], id="the last"),
        pytest.param(
            ["2001:db8::1/128", "192.0.2.3-192.0.2.4"],
            ["192.0.2.0-192.0.2.2", "192.0.2.5-192.0.2.7", "2001:db8::/128", "2001:db8::2/127"],
            id="a hole in each",
        ),
        pytest.param(["192.0.2.2/31", "192.0.2.3/32"], ["192.0.2.0/31", "192.0.2.4/30", "2001:db8::/126"], id="twice"),
        pytest.param(["192.0.2.0-192.0.2.6"], ["192.0.2.7/32", "2001:db8::/126"], id="all but the last"),
        pytest.param(["0.0.0.0/0"], ["2001:db8::/126"], id="all of a family"),
        pytest.param(["::/0", "0.0.0.0/0"], [], id="everything"),
    ],
)
def test_what_is_left_of_ranges_without(excluded: list[str], left: list[str]) -> None:
    written = ranges("192.0.2.0/29", "2001:db8::/126")
    assert list(map(str, subtract(written, ranges(*excluded)))) == left


def test_what_is_left_keeps_the_order_of_the_ranges() -> None:
    written = ranges("192.0.2.128/25", "2001:db8::/64", "192.0.2.0/25")
    assert tuple(subtract(written, ranges("192.0.2.0/25"))) == written[:2]


def test_the_last_address_of_all_can_be_excluded() -> None:
    whole = ranges("0.0.0.0/0", "::/0")
    left = list(subtract(whole, [AddressRange(block.last, block.last) for block in whole]))
    assert [str(block.last) for block in left] == ["255.255.255.254", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"]


def test_an_index_finds_what_belongs_to_an_address() -> None:
    index = RangeIndex(
        (block, str(block)) for block in ranges("192.0.2.0/24", "::/128", "0.0.0.7/32", "198.51.100.0/24")
    )
    assert index.find(ip_address("192.0.2.255")) == "192.0.2.0/24"
    assert index.find(ip_address("192.0.3.0")) is None
    assert index.find(ip_address("0.0.0.6")) is None
    assert index.find(ip_address("0.0.0.7")) == "0.0.0.7/32"
    assert index.find(ip_address("::")) == "::/128"
    assert index.find(ip_address("::7")) is None


def test_an_index_finds_what_shares_addresses_with_a_range() -> None:
    index = RangeIndex((block, str(block)) for block in ranges("192.0.2.0/25", "192.0.2.200/32", "2001:db8::/64"))
    shared = [(str(common), name) for common, name in index.overlapping(AddressRange.parse("192.0.2.64-192.0.2.255"))]
    assert shared == [("192.0.2.64/26", "192.0.2.0/25"), ("192.0.2.200/32", "192.0.2.200/32")]
    assert not list(index.overlapping(AddressRange.parse("192.0.2.128-192.0.2.199")))


def test_an_index_takes_no_address_twice() -> None:
    index = RangeIndex([(AddressRange.parse("192.0.2.0/24"), "old")])
    with pytest.raises(AssertionError):
        index.add(AddressRange.parse("192.0.2.255/32"), "new")
