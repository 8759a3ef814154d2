"""The ranges of addresses that Kubernetes gives to Pods and Services."""

from collections.abc import Iterable, Mapping
from typing import Any

from baremetal_lb.addresses import AddressRange


def parse_service_cidr(raw: Mapping[str, Any]) -> tuple[AddressRange, ...]:
    """Reduce an API server's ServiceCIDR."""
    return parse_ranges((raw.get("spec") or {}).get("cidrs") or ())


def parse_ranges(cidrs: Iterable[str]) -> tuple[AddressRange, ...]:
    """Read CIDRs; what is none is passed over."""
    ranges = []
    for text in cidrs:
        try:
            ranges.append(AddressRange.of_network(text))
        except ValueError:
            continue
    return tuple(ranges)
