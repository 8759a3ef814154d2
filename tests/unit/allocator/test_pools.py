"""Which pools may serve a Service, in which order, and what speaks against each of the others."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import permutations
from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange, Family
from baremetal_lb.allocator.pools import ADVICE, Applicant, PoolIndex
from baremetal_lb.allocator.request import AllocationRequest
from baremetal_lb.api.selector import Operator
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Admission, Pool
from baremetal_lb.config.selectors import Requirement, Selector
from baremetal_lb.reasons import Reason

X = "example.org/x"
FAMILIES = pytest.mark.parametrize("family", list(Family))


def pool(name: str, number: int = 0, *, day: int = 1, **more: Any) -> Pool:
    return Pool(name, more.pop("ranges", ranges(number)), created_at=datetime(2026, 1, day, tzinfo=UTC), **more)


def ranges(number: int) -> tuple[AddressRange, ...]:
    return AddressRange.parse(f"192.0.2.{number}/32"), AddressRange.parse(f"2001:db8::{number:x}/128")


def with_label(key: str, value: str) -> Selector:
    return Selector((Requirement(key, Operator.IN, frozenset({value})),))


def applicant(
    *, named: str | None = None, of_class: str | None = None, namespace: str = "shop", team: str = "a", app: str = ""
) -> Applicant:
    request = AllocationRequest(
        ServiceKey(namespace, "web"),
        tuple(Family),
        pool=named,
        load_balancer_class=of_class,
        labels={"app": app} if app else {},
    )
    return Applicant(request, NamespaceView(namespace, {"team": team}))


@pytest.mark.parametrize(
    "in_order",
    [
        pytest.param(
            [pool("z", is_for_some=True), pool("a", day=1)], id="[C9] those for some before those for everyone"
        ),
        pytest.param(
            [
                pool("one", is_for_some=True, priority=1, day=9),
                pool("ten", is_for_some=True, priority=10, day=1),
                pool("none", is_for_some=True, priority=0, day=1),
            ],
            id="[A4] [C11] a lower priority first, 0 last",
        ),
        pytest.param(
            [pool("none", is_for_some=True, priority=0), pool("everyone", day=1)],
            id="also the last of those for some before those for everyone",
        ),
        pytest.param([pool("z", day=1), pool("a", day=2)], id="[C9] of equals the older first, not any"),
        pytest.param([pool("a"), pool("b"), pool("c")], id="[C11] of those of one age by name"),
    ],
)
@FAMILIES
def test_pools_are_tried_in_one_order_however_they_arrive(in_order: list[Pool], family: Family) -> None:
    for arrival in permutations(replace(one, ranges=ranges(number)) for number, one in enumerate(in_order)):
        judged = PoolIndex(arrival).judge(applicant(), family)
        assert [one.name for one in judged.candidates] == [one.name for one in in_order]


@pytest.mark.parametrize(
    ("one", "who", "reason"),
    [
        pytest.param(pool("gold"), applicant(), None, id="a pool for everyone serves"),
        pytest.param(pool("gold"), applicant(named="silver"), Reason.POOL_NOT_NAMED, id="another pool is named"),
        pytest.param(pool("gold", ranges=()), applicant(), Reason.NO_POOL_FOR_FAMILY, id="no address of the family"),
        pytest.param(
            pool(
                "gold",
                excluded=(AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8::/64")),
            ),
            applicant(),
            Reason.NO_POOL_FOR_FAMILY,
            id="all addresses are excluded",
        ),
        pytest.param(pool("gold"), applicant(of_class=X), Reason.POOL_OF_OTHER_CLASS, id="a class it does not serve"),
        pytest.param(
            pool("gold", classes=frozenset({X})),
            applicant(),
            Reason.POOL_OF_OTHER_CLASS,
            id="classes, and the Service has none",
        ),
        pytest.param(pool("gold", classes=frozenset({X})), applicant(of_class=X), None, id="the class it serves"),
        pytest.param(
            pool("gold", admission=Admission(namespaces=frozenset({"mail"}))),
            applicant(),
            Reason.POOL_NOT_PERMITTED,
            id="another namespace",
        ),
        pytest.param(
            pool("gold", admission=Admission(namespace_selectors=(with_label("team", "nobody"),))),
            applicant(),
            Reason.POOL_NOT_PERMITTED,
            id="[C13] labels that no namespace has admit none",
        ),
        pytest.param(
            pool("gold", admission=Admission(service_selectors=(with_label("app", "x"),))),
            applicant(app="y"),
            Reason.POOL_NOT_PERMITTED,
            id="other labels",
        ),
        pytest.param(
            pool("gold", auto_assign=False), applicant(), Reason.NO_POOL_AUTO_ASSIGNS, id="nobody asked for it"
        ),
        pytest.param(pool("gold", auto_assign=False), applicant(named="gold"), None, id="it is asked for by name"),
        pytest.param(pool("gold", deleting=True), applicant(), Reason.POOL_BEING_DELETED, id="it is being deleted"),
    ],
)
@FAMILIES
def test_a_pool_is_judged(one: Pool, who: Applicant, reason: Reason | None, family: Family) -> None:
    judged = PoolIndex([one]).judge(who, family)

    assert [refusal.reason for _, refusal in judged.refused] == ([reason] if reason else [])
    assert judged.candidates == (() if reason else (one,))
    for _, refusal in judged.refused:
        assert f"pool {one.name}" in refusal.message
        assert ADVICE[refusal.reason]


BINDING = pool("gold", 1, exclusive=True, admission=Admission(namespaces=frozenset({"shop"})))


@pytest.mark.parametrize(
    ("binding", "who", "is_bound"),
    [
        pytest.param(BINDING, applicant(), True, id="whom it admits"),
        pytest.param(BINDING, applicant(namespace="mail"), False, id="not whom it does not admit"),
        pytest.param(BINDING, applicant(of_class=X), False, id="not those of a class that it does not serve"),
        pytest.param(replace(BINDING, exclusive=False), applicant(), False, id="not where it is not exclusive"),
        pytest.param(replace(BINDING, deleting=True), applicant(), True, id="also while it is being deleted"),
    ],
)
@FAMILIES
def test_an_exclusive_pool_binds(binding: Pool, who: Applicant, is_bound: bool, family: Family) -> None:
    """[C10]"""
    silver = pool("silver", 2, classes=frozenset({X, "baremetal-lb.io/load-balancer"}))
    index = PoolIndex([silver, binding])

    assert (silver not in index.judge(who, family).candidates) is is_bound
    refusal = index.permission(who, silver)
    assert (refusal.reason if refusal else None) is (Reason.NOT_EXCLUSIVE if is_bound else None)


@FAMILIES
def test_a_pool_that_fits_in_two_ways_is_judged_once(family: Family) -> None:
    """[C12] By its namespaces and by its labels: it is neither tried nor named twice."""
    fits = Admission(frozenset({"shop"}), (with_label("team", "a"),), (with_label("app", "x"),))
    judged = PoolIndex([pool("gold", admission=fits)]).judge(applicant(app="x"), family)

    assert [one.name for one in judged.candidates] == ["gold"]
    assert judged.refused == ()


@FAMILIES
def test_what_is_remembered_of_one_service_does_not_speak_for_another(family: Family) -> None:
    by_label = Admission(service_selectors=(with_label("app", "x"),))
    index = PoolIndex([pool("gold", admission=by_label), pool("silver", 1, classes=frozenset({X}))])
    cases = [
        (applicant(app="x"), ["gold"]),
        (applicant(app="y"), []),
        (applicant(), []),
        (applicant(app="x", of_class=X), ["silver"]),
        (applicant(app="x", named="silver"), []),
    ]
    for who, expected in cases * 2:
        assert [one.name for one in index.judge(who, family).candidates] == expected


@pytest.mark.parametrize(
    ("address", "holder"),
    [("192.0.2.0", "gold"), ("192.0.2.1", "silver"), ("2001:db8::1", "silver"), ("192.0.2.9", None)],
)
def test_a_pool_is_found_by_address(address: str, holder: str | None) -> None:
    found = PoolIndex([pool("gold", 0), pool("silver", 1)]).holding(ip_address(address))

    assert (found.name if found else None) == holder


def test_a_pool_is_found_by_name() -> None:
    index = PoolIndex([pool("gold", 0), pool("silver", 1, classes=frozenset({X}))])

    assert index.named("gold") == pool("gold", 0)
    assert index.named("none") is None
    assert index.classes == {X}
