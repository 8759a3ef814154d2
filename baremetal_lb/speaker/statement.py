"""All that a node says in its SpeakerStatus: what it offers, and what it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baremetal_lb.announce.offer import Offer, parse_offer
from baremetal_lb.speaker.elections import Claims, parse_claims


@dataclass(frozen=True, slots=True)
class Statement:
    """The two parts of it that others go by."""

    offer: Offer
    claims: Claims


def parse_statement(raw: Mapping[str, Any]) -> Statement:
    """Reduce an API server's SpeakerStatus."""
    return Statement(parse_offer(raw), parse_claims(raw))
