"""Which claim keeps an address, and what the others are told."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Claim, Config, Reservation, Surroundings
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

Raw = dict[str, Any]
SHOP = {"namespace": "web", "name": "shop"}


def raw_claim(name: str, *addresses: str, day: int = 1, **spec: Any) -> Raw:
    metadata = {"name": name, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"}
    return {"metadata": metadata, "spec": {"addresses": list(addresses), **spec}}


def compiled(*claims: Raw, nodes: dict[str, str] | None = None) -> tuple[Config, tuple[Problem, ...]]:
    surroundings = Surroundings({ip_address(text): node for text, node in (nodes or {}).items()})
    return compile_config([], [], claims, surroundings)


def kept(claims: tuple[Claim, ...]) -> dict[str, list[str]]:
    return {one.name: list(map(str, one.addresses)) for one in claims}


def conflict(name: str, message: str, *, fatal: bool) -> Problem:
    return Problem("IPAddressClaim", name, Reason.CONFLICT, f"spec.addresses: {message}", fatal)


def test_a_claim_keeps_its_addresses_for_its_service() -> None:
    config, problems = compiled(raw_claim("shop", "192.0.2.10", "2001:db8::10", service=SHOP))
    assert config.reservations == {
        ip_address(text): Reservation("IPAddressClaim shop", ServiceKey("web", "shop"))
        for text in ("192.0.2.10", "2001:db8::10")
    }
    assert not problems


def test_a_claim_without_a_service_keeps_them_for_none() -> None:
    config, _ = compiled(raw_claim("printer", "192.0.2.10"), nodes={"2001:db8::11": "worker"})
    assert config.reservations == {
        ip_address("192.0.2.10"): Reservation("IPAddressClaim printer"),
        ip_address("2001:db8::11"): Reservation("node worker"),
    }


def test_two_spellings_of_an_address_are_one() -> None:
    config, problems = compiled(raw_claim("shop", "2001:db8::a", "2001:DB8:0::A"))
    assert kept(config.claims) == {"shop": ["2001:db8::a"]}
    assert not problems


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::10"])
def test_of_two_claims_of_one_address_the_older_has_it(address: str) -> None:
    config, problems = compiled(raw_claim("a", address, day=2), raw_claim("z", address, day=1))
    assert kept(config.claims) == {"z": [address]}
    message = f"{address} is kept for the older claim z; remove it from one of the two"
    assert problems == (conflict("a", message, fatal=True),)


def test_of_two_claims_of_one_age_the_first_by_name_has_it() -> None:
    config, _ = compiled(raw_claim("b", "192.0.2.10"), raw_claim("a", "192.0.2.10"))
    assert kept(config.claims) == {"a": ["192.0.2.10"]}


def test_a_claim_keeps_what_is_left_to_it() -> None:
    config, problems = compiled(
        raw_claim("older", "192.0.2.10"), raw_claim("younger", "192.0.2.10", "2001:db8::10", day=2)
    )
    assert kept(config.claims) == {"older": ["192.0.2.10"], "younger": ["2001:db8::10"]}
    assert [(one.name, one.fatal) for one in problems] == [("younger", False)]


def test_what_is_left_of_a_claim_stands_in_the_way_of_younger_ones() -> None:
    config, problems = compiled(
        raw_claim("a", "192.0.2.1"),
        raw_claim("b", "192.0.2.1", "192.0.2.2", day=2),
        raw_claim("c", "192.0.2.1", "192.0.2.2", day=3),
    )
    assert kept(config.claims) == {"a": ["192.0.2.1"], "b": ["192.0.2.2"]}
    assert ["claim a" in one.message for one in problems] == [True, True, False]
    assert [(one.name, one.fatal) for one in problems] == [("b", False), ("c", True), ("c", True)]


def test_the_address_of_a_node_is_kept_for_no_claim() -> None:
    config, problems = compiled(raw_claim("shop", "192.0.2.11", service=SHOP), nodes={"192.0.2.11": "worker"})
    assert config.claims == ()
    assert config.reservations == {ip_address("192.0.2.11"): Reservation("node worker")}
    message = "192.0.2.11 is an address of node worker; remove it"
    assert problems == (conflict("shop", message, fatal=True),)


def test_an_invalid_claim_stands_in_nobodys_way() -> None:
    config, problems = compiled(raw_claim("bad", "192.0.2.10", "192.0.2.0/24"), raw_claim("good", "192.0.2.10", day=2))
    assert kept(config.claims) == {"good": ["192.0.2.10"]}
    assert [(one.kind, one.name, one.reason, one.fatal) for one in problems] == [
        ("IPAddressClaim", "bad", Reason.INVALID_SPEC, True)
    ]
