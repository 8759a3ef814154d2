"""One entry of a pool's addresses, as MetalLB reads it."""

import pytest

from baremetal_lb.migration.entries import convert_entry
from baremetal_lb.migration.notes import Severity


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.0/24", id="an IPv4 CIDR stays"),
        pytest.param("2001:db8::/64", "2001:db8::/64", id="an IPv6 CIDR stays"),
        pytest.param("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9", id="an IPv4 range stays"),
        pytest.param("2001:db8::1-2001:db8::9", "2001:db8::1-2001:db8::9", id="an IPv6 range stays"),
        pytest.param(" 192.0.2.1 - 192.0.2.9 ", "192.0.2.1-192.0.2.9", id="blanks around the ends of a range go"),
        pytest.param("::ffff:192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9", id="IPv4 written as IPv6 is IPv4"),
        pytest.param("192.0.2.7-192.0.2.7", "192.0.2.7-192.0.2.7", id="a range of one address stays"),
    ],
)
def test_what_means_the_same_is_only_spelt_anew(written: str, expected: str) -> None:
    entry = convert_entry(written)
    assert (entry.text, entry.remark) == (expected, "")


@pytest.mark.parametrize(
    ("written", "expected", "alternative"),
    [
        pytest.param("192.0.2.10/24", "192.0.2.0/24", "192.0.2.10/32", id="IPv4"),
        pytest.param("2001:db8::10/64", "2001:db8::/64", "2001:db8::10/128", id="IPv6"),
    ],
)
def test_host_bits_mean_the_whole_network_and_that_is_said(written: str, expected: str, alternative: str) -> None:
    entry = convert_entry(written)
    assert entry.text == expected
    assert entry.severity is Severity.WARNING
    assert alternative in entry.remark


def test_a_range_of_two_families_has_no_address() -> None:
    """MetalLB takes it and finds nothing in it."""
    entry = convert_entry("192.0.2.1-2001:db8::1")
    assert entry.text is None
    assert entry.severity is Severity.WARNING


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("192.0.2.1", id="a bare IPv4 address"),
        pytest.param("2001:db8::1", id="a bare IPv6 address"),
        pytest.param("192.0.2.9-192.0.2.1", id="IPv4 ends swapped"),
        pytest.param("2001:db8::9-2001:db8::1", id="IPv6 ends swapped"),
        pytest.param("192.0.2.0/33", id="a prefix that is too long"),
        pytest.param(" 192.0.2.0/24", id="a CIDR with a blank"),
        pytest.param("all of them", id="words"),
        pytest.param("", id="nothing"),
        pytest.param(None, id="null"),
        pytest.param(7, id="a number"),
    ],
)
def test_what_metallb_refuses_is_not_converted(written: object) -> None:
    entry = convert_entry(written)
    assert entry.text is None
    assert entry.severity is Severity.ERROR
    assert entry.remark
