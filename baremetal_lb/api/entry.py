"""One entry of a list of addresses, checked by us and, in CEL, by the API server.

Of a pool it is a CIDR or a range, of a claim a single address.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from baremetal_lb.addresses import Address, AddressRange, parse_address
from baremetal_lb.api.base import Rule, rules

ENTRY_LENGTH_MAX = 96
"""Two IPv6 addresses in their longest form, with a dash and some blanks between."""

ADDRESS_LENGTH_MAX = 45
"""An IPv6 address in its longest form, the last part written as IPv4."""


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """Addresses of a pool. Only a CIDR is a network, with addresses that hosts may not have."""

    block: AddressRange
    is_cidr: bool


def _literal(words: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"


def _digits(number: str) -> str:
    """CEL for the text of an integer up to 129.

    `string(n)` would do, but the API server takes its result to be of unbounded length and refuses the rule as too
    expensive. Of words in a list it knows the length.
    """
    tens = _literal(["", *map(str, range(1, 13))])
    ones = _literal([str(digit) for digit in range(10)])
    return f"{tens}[({number}) / 10] + {ones}[({number}) % 10]"


_FIRST = "self.substring(0, self.indexOf('-')).trim()"
_LAST = "self.substring(self.indexOf('-') + 1).trim()"


def _of_range(condition: str) -> str:
    """CEL that holds for what is no range, and for a range whose ends `first` and `last` meet the condition."""
    return f"!self.contains('-') || [{_FIRST}].all(first, [{_LAST}].all(last, {condition}))"


def _in_order() -> str:
    """CEL that holds unless `first` and `last` are addresses of one family in the wrong order.

    CEL can tell whether a network holds an address, but not which of two addresses is the greater. So: find how many
    leading bits the two share (whole bytes first, since each step costs). The first one is the smaller if its next
    bit is 0, that is, if its network does not change with one bit more.
    """
    whole_bytes = (
        f"(ip(first).family() == 4 ? {_literal(['8', '16', '24'])}"
        f" : {_literal([str(length) for length in range(8, 128, 8)])})"
        ".filter(length, cidr(first + '/' + length).containsIP(last)).size() * 8"
    )
    shared = (
        f"bits + [1, 2, 3, 4, 5, 6, 7]"
        f".filter(more, cidr(first + '/' + {_digits('bits + more')}).containsIP(last)).size()"
    )
    next_bit_is_0 = (
        f"cidr(first + '/' + {_digits('shared + 1')}).masked().ip()"
        f" == cidr(first + '/' + {_digits('shared')}).masked().ip()"
    )
    return (
        "!isIP(first) || !isIP(last) || ip(first).family() != ip(last).family() || ip(first) == ip(last)"
        f" || [{whole_bytes}].all(bits, [{shared}].all(shared, {next_bit_is_0}))"
    )


_ENTRY_RULES = rules(
    Rule(
        "self.contains('/') || self.contains('-')",
        "is neither a CIDR nor a range; write 192.0.2.0/24 or 192.0.2.10-192.0.2.20",
        "isIP(self) ? 'is a single address; write ' + self + (ip(self).family() == 4 ? '/32' : '/128')"
        " : 'is neither a CIDR nor a range; write 192.0.2.0/24 or 192.0.2.10-192.0.2.20'",
    ),
    Rule(
        "self.contains('-') || !self.contains('/') || isCIDR(self)",
        "is not a CIDR; write an address, a slash and a prefix length (IPv4: 0 to 32, IPv6: 0 to 128), without blanks",
    ),
    Rule(
        "!isCIDR(self) || cidr(self) == cidr(self).masked()",
        "has host bits set; write the first address of the network for all of it, or /32 (IPv6: /128) for one address",
        "'has host bits set; write the first address of the network for all of it, or '"
        " + self.substring(0, self.indexOf('/')) + (cidr(self).ip().family() == 4 ? '/32' : '/128')"
        " + ' for one address'",
    ),
    Rule(
        _of_range("isIP(first) && isIP(last)"),
        "is not a range of two addresses; write first-last, such as 192.0.2.10-192.0.2.20, without zones",
    ),
    Rule(
        _of_range("!isIP(first) || !isIP(last) || ip(first).family() == ip(last).family()"),
        "mixes IPv4 and IPv6; write one range for each",
    ),
    Rule(_of_range(_in_order()), "starts after its end; write the lower address first"),
)


def _parse_entry(text: object) -> PoolEntry:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text; write 192.0.2.0/24 or 192.0.2.10-192.0.2.20")
    if len(text) > ENTRY_LENGTH_MAX:
        raise ValueError(f"has more than {ENTRY_LENGTH_MAX} characters")
    return PoolEntry(AddressRange.parse(text), is_cidr="-" not in text)


Entry = Annotated[
    PoolEntry,
    PlainValidator(_parse_entry),
    WithJsonSchema({"type": "string", "maxLength": ENTRY_LENGTH_MAX, **_ENTRY_RULES}),
]


_SINGLE_RULES = rules(
    Rule(
        "!self.contains('/') && !self.contains('-')",
        "is not a single address; write each address by itself, without a prefix length",
    ),
    Rule(
        "self.contains('/') || self.contains('-') || isIP(self)",
        "is not an IP address; write 192.0.2.10 or 2001:db8::10, without blanks and zones",
    ),
)


def _parse_single(text: object) -> Address:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text; write 192.0.2.10 or 2001:db8::10")
    if len(text) > ADDRESS_LENGTH_MAX:
        raise ValueError(f"has more than {ADDRESS_LENGTH_MAX} characters")
    if "/" in text or "-" in text:
        raise ValueError(f"{text!r} is not a single address; write each address by itself, without a prefix length")
    if text != text.strip():
        raise ValueError(f"{text!r} has blanks; write {text.strip()}")
    return parse_address(text)


SingleAddress = Annotated[
    Address,
    PlainValidator(_parse_single),
    WithJsonSchema({"type": "string", "maxLength": ADDRESS_LENGTH_MAX, **_SINGLE_RULES}),
]
