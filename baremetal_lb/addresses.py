"""All arithmetic with IP addresses: families, ranges, overlap.

An address is the standard library's object; a range is any run of addresses of one family, written by users as a
CIDR or as `first-last`. What is accepted here is what the API server accepts too (see `api/pool.py`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from itertools import islice
from typing import Generic, TypeVar

type_of_address = (IPv4Address, IPv6Address)
Address = IPv4Address | IPv6Address
T = TypeVar("T")


class Family(StrEnum):
    """An IP family, in the words of Kubernetes' `ipFamilies`."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


def family_of(address: Address) -> Family:
    """Tell the family of an address."""
    return Family.IPV4 if address.version == 4 else Family.IPV6


def parse_address(text: str) -> Address:
    """Parse one address; raise ValueError with words for a user."""
    text = text.strip()
    try:
        address = ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone; write it without {'%' + address.scope_id!r}")
    if address.ipv4_mapped is not None:
        raise ValueError(f"{text!r} is an IPv4 address written as IPv6; write {address.ipv4_mapped}")
    return address


def sort_key(address: Address) -> tuple[int, int]:
    """Order addresses as people do: IPv4 before IPv6, then by number. The two kinds do not compare by themselves."""
    return address.version, int(address)


def is_buggy(address: Address) -> bool:
    """Tell whether old equipment may refuse this IPv4 address because it ends in .0 or .255."""
    return address.version == 4 and int(address) & 0xFF in {0, 0xFF}


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Every address from `first` to `last`, both included, of one family."""

    first: Address
    last: Address

    @classmethod
    def parse(cls, text: str) -> "AddressRange":
        """Parse `192.0.2.0/24` or `192.0.2.10-192.0.2.20`; raise ValueError with words for a user.

        A bare address is refused: `/32` (or `/128`) says that one address is meant. Host bits of a CIDR are
        refused too, since `192.0.2.10/24` nearly always means something else than the whole /24.
        """
        if "-" in text:
            return cls._from_ends(text)
        if "/" in text:
            return cls._from_cidr(text)
        try:
            address = parse_address(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is neither a CIDR nor a range; write 192.0.2.0/24 or 192.0.2.10-192.0.2.20"
            ) from None
        raise ValueError(f"{text!r} is a single address; write {address}/{address.max_prefixlen}")

    @classmethod
    def of_network(cls, text: str) -> "AddressRange":
        """Parse a CIDR whose host bits mean nothing, as Kubernetes writes its own; raise ValueError."""
        network = ip_network(text, strict=False)
        return cls(network[0], network[-1])

    @classmethod
    def _from_ends(cls, text: str) -> "AddressRange":
        first_text, _, last_text = text.partition("-")
        try:
            first, last = parse_address(first_text), parse_address(last_text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a range of two addresses: {error}") from error
        if first.version != last.version:
            raise ValueError(f"{text!r} mixes IPv4 and IPv6; write one range for each")
        if int(first) > int(last):
            raise ValueError(f"{text!r} starts after its end; write {last}-{first}")
        return cls(first, last)

    @classmethod
    def _from_cidr(cls, text: str) -> "AddressRange":
        address_text, _, length_text = text.partition("/")
        try:
            address = parse_address(address_text)
            length = _parse_prefix_length(length_text, longest=address.max_prefixlen)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a CIDR: {error}") from error
        if text != text.strip() or address_text != address_text.strip():
            raise ValueError(f"{text!r} is not a CIDR: it has blanks; write {address}/{length}")
        network = ip_network((address, length), strict=False)
        if network.network_address != address:
            raise ValueError(
                f"{text!r} has host bits set; write {network} for the whole network, "
                f"or {address}/{address.max_prefixlen} for one address"
            )
        return cls(network[0], network[-1])

    @property
    def family(self) -> Family:
        """The family of every address in the range."""
        return family_of(self.first)

    @property
    def size(self) -> int:
        """How many addresses the range has."""
        return int(self.last) - int(self.first) + 1

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, type_of_address)
            and address.version == self.first.version
            and int(self.first) <= int(address) <= int(self.last)
        )

    def overlaps(self, other: "AddressRange") -> bool:
        """Tell whether the two have an address in common."""
        return self.intersection(other) is not None

    def intersection(self, other: "AddressRange") -> "AddressRange | None":
        """The addresses that the two have in common."""
        if self.family is not other.family:
            return None
        first, last = max(self.first, other.first, key=int), min(self.last, other.last, key=int)
        return AddressRange(first, last) if int(first) <= int(last) else None

    def addresses(self) -> Iterator[Address]:
        """Yield every address in ascending order (a /64 never ends: take what you need)."""
        kind = type(self.first)
        return (kind(number) for number in range(int(self.first), int(self.last) + 1))

    def __str__(self) -> str:
        networks = tuple(summarize_address_range(self.first, self.last))
        return str(networks[0]) if len(networks) == 1 else f"{self.first}-{self.last}"


class RangeIndex(Generic[T]):
    """What belongs to an address, found by bisection among ranges that do not overlap."""

    def __init__(self, entries: Iterable[tuple[AddressRange, T]] = ()) -> None:
        self._keys: list[tuple[int, int]] = []
        self._entries: list[tuple[AddressRange, T]] = []
        for block, thing in entries:
            self.add(block, thing)

    def add(self, block: AddressRange, thing: T) -> None:
        """Let the thing belong to the range, which must not overlap another."""
        assert next(self.overlapping(block), None) is None, f"{block} overlaps another range"
        key = sort_key(block.first)
        place = bisect_right(self._keys, key)
        self._keys.insert(place, key)
        self._entries.insert(place, (block, thing))

    def find(self, address: Address) -> T | None:
        """What belongs to the range that holds the address."""
        place = bisect_right(self._keys, sort_key(address)) - 1
        if place < 0:
            return None
        block, thing = self._entries[place]
        return thing if address in block else None

    def overlapping(self, block: AddressRange) -> Iterator[tuple[AddressRange, T]]:
        """Yield what has addresses in common with the range, each with these addresses, in ascending order."""
        place = max(bisect_right(self._keys, sort_key(block.first)) - 1, 0)
        for other, thing in islice(self._entries, place, None):
            if sort_key(other.first) > sort_key(block.last):
                return
            if common := block.intersection(other):
                yield common, thing


def merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    """The same addresses in ranges that do not overlap, in ascending order."""
    result: list[AddressRange] = []
    for block in sorted(ranges, key=lambda one: sort_key(one.first)):
        if result and result[-1].overlaps(block):
            result[-1] = AddressRange(result[-1].first, max(result[-1].last, block.last, key=int))
        else:
            result.append(block)
    return tuple(result)


def subtract(ranges: Iterable[AddressRange], excluded: Iterable[AddressRange]) -> Iterator[AddressRange]:
    """Yield what is left of each range, in the order given."""
    holes: RangeIndex[None] = RangeIndex((block, None) for block in merged(excluded))
    for block in ranges:
        kind, start = type(block.first), int(block.first)
        for hole, _ in holes.overlapping(block):
            if start < int(hole.first):
                yield AddressRange(kind(start), kind(int(hole.first) - 1))
            start = int(hole.last) + 1
        if start <= int(block.last):
            yield AddressRange(kind(start), block.last)


def buggy_count(ranges: Iterable[AddressRange]) -> int:
    """Count the addresses for which `is_buggy` holds, without walking the ranges."""
    return sum(
        _multiples(block, 256, 0) + _multiples(block, 256, 255) for block in ranges if block.family is Family.IPV4
    )


def _parse_prefix_length(text: str, *, longest: int) -> int:
    """Parse digits only: a netmask, a sign or a leading zero is no prefix length for the API server either."""
    if text not in {str(length) for length in range(longest + 1)}:
        raise ValueError(f"{text!r} is not a prefix length from 0 to {longest}")
    return int(text)


def _multiples(block: AddressRange, step: int, remainder: int) -> int:
    """Count the numbers of the range that leave `remainder` when divided by `step`."""
    return (int(block.last) - remainder) // step - (int(block.first) - 1 - remainder) // step
