"""When the webhook needs another certificate, and whom the API server trusts meanwhile.

Every certificate has an authority of its own, whose key is forgotten once it has signed. So trust is a list: the newest
authority and the one before it. Whoever still serves the older certificate is believed as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

AUTHORITIES_TRUSTED = 2


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself."""

    names: frozenset[str]
    valid_from: datetime
    valid_until: datetime


def needs_rotation(certificate: CertificateFacts | None, name: str, now: datetime) -> bool:
    """Whether to make another: there is none, it is for another name, or two thirds of its life are over."""
    if certificate is None or name not in certificate.names:
        return True
    life = certificate.valid_until - certificate.valid_from
    return now >= certificate.valid_from + life * 2 / 3


def trusted_authorities(newest: bytes, before: Iterable[bytes]) -> tuple[bytes, ...]:
    """Whom to trust from now on, the newest first."""
    return tuple(dict.fromkeys([newest, *before]))[:AUTHORITIES_TRUSTED]
