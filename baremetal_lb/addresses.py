"""All arithmetic with IP addresses: families, ranges, overlap.

An address is the standard library's object; a range is any run of addresses of one family, written by users as a
CIDR or as `first-last`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

type_of_address = (IPv4Address, IPv6Address)
Address = IPv4Address | IPv6Address


class Family(StrEnum):
    """An IP family, in the words of Kubernetes' `ipFamilies`."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


def family_of(address: Address) -> Family:
    """Tell the family of an address."""
    return Family.IPV4 if address.version == 4 else Family.IPV6


def parse_address(text: str) -> Address:
    """Parse one address; raise ValueError with words for a user."""
    try:
        address = ip_address(text.strip())
    except ValueError as error:
        raise ValueError(f"{text.strip()!r} is not an IP address") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text.strip()!r} has a zone; addresses of Services have none")
    return address


def is_buggy(address: Address) -> bool:
    """Tell whether old equipment may refuse this IPv4 address because it ends in .0 or .255."""
    return address.version == 4 and int(address) & 0xFF in {0, 0xFF}


@dataclass(frozen=True, slots=True, order=True)
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
        first_text, dash, last_text = text.partition("-")
        if dash:
            return cls._from_ends(parse_address(first_text), parse_address(last_text), text.strip())
        if "/" not in text:
            raise ValueError(
                f"{text.strip()!r} is neither a CIDR nor a range (for one address, add /32 or /128)"
            )
        try:
            network = ip_network(text.strip())
        except ValueError as error:
            raise ValueError(f"{text.strip()!r} is not a CIDR: {error}") from error
        return cls(network[0], network[-1])

    @classmethod
    def _from_ends(cls, first: Address, last: Address, text: str) -> "AddressRange":
        if first.version != last.version:
            raise ValueError(f"range {text!r} mixes IPv4 and IPv6")
        if int(first) > int(last):
            raise ValueError(f"range {text!r} starts after its end")
        return cls(first, last)

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
        return (
            self.first.version == other.first.version
            and int(self.first) <= int(other.last)
            and int(other.first) <= int(self.last)
        )

    def addresses(self) -> Iterator[Address]:
        """Yield every address in ascending order (a /64 never ends: take what you need)."""
        kind = type(self.first)
        return (kind(number) for number in range(int(self.first), int(self.last) + 1))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def buggy_count(ranges: Iterable[AddressRange]) -> int:
    """Count the addresses for which `is_buggy` holds, without walking the ranges."""
    return sum(
        _multiples(block, 256, 0) + _multiples(block, 256, 255)
        for block in ranges
        if block.family is Family.IPV4
    )


def _multiples(block: AddressRange, step: int, remainder: int) -> int:
    """Count the numbers of the range that leave `remainder` when divided by `step`."""
    return (int(block.last) - remainder) // step - (int(block.first) - 1 - remainder) // step
