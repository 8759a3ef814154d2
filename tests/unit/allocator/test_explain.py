"""What is said of each pool."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.explain import Explanation, Verdict, explain
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.config.model import Admission, Claim, Config, Pool
from baremetal_lb.reasons import Reason

BOTH: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
SHARED = {"baremetal-lb.io/sharing-key": "k"}
OURS = [{"type": "baremetal-lb.io/AddressAssigned", "status": "True"}]


def pool(name: str, *ranges: str, **more: Any) -> Pool:
    return Pool(name, tuple(map(AddressRange.parse, ranges)), **more)


GOLD = pool("gold", "192.0.2.0/31", "2001:db8::/127")
SILVER = pool("silver", "198.51.100.0/31", "2001:db8:1::/127")
FOUR = pool("four", "203.0.113.0/31")


def service(name: str, *ingress: str, annotations: dict[str, str] | None = None, **spec: Any) -> ServiceView:
    return parse_service(
        {
            "metadata": {"namespace": "shop", "name": name, "uid": name, "annotations": annotations or {}},
            "spec": {
                "type": "LoadBalancer",
                "ipFamilies": ["IPv4"],
                "clusterIPs": ["10.96.0.1"],
                "ports": [{"port": len(name)}],
                **spec,
            },
            "status": {"loadBalancer": {"ingress": [{"ip": one} for one in ingress]}, "conditions": OURS},
        }
    )


def explained(view: ServiceView, *pools: Pool, others: tuple[ServiceView, ...] = (), **config: Any) -> Explanation:
    assigner = Assigner()
    assigner.namespace_changed("shop", NamespaceView("shop"))
    for one in (view, *others):
        assigner.service_changed(one.key, one, 0.0)
    assigner.start(Config(pools, **config))
    return explain(assigner, view)


def verdicts(explanation: Explanation, family: Family = Family.IPV4) -> dict[str, Verdict]:
    (found,) = (one for one in explanation.families if one.family is family)
    return {verdict.pool: verdict for verdict in found.verdicts}


def address(text: str) -> Address:
    return ip_address(text)


def test_a_pool_with_both_families_is_taken_before_one_that_comes_first() -> None:
    explanation = explained(service("web", **BOTH), FOUR, GOLD)
    assert [one.is_taken for one in verdicts(explanation).values()] == [False, True]
    assert verdicts(explanation)["four"].reason is Reason.COULD_SERVE
    assert "2 of 2 IPv4 addresses left" in verdicts(explanation)["four"].message


def test_what_is_withheld_for_the_other_family_is_marked_and_told() -> None:
    explanation = explained(service("web", **BOTH), FOUR)
    verdict = verdicts(explanation)["four"]
    assert (verdict.is_taken, verdict.reason) == (True, Reason.COULD_SERVE)
    assert "would give 203.0.113.0" in verdict.message
    assert not explanation.is_served


def test_a_wish_withheld_for_the_other_family_is_told_where_it_would_come_from() -> None:
    """The Service keeps its old address meanwhile."""
    wish = {"baremetal-lb.io/addresses": "198.51.100.1,2001:db8:9::9"}
    explanation = explained(service("web", "192.0.2.0", annotations=wish, **BOTH), GOLD, SILVER)
    found = verdicts(explanation)
    assert (found["gold"].is_taken, found["silver"].is_taken) == (True, False)
    assert found["silver"].reason is Reason.COULD_SERVE
    assert "would give 198.51.100.1" in found["silver"].message


def test_a_full_pool_is_taken_for_an_address_that_can_be_shared() -> None:
    others = (service("first", "192.0.2.0", annotations=SHARED), service("second", "192.0.2.1"))
    explanation = explained(service("web", annotations=SHARED), GOLD, SILVER, others=others)
    assert verdicts(explanation)["gold"].is_taken
    assert [(one.service, one.obstacle) for one in explanation.neighbours] == [(ServiceKey("shop", "first"), None)]


@pytest.mark.parametrize(
    ("gold", "phrase"),
    [
        pytest.param(replace(GOLD, deleting=True), "is being deleted", id="of a pool that is being deleted"),
        pytest.param(
            replace(GOLD, admission=Admission(namespaces=frozenset({"bank"}))),
            "does not admit namespace shop",
            id="of a pool that admits it no more",
        ),
        pytest.param(
            replace(GOLD, excluded=(AddressRange.parse("192.0.2.0/32"),)), "excluded", id="that the pool excludes"
        ),
    ],
)
def test_an_address_is_kept(gold: Pool, phrase: str) -> None:
    explanation = explained(service("web", "192.0.2.0"), gold, SILVER)
    verdict = verdicts(explanation)["gold"]
    assert (verdict.is_taken, verdict.reason) == (True, Reason.ADDRESS_KEPT)
    assert phrase in verdict.message
    assert not explanation.is_served


def test_an_address_is_kept_while_another_that_is_asked_for_cannot_be_had() -> None:
    view = service("web", "192.0.2.0", annotations={"baremetal-lb.io/addresses": "198.51.100.0"})
    explanation = explained(view, GOLD, SILVER, FOUR, others=(service("other", "198.51.100.0"),))
    found = verdicts(explanation)
    assert (found["gold"].is_taken, found["gold"].reason) == (True, Reason.ADDRESS_KEPT)
    assert found["silver"].reason is Reason.ADDRESS_IN_USE
    assert found["four"].reason is Reason.POOL_NOT_NAMED


@pytest.mark.parametrize(
    ("family", "claimed"),
    [
        pytest.param(Family.IPV4, "198.51.100.1", id="of IPv4"),
        pytest.param(Family.IPV6, "2001:db8:1::1", id="of IPv6"),
    ],
)
def test_what_is_claimed_decides(family: Family, claimed: str) -> None:
    claims = (Claim("for-web", (address(claimed),), ServiceKey("shop", "web")),)
    explanation = explained(service("web", ipFamilies=[family]), GOLD, SILVER, claims=claims)
    assert [one.claimed for one in explanation.families] == [(address(claimed),)]
    assert verdicts(explanation, family)["silver"].is_taken
    assert verdicts(explanation, family)["gold"].reason is Reason.POOL_NOT_NAMED


def test_a_pool_that_is_not_there_leaves_every_other_unnamed() -> None:
    explanation = explained(service("web", annotations={"baremetal-lb.io/pool": "lead"}), GOLD)
    assert explanation.outcome is not None
    assert explanation.outcome.reason is Reason.POOL_NOT_FOUND
    assert verdicts(explanation)["gold"].reason is Reason.POOL_NOT_NAMED


def test_a_service_of_another_class_is_told_which_pools_do_not_serve_it() -> None:
    view = replace(service("web", loadBalancerClass="example.com/x"), conditions=())
    explanation = explained(view, GOLD)
    assert explanation.outcome is None
    assert verdicts(explanation)["gold"].reason is Reason.POOL_OF_OTHER_CLASS


def test_of_a_foreign_address_no_pool_is_judged() -> None:
    foreign = replace(service("web", "10.0.0.1"), conditions=())
    explanation = explained(foreign, GOLD)
    assert explanation.outcome is not None
    assert explanation.outcome.reason is Reason.FOREIGN_ADDRESS
    assert explanation.families == ()
    assert [(str(one.address), one.pool, one.is_there) for one in explanation.has] == [("10.0.0.1", "", False)]


def test_where_an_address_came_from_is_told_when_its_pool_is_gone() -> None:
    view = service("web", "10.0.0.1", annotations={"baremetal-lb.io/from-pool": "lead"})
    explanation = explained(view, GOLD)
    assert [(one.pool, one.is_there) for one in explanation.has] == [("lead", False)]


def test_who_shows_the_same_address_against_the_rules_is_told() -> None:
    explanation = explained(service("web", "192.0.2.0"), GOLD, others=(service("a", "192.0.2.0"),))
    (neighbour,) = explanation.neighbours
    assert neighbour.service == ServiceKey("shop", "a")
    assert neighbour.obstacle is not None


def test_explaining_changes_nothing() -> None:
    assigner = Assigner()
    view = service("web")
    assigner.service_changed(view.key, view, 0.0)
    assigner.start(Config((GOLD,)))
    explain(assigner, view)
    assert assigner.ledger.held_by(view.key) == frozenset()
    assert not assigner.is_idle
