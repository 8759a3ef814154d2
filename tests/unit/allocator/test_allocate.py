"""Which addresses a request gets, or why none."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, allocate, keep
from baremetal_lb.allocator.choose import could_serve
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.api.pool import ReclaimPolicy
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Admission, Config, Pool
from baremetal_lb.reasons import Reason

V4, V6 = Family.IPV4, Family.IPV6
WEB, OTHER = ServiceKey("shop", "web"), ServiceKey("shop", "other")
REASSIGN = ReclaimPolicy.REASSIGN


def pool(name: str, *ranges: str, auto: bool = True, buggy: bool = False, deleting: bool = False, **more: Any) -> Pool:
    parsed = tuple(AddressRange.parse(text) for text in ranges)
    return Pool(name, parsed, auto_assign=auto, avoid_buggy_ips=buggy, deleting=deleting, **more)


GOLD = pool("gold", "192.0.2.10-192.0.2.11", "2001:db8::10-2001:db8::11")
FOUR = pool("four", "198.51.100.0/30")
SIX = pool("six", "2001:db8:6::/126")


def ledger(*pools: Pool, held: Mapping[str, ServiceKey] | None = None) -> Ledger:
    made = Ledger()
    made.configure(Config(pools))
    by_service: dict[ServiceKey, list[Address]] = {}
    for text, service in (held or {}).items():
        by_service.setdefault(service, []).append(ip_address(text))
    for service, addresses in by_service.items():
        made.hold(service, addresses)
    return made


def request(
    *families: Family, needs_all: bool = False, wanted: tuple[str, ...] = (), pool: str | None = None
) -> Applicant:
    asked = AllocationRequest(WEB, families or (V4,), needs_all, current(*wanted), pool)
    return Applicant(asked, NamespaceView("shop"))


def current(*texts: str) -> dict[Family, tuple[Address, ...]]:
    addresses = [ip_address(text) for text in texts]
    return {family: tuple(one for one in addresses if family_of(one) is family) for family in map(family_of, addresses)}


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
            id="[B6] from a named pool without autoAssign",
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
            id="[C19] both, from two pools",
        ),
        pytest.param(
            request(V4, V6),
            [FOUR, GOLD],
            {},
            ["192.0.2.10", "2001:db8::10"],
            id="[C22] both from one pool rather than from two",
        ),
        pytest.param(request(V4, V6), [FOUR], {}, ["198.51.100.0"], id="preferred dual stack: IPv4 alone"),
        pytest.param(request(V4, V6), [SIX], {}, ["2001:db8:6::"], id="preferred dual stack: IPv6 alone"),
        pytest.param(
            request(V4, V6, wanted=("192.0.2.11",)),
            [GOLD],
            {},
            ["192.0.2.11", "2001:db8::10"],
            id="[C7] one wanted, the other automatic",
        ),
    ],
)
def test_a_service_gets(wish: Applicant, pools: list[Pool], held: dict[str, ServiceKey], expected: list[str]) -> None:
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
            request(),
            [FOUR],
            FULL_FOUR,
            Reason.POOL_EXHAUSTED,
            "pool four has 0 of 4 IPv4 addresses left",
            id="no free IPv4 address",
        ),
        pytest.param(
            request(V6),
            [GOLD],
            FULL_GOLD,
            Reason.POOL_EXHAUSTED,
            "pool gold has 0 of 2 IPv6 addresses left",
            id="no free IPv6 address",
        ),
        pytest.param(
            request(V4, V6, needs_all=True),
            [FOUR],
            {},
            Reason.NO_POOL_FOR_FAMILY,
            "IPv6",
            id="[C21] required dual stack with IPv4 only",
        ),
        pytest.param(request(pool="none"), [FOUR], {}, Reason.POOL_NOT_FOUND, "none", id="[C8] there is no such pool"),
        pytest.param(
            request(V6, pool="four"),
            [FOUR, SIX],
            {},
            Reason.NO_POOL_FOR_FAMILY,
            "four",
            id="[C20] named pool lacks the family",
        ),
        pytest.param(
            request(pool="four"),
            [FOUR, GOLD],
            FULL_FOUR,
            Reason.POOL_EXHAUSTED,
            "four",
            id="[C8] named pool full",
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
            id="[B7] wanted address in another pool",
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
    wish: Applicant, pools: list[Pool], held: dict[str, ServiceKey], reason: Reason, word: str
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
            Reason.ADDRESS_KEPT,
            id="a .0 that it had before avoidBuggyIPs",
        ),
        pytest.param(
            request(wanted=("192.0.2.0",)),
            [pool("x", "192.0.2.0/30", buggy=True)],
            ["192.0.2.0"],
            ["192.0.2.0"],
            Reason.ADDRESS_KEPT,
            id="a .0 that it had, also where it asks for it",
        ),
        pytest.param(
            request(),
            [FOUR],
            ["192.0.2.10"],
            ["192.0.2.10"],
            Reason.ADDRESS_KEPT,
            id="[C5] its address when the pool is gone",
        ),
        pytest.param(
            request(V6),
            [],
            ["2001:db8::11"],
            ["2001:db8::11"],
            Reason.ADDRESS_KEPT,
            id="[C4] its address when all pools are gone",
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
    wish: Applicant, pools: list[Pool], has: list[str], expected: list[str], reason: Reason
) -> None:
    outcome = allocate(wish, current(*has), ledger(*pools, held=dict.fromkeys(has, WEB)))

    assert given(outcome) == expected
    assert outcome.reason is reason


def of_gold(has: str, **changes: Any) -> tuple[Allocation, Ledger]:
    """Ask for a Service that has an address of a pool which is no longer as it was."""
    gold = replace(GOLD, **changes)
    made = ledger(gold, held={has: WEB})
    family = family_of(ip_address(has))
    outcome = allocate(replace(request(family), came_from={ip_address(has): "gold"}), current(has), made)
    assert isinstance(outcome, Allocation)
    return outcome, made


def ranges(*texts: str) -> tuple[AddressRange, ...]:
    return tuple(AddressRange.parse(text) for text in texts)


FOR_MAIL = Admission(namespaces=frozenset({"mail"}))
BOTH_OF_GOLD = pytest.mark.parametrize("has", ["192.0.2.10", "2001:db8::10"])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"deleting": True}, "its pool gold is being deleted", id="its pool is being deleted"),
        pytest.param({"admission": FOR_MAIL}, "does not admit namespace shop", id="[C2] its pool is for others"),
        pytest.param({"classes": frozenset({"x"})}, "loadBalancerClass (none)", id="[C2] its pool is for a class"),
        pytest.param(
            {"excluded": ranges("192.0.2.10/32", "2001:db8::10/128")},
            "is excluded from pool gold by now",
            id="it is excluded",
        ),
        pytest.param({"ranges": ranges("192.0.2.0/32")}, "is in no pool", id="[C5] its pool shrunk"),
    ],
)
@BOTH_OF_GOLD
def test_what_no_pool_would_give_today_is_kept_and_the_message_says_why(
    has: str, changes: dict[str, Any], word: str
) -> None:
    outcome, _ = of_gold(has, **changes)

    assert given(outcome) == [has]
    assert (outcome.reason, outcome.pools, outcome.should_move) == (Reason.ADDRESS_KEPT, ("gold",), False)
    assert outcome.message.startswith(f"keeps {has}: ")
    assert word in outcome.message


@BOTH_OF_GOLD
def test_what_is_reserved_by_now_is_kept(has: str) -> None:
    made = ledger(GOLD, held={has: WEB})
    made.configure(Config((GOLD,), node_addresses={ip_address(has): "worker-1"}))
    outcome = allocate(request(family_of(ip_address(has))), current(has), made)

    assert given(outcome) == [has]
    assert outcome.reason is Reason.ADDRESS_KEPT
    assert "reserved by node worker-1 by now" in outcome.message


LEFT = ranges("192.0.2.11/32", "2001:db8::11/128")


@pytest.mark.parametrize(
    ("changes", "should_move", "is_awaited"),
    [
        pytest.param({"ranges": LEFT}, False, False, id="Retain"),
        pytest.param({"ranges": LEFT, "reclaim_policy": REASSIGN}, True, True, id="Reassign, and another is free"),
        pytest.param({"deleting": True, "reclaim_policy": REASSIGN}, False, True, id="Reassign, and no other is free"),
        pytest.param(
            {"excluded": ranges("192.0.2.10/32", "2001:db8::10/128"), "reclaim_policy": REASSIGN},
            True,
            True,
            id="Reassign, and the address is excluded by now",
        ),
        pytest.param(
            {"admission": FOR_MAIL, "reclaim_policy": REASSIGN}, False, False, id="[C2] Reassign, but only for others"
        ),
    ],
)
@BOTH_OF_GOLD
def test_who_is_to_leave_an_address(has: str, changes: dict[str, Any], should_move: bool, is_awaited: bool) -> None:
    outcome, _ = of_gold(has, **changes)

    assert given(outcome) == [has]
    assert outcome.should_move is should_move
    assert outcome.awaits == ((family_of(ip_address(has)),) if is_awaited else ())


@BOTH_OF_GOLD
def test_whose_turn_has_come_gets_the_other_address(has: str) -> None:
    _, made = of_gold(has, ranges=LEFT, reclaim_policy=REASSIGN)
    asking = replace(request(family_of(ip_address(has))), came_from={ip_address(has): "gold"})
    outcome = allocate(asking, current(has), made, may_move=True)

    assert given(outcome) == [has.replace("10", "11")]
    assert isinstance(outcome, Allocation)
    assert (outcome.reason, outcome.awaits, outcome.should_move) == (Reason.ASSIGNED, (), False)


def test_only_the_family_that_was_given_up_moves() -> None:
    """The other one is still right."""
    gold = replace(GOLD, ranges=(*LEFT[:1], *GOLD.ranges[1:]), reclaim_policy=REASSIGN)
    held = {"192.0.2.10": WEB, "2001:db8::11": WEB}
    asking = replace(request(V4, V6, needs_all=True), came_from={ip_address(text): "gold" for text in held})
    outcome = allocate(asking, current(*held), ledger(gold, held=held), may_move=True)

    assert given(outcome) == ["192.0.2.11", "2001:db8::11"]


def test_a_missing_family_is_named_with_its_reason() -> None:
    outcome = allocate(request(V4, V6), {}, ledger(FOUR))

    assert given(outcome) == ["198.51.100.0"]
    assert outcome.message == (
        "assigned 198.51.100.0 from pool four; no IPv6 address: pool four has no IPv6 addresses; add some to a pool"
    )


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

    assert keep({}, complaint, ledger(), {}) is complaint
    outcome = keep(current("192.0.2.10"), complaint, ledger(GOLD), {})
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
def test_a_look_tells_whether_something_is_free(wish: Applicant, held: dict[str, ServiceKey], expected: bool) -> None:
    assert could_serve(wish, wish.request.families, ledger(FOUR, held=held)) is expected


def test_many_full_pools_are_not_all_named() -> None:
    pools = [pool(f"p{n}", f"192.0.2.{n}/32") for n in range(5)]
    outcome = allocate(request(), {}, ledger(*pools, held={f"192.0.2.{n}": OTHER for n in range(5)}))

    assert outcome.message.count("has 0 of 1 IPv4 addresses left") == 3
    assert "so it is with 2 more" in outcome.message
