"""Which addresses a request gets, or why none."""

from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, allocate, could_serve, keep
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason

V4, V6 = Family.IPV4, Family.IPV6
WEB, OTHER = ServiceKey("shop", "web"), ServiceKey("shop", "other")


def pool(name: str, *ranges: str, auto: bool = True, buggy: bool = False, deleting: bool = False) -> Pool:
    parsed = tuple(AddressRange.parse(text) for text in ranges)
    return Pool(name, parsed, auto_assign=auto, avoid_buggy_ips=buggy, deleting=deleting)


GOLD = pool("gold", "192.0.2.10-192.0.2.11", "2001:db8::10-2001:db8::11")
FOUR = pool("four", "198.51.100.0/30")
SIX = pool("six", "2001:db8:6::/126")


def ledger(*pools: Pool, held: Mapping[str, ServiceKey] | None = None) -> Ledger:
    made = Ledger()
    made.set_pools(pools)
    by_service: dict[ServiceKey, list[Address]] = {}
    for text, service in (held or {}).items():
        by_service.setdefault(service, []).append(ip_address(text))
    for service, addresses in by_service.items():
        made.hold(service, addresses)
    return made


def request(
    *families: Family, needs_all: bool = False, wanted: tuple[str, ...] = (), pool: str | None = None
) -> AllocationRequest:
    addresses = [ip_address(text) for text in wanted]
    return AllocationRequest(
        WEB, families or (V4,), needs_all, {family_of(address): address for address in addresses}, pool
    )


def current(*texts: str) -> dict[Family, Address]:
    return {family_of(ip_address(text)): ip_address(text) for text in texts}


def given(outcome: Allocation | Refusal) -> list[str]:
    assert isinstance(outcome, Allocation), outcome
    return [str(address) for address in outcome.addresses]


FULL_FOUR = {f"198.51.100.{n}": OTHER for n in range(4)}
FULL_GOLD = dict.fromkeys(("192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11"), OTHER)


@pytest.mark.parametrize(
    ("wish", "pools", "held", "expected"),
    [
        pytest.param(request(), [GOLD], {}, ["192.0.2.10"], id="the lowest IPv4 address"),
        pytest.param(request(V6), [GOLD], {}, ["2001:db8::10"], id="the lowest IPv6 address"),
        pytest.param(
            request(), [GOLD], {"192.0.2.10": OTHER}, ["192.0.2.11"], id="the next one where the lowest is held"
        ),
        pytest.param(request(), [FOUR, GOLD], {}, ["198.51.100.0"], id="from the first pool"),
        pytest.param(
            request(), [FOUR, GOLD], FULL_FOUR, ["192.0.2.10"], id="from the next pool where the first is full"
        ),
        pytest.param(
            request(), [pool("x", "192.0.2.0/30", buggy=True)], {}, ["192.0.2.1"], id="not .0 with avoidBuggyIPs"
        ),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", auto=False), GOLD],
            {},
            ["192.0.2.10"],
            id="not from a pool without autoAssign",
        ),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", deleting=True), GOLD],
            {},
            ["192.0.2.10"],
            id="not from a pool being deleted",
        ),
        pytest.param(request(pool="four"), [GOLD, FOUR], {}, ["198.51.100.0"], id="from the named pool"),
        pytest.param(
            request(pool="x"),
            [GOLD, pool("x", "198.51.100.0/30", auto=False)],
            {},
            ["198.51.100.0"],
            id="from a named pool without autoAssign",
        ),
        pytest.param(request(wanted=("192.0.2.11",)), [GOLD], {}, ["192.0.2.11"], id="the wanted IPv4 address"),
        pytest.param(request(V6, wanted=("2001:db8::11",)), [GOLD], {}, ["2001:db8::11"], id="the wanted IPv6 address"),
        pytest.param(
            request(wanted=("198.51.100.3",)),
            [GOLD, pool("x", "198.51.100.0/30", auto=False)],
            {},
            ["198.51.100.3"],
            id="the wanted address of a pool without autoAssign",
        ),
        pytest.param(request(V4, V6, needs_all=True), [GOLD], {}, ["192.0.2.10", "2001:db8::10"], id="both families"),
        pytest.param(
            request(V6, V4, needs_all=True), [GOLD], {}, ["2001:db8::10", "192.0.2.10"], id="both, in the order asked"
        ),
        pytest.param(
            request(V4, V6, needs_all=True),
            [FOUR, SIX],
            {},
            ["198.51.100.0", "2001:db8:6::"],
            id="both, from two pools",
        ),
        pytest.param(
            request(V4, V6),
            [FOUR, GOLD],
            {},
            ["192.0.2.10", "2001:db8::10"],
            id="both from one pool rather than from two",
        ),
        pytest.param(request(V4, V6), [FOUR], {}, ["198.51.100.0"], id="preferred dual stack: IPv4 alone"),
        pytest.param(request(V4, V6), [SIX], {}, ["2001:db8:6::"], id="preferred dual stack: IPv6 alone"),
        pytest.param(
            request(V4, V6, wanted=("192.0.2.11",)),
            [GOLD],
            {},
            ["192.0.2.11", "2001:db8::10"],
            id="one wanted, the other automatic",
        ),
    ],
)
def test_a_service_gets(
    wish: AllocationRequest, pools: list[Pool], held: dict[str, ServiceKey], expected: list[str]
) -> None:
    outcome = allocate(wish, {}, ledger(*pools, held=held))

    assert given(outcome) == expected
    assert outcome.reason is Reason.ASSIGNED


@pytest.mark.parametrize(
    ("wish", "pools", "held", "reason", "word"),
    [
        pytest.param(request(), [], {}, Reason.NO_POOLS, "create one", id="no pool at all"),
        pytest.param(request(V6), [FOUR], {}, Reason.NO_POOL_FOR_FAMILY, "IPv6", id="no pool with IPv6"),
        pytest.param(request(V4), [SIX], {}, Reason.NO_POOL_FOR_FAMILY, "IPv4", id="no pool with IPv4"),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", auto=False)],
            {},
            Reason.NO_POOL_AUTO_ASSIGNS,
            "annotation",
            id="no pool auto-assigns",
        ),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", deleting=True)],
            {},
            Reason.POOL_BEING_DELETED,
            "deleted",
            id="only a pool being deleted",
        ),
        pytest.param(
            request(), [FOUR], FULL_FOUR, Reason.POOL_EXHAUSTED, "pool four has 0 of 4 left", id="no free IPv4 address"
        ),
        pytest.param(
            request(V6),
            [GOLD],
            FULL_GOLD,
            Reason.POOL_EXHAUSTED,
            "pool gold has 0 of 2 left",
            id="no free IPv6 address",
        ),
        pytest.param(
            request(V4, V6, needs_all=True),
            [FOUR],
            {},
            Reason.NO_POOL_FOR_FAMILY,
            "IPv6",
            id="required dual stack with IPv4 only",
        ),
        pytest.param(request(pool="none"), [FOUR], {}, Reason.POOL_NOT_FOUND, "none", id="named pool does not exist"),
        pytest.param(
            request(V6, pool="four"),
            [FOUR, SIX],
            {},
            Reason.NO_POOL_FOR_FAMILY,
            "four",
            id="named pool lacks the family",
        ),
        pytest.param(
            request(pool="four"), [FOUR, GOLD], FULL_FOUR, Reason.POOL_EXHAUSTED, "four", id="named pool full: no other"
        ),
        pytest.param(
            request(pool="x"),
            [pool("x", "192.0.2.0/30", deleting=True)],
            {},
            Reason.POOL_BEING_DELETED,
            "x",
            id="named pool being deleted",
        ),
        pytest.param(
            request(wanted=("203.0.113.1",)),
            [GOLD],
            {},
            Reason.ADDRESS_NOT_IN_ANY_POOL,
            "203.0.113.1",
            id="wanted address in no pool",
        ),
        pytest.param(
            request(V6, wanted=("2001:db8:9::",)),
            [GOLD],
            {},
            Reason.ADDRESS_NOT_IN_ANY_POOL,
            "2001:db8:9::",
            id="wanted IPv6 address in no pool",
        ),
        pytest.param(
            request(wanted=("192.0.2.10",), pool="four"),
            [GOLD, FOUR],
            {},
            Reason.CONTRADICTORY_REQUEST,
            "gold",
            id="wanted address in another pool",
        ),
        pytest.param(
            request(wanted=("192.0.2.10",)),
            [GOLD],
            FULL_GOLD,
            Reason.ADDRESS_IN_USE,
            "shop/other",
            id="wanted address held",
        ),
        pytest.param(
            request(wanted=("192.0.2.0",)),
            [pool("x", "192.0.2.0/30", buggy=True)],
            {},
            Reason.ADDRESS_NOT_USABLE,
            "avoidBuggyIPs",
            id="wanted address ends in .0",
        ),
        pytest.param(
            request(wanted=("192.0.2.1",)),
            [pool("x", "192.0.2.0/30", deleting=True)],
            {},
            Reason.POOL_BEING_DELETED,
            "x",
            id="wanted address of a pool being deleted",
        ),
        pytest.param(
            request(V4, V6, wanted=("203.0.113.1",)),
            [GOLD],
            {},
            Reason.ADDRESS_NOT_IN_ANY_POOL,
            "203.0.113.1",
            id="a wanted address refused: the other family alone is not what was asked for",
        ),
    ],
)
def test_a_service_is_refused(
    wish: AllocationRequest, pools: list[Pool], held: dict[str, ServiceKey], reason: Reason, word: str
) -> None:
    outcome = allocate(wish, {}, ledger(*pools, held=held))

    assert isinstance(outcome, Refusal)
    assert outcome.reason is reason
    assert word in outcome.message


@pytest.mark.parametrize(
    ("wish", "pools", "has", "expected", "reason"),
    [
        pytest.param(request(), [GOLD], ["192.0.2.11"], ["192.0.2.11"], Reason.ASSIGNED, id="its address"),
        pytest.param(request(V6), [GOLD], ["2001:db8::11"], ["2001:db8::11"], Reason.ASSIGNED, id="its IPv6 address"),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", auto=False)],
            ["192.0.2.1"],
            ["192.0.2.1"],
            Reason.ASSIGNED,
            id="its address when the pool stops auto-assigning",
        ),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", buggy=True)],
            ["192.0.2.0"],
            ["192.0.2.0"],
            Reason.ASSIGNED,
            id="a .0 that it had before avoidBuggyIPs",
        ),
        pytest.param(
            request(wanted=("192.0.2.0",)),
            [pool("x", "192.0.2.0/30", buggy=True)],
            ["192.0.2.0"],
            ["192.0.2.0"],
            Reason.ASSIGNED,
            id="a .0 that it had, also where it asks for it",
        ),
        pytest.param(
            request(),
            [FOUR],
            ["192.0.2.10"],
            ["192.0.2.10"],
            Reason.ADDRESS_KEPT,
            id="its address when the pool is gone",
        ),
        pytest.param(
            request(V6),
            [],
            ["2001:db8::11"],
            ["2001:db8::11"],
            Reason.ADDRESS_KEPT,
            id="its address when all pools are gone",
        ),
        pytest.param(
            request(),
            [pool("x", "192.0.2.0/30", deleting=True)],
            ["192.0.2.1"],
            ["192.0.2.1"],
            Reason.ADDRESS_KEPT,
            id="its address while the pool is being deleted",
        ),
        pytest.param(
            request(wanted=("203.0.113.1",)),
            [GOLD],
            ["192.0.2.10"],
            ["192.0.2.10"],
            Reason.ADDRESS_KEPT,
            id="its address when the wanted one can't be had",
        ),
        pytest.param(
            request(wanted=("192.0.2.11",)),
            [GOLD],
            ["192.0.2.10"],
            ["192.0.2.11"],
            Reason.ASSIGNED,
            id="the wanted one where it can",
        ),
        pytest.param(
            request(pool="four"),
            [GOLD, FOUR],
            ["192.0.2.10"],
            ["198.51.100.0"],
            Reason.ASSIGNED,
            id="one of the pool it now names",
        ),
        pytest.param(
            request(pool="none"),
            [GOLD],
            ["192.0.2.10"],
            ["192.0.2.10"],
            Reason.ADDRESS_KEPT,
            id="its address when the named pool is none",
        ),
        pytest.param(
            request(V4, V6),
            [GOLD],
            ["192.0.2.11"],
            ["192.0.2.11", "2001:db8::10"],
            Reason.ASSIGNED,
            id="the missing family as well",
        ),
        pytest.param(
            request(V4, V6),
            [FOUR, GOLD, SIX],
            ["192.0.2.11"],
            ["192.0.2.11", "2001:db8::10"],
            Reason.ASSIGNED,
            id="the missing family from the pool it is in",
        ),
        pytest.param(
            request(V4, V6, needs_all=True),
            [FOUR],
            ["198.51.100.1"],
            ["198.51.100.1"],
            Reason.ADDRESS_KEPT,
            id="its one address when both are needed and one can't be had",
        ),
        pytest.param(
            request(V6), [GOLD], ["192.0.2.10"], ["2001:db8::10"], Reason.ASSIGNED, id="another when its family changed"
        ),
        pytest.param(
            request(V4),
            [GOLD],
            ["192.0.2.10", "2001:db8::10"],
            ["192.0.2.10"],
            Reason.ASSIGNED,
            id="only one when it became single stack",
        ),
    ],
)
def test_a_service_with_an_address_keeps(
    wish: AllocationRequest, pools: list[Pool], has: list[str], expected: list[str], reason: Reason
) -> None:
    outcome = allocate(wish, current(*has), ledger(*pools, held=dict.fromkeys(has, WEB)))

    assert given(outcome) == expected
    assert outcome.reason is reason


def test_a_missing_family_is_named_with_its_reason() -> None:
    outcome = allocate(request(V4, V6), {}, ledger(FOUR))

    assert given(outcome) == ["198.51.100.0"]
    assert "assigned 198.51.100.0 from pool four; no IPv6 address: no pool has IPv6 addresses" in outcome.message


@pytest.mark.parametrize(
    ("pools", "held", "awaits"),
    [
        pytest.param([FOUR], {}, (), id="not where no pool has the family: a free address is no help"),
        pytest.param([FOUR, SIX], {f"2001:db8:6::{n}": OTHER for n in range(4)}, (V6,), id="where the pool is full"),
    ],
)
def test_a_service_awaits_the_missing_family(
    pools: list[Pool], held: dict[str, ServiceKey], awaits: tuple[Family, ...]
) -> None:
    outcome = allocate(request(V4, V6), {}, ledger(*pools, held=held))

    assert isinstance(outcome, Allocation)
    assert outcome.awaits == awaits


def test_of_two_refusals_the_one_of_the_named_address_is_told() -> None:
    outcome = allocate(request(V6, V4, wanted=("203.0.113.1",)), {}, ledger(GOLD, held=FULL_GOLD))

    assert outcome.reason is Reason.ADDRESS_NOT_IN_ANY_POOL


def test_an_unreadable_request_takes_nothing_away() -> None:
    complaint = Refusal(Reason.INVALID_REQUEST, "cannot read it")

    assert keep({}, complaint) is complaint
    outcome = keep(current("192.0.2.10"), complaint)
    assert given(outcome) == ["192.0.2.10"]
    assert outcome.reason is Reason.ADDRESS_KEPT
    assert "cannot read it" in outcome.message


@pytest.mark.parametrize(
    ("wish", "held", "expected"),
    [
        pytest.param(request(), {}, True, id="a pool has one"),
        pytest.param(request(), FULL_FOUR, False, id="no pool has one"),
        pytest.param(request(pool="none"), {}, False, id="there is no such pool"),
        pytest.param(request(wanted=("198.51.100.1",)), {}, True, id="the wanted one is free"),
        pytest.param(request(wanted=("198.51.100.1",)), FULL_FOUR, False, id="the wanted one is held"),
    ],
)
def test_a_look_tells_whether_something_is_free(
    wish: AllocationRequest, held: dict[str, ServiceKey], expected: bool
) -> None:
    assert could_serve(wish, wish.families, ledger(FOUR, held=held)) is expected


def test_many_full_pools_are_not_all_named() -> None:
    pools = [pool(f"p{n}", f"192.0.2.{n}/32") for n in range(5)]
    outcome = allocate(request(), {}, ledger(*pools, held={f"192.0.2.{n}": OTHER for n in range(5)}))

    assert outcome.message.count("has 0 of 1 left") == 3
    assert "2 more are full too" in outcome.message
