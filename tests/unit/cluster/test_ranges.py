"""The ranges of Services, as far as the API server tells them."""

from baremetal_lb.addresses import AddressRange
from baremetal_lb.cluster.ranges import parse_ranges, parse_service_cidr


def test_a_service_cidr_has_a_range_of_each_family() -> None:
    raw = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}}
    assert list(map(str, parse_service_cidr(raw))) == ["10.96.0.0/16", "fd00:10:96::/112"]


def test_what_says_nothing_has_none() -> None:
    assert parse_service_cidr({"metadata": {"name": "odd"}}) == ()


def test_host_bits_mean_nothing_and_garbage_is_passed_over() -> None:
    assert parse_ranges(["192.0.2.7/24", "garbage", "2001:db8::7/64"]) == (
        AddressRange.parse("192.0.2.0/24"),
        AddressRange.parse("2001:db8::/64"),
    )
