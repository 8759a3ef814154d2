"""One entry of a MetalLB pool's `addresses`, read as MetalLB reads it and written as we do."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from baremetal_lb.addresses import Address, AddressRange
from baremetal_lb.migration.notes import Severity


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry for our pool (None: there is none), and what its owner should know."""

    text: str | None
    severity: Severity = Severity.INFO
    remark: str = ""


def convert_entry(text: object) -> Entry:
    """Write an entry so that it holds the same addresses here."""
    if not isinstance(text, str):
        return Entry(None, Severity.ERROR, f"{text!r} is no text; not converted")
    entry = _convert_range(text) if "-" in text else _convert_cidr(text)
    if entry.text is None:
        return entry
    try:
        AddressRange.parse(entry.text)
    except ValueError as error:
        return Entry(None, Severity.ERROR, f"{error}; not converted")
    return entry


def _convert_range(text: str) -> Entry:
    """MetalLB takes blanks around the dash, and IPv4 addresses written as IPv6."""
    try:
        first, last = (_plain(ip_address(end.strip())) for end in text.split("-", maxsplit=1))
    except ValueError:
        return Entry(text)
    if first.version != last.version:
        remark = f"{text!r} mixes IPv4 and IPv6; MetalLB finds no address in it, so it is left out"
        return Entry(None, Severity.WARNING, remark)
    return Entry(f"{first}-{last}")


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _convert_cidr(text: str) -> Entry:
    """MetalLB masks host bits away: what looks like one address is its whole network."""
    address_text, _, length_text = text.partition("/")
    try:
        address = ip_address(address_text)
        network = ip_network((address, int(length_text)), strict=False)
    except ValueError:
        return Entry(text)
    if network.network_address == address:
        return Entry(str(network))
    return Entry(
        str(network),
        Severity.WARNING,
        f"{text} has host bits; MetalLB takes all of {network} for it, so that is written here. "
        f"If one address was meant, write {address}/{address.max_prefixlen}",
    )
