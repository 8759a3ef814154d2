"""What a replica knows, found by what a question needs."""

from typing import Any

import pytest

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.allocator.request import parse_request
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey, parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Surroundings

FOUR, SIX, OTHER = map(parse_address, ("192.0.2.2", "2001:db8::2", "192.0.2.3"))
POOL: dict[str, Any] = {
    "metadata": {"name": "mine"},
    "spec": {"addresses": ["192.0.2.0/28"], "loadBalancerClasses": ["example.com/other"]},
}


def neighbour(name: str, *ingress: Address, wanted: str = "", **spec: Any) -> Neighbour:
    raw = {
        "metadata": {"namespace": "shop", "name": name, "annotations": {"baremetal-lb.io/addresses": wanted}},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}
        | {"clusterIPs": ["10.96.0.9"], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": str(one)} for one in ingress]}},
    }
    view = parse_service(raw)
    return Neighbour(view, parse_request(view))


def follow(known: Known, *neighbours: Neighbour) -> None:
    for one in neighbours:
        known.service_changed(one.view.key, one)


def names(known: Known, *addresses: Address) -> list[str]:
    return [one.view.key.name for one in known.near(addresses)]


def test_services_are_found_by_what_they_have_and_by_what_they_ask_for() -> None:
    known = Known()
    follow(known, neighbour("web", FOUR, SIX), neighbour("asker", wanted=str(FOUR)), neighbour("far", OTHER))

    assert names(known, FOUR) == ["asker", "web"]
    assert names(known, SIX) == ["web"]
    assert names(known, FOUR, SIX, OTHER) == ["asker", "far", "web"]
    assert [view.key.name for view in known.services] == ["web", "asker", "far"]


def test_a_service_that_changes_is_found_by_what_is_true_now() -> None:
    known = Known()
    follow(known, neighbour("web", FOUR, wanted=str(FOUR)), neighbour("web", OTHER))

    assert names(known, FOUR) == []
    assert names(known, OTHER) == ["web"]


def test_a_service_that_is_gone_is_found_no_more() -> None:
    known = Known()
    follow(known, neighbour("web", FOUR), neighbour("shares", FOUR))
    known.service_changed(ServiceKey("shop", "web"), None)
    known.service_changed(ServiceKey("shop", "never-seen"), None)

    assert names(known, FOUR) == ["shares"]


@pytest.mark.parametrize(
    ("load_balancer_class", "is_ours"),
    [
        pytest.param({}, True, id="no class"),
        pytest.param({"loadBalancerClass": "baremetal-lb.io/load-balancer"}, True, id="our class"),
        pytest.param({"loadBalancerClass": "example.com/other"}, True, id="the class of a pool"),
        pytest.param({"loadBalancerClass": "example.com/theirs"}, False, id="another class"),
        pytest.param({"type": "ClusterIP"}, False, id="no load balancer"),
    ],
)
def test_it_tells_which_services_are_ours(load_balancer_class: dict[str, str], *, is_ours: bool) -> None:
    known = Known()
    config, _ = compile_config([POOL], [])
    known.resources_changed(pools=[POOL], claims=(), config=config, surroundings=Surroundings())

    assert known.is_ours(neighbour("web", **load_balancer_class).view) is is_ours


def test_a_ledger_is_lent_and_comes_back_empty() -> None:
    known, web, late = Known(), neighbour("web", FOUR), neighbour("late", FOUR, SIX)

    with known.ledger([web.view, late.view]) as ledger:
        assert ledger.holders_of(FOUR) == (web.view.key,)
        assert ledger.holders_of(SIX) == (late.view.key,)
    with known.ledger([]) as again:
        assert again is ledger
        assert again.holders_of(FOUR) == again.holders_of(SIX) == ()
        again.check_invariants()


def test_a_ledger_follows_the_resources_and_the_namespaces() -> None:
    known = Known()
    with known.ledger([]) as first:
        pass
    config, _ = compile_config([POOL], [])
    known.resources_changed(pools=[POOL], claims=(), config=config, surroundings=Surroundings())
    with known.ledger([]) as second:
        assert second is not first
        assert second.pools.named("mine") is not None
    known.namespace_changed("shop", NamespaceView("shop", {"team": "a"}))
    with known.ledger([]) as third:
        assert third is not second


def test_it_knows_the_namespace_of_an_applicant() -> None:
    known, web = Known(), neighbour("web")
    known.namespace_changed("shop", NamespaceView("shop", {"team": "a"}))
    assert known.applicant(web.view, _request(web)).namespace.labels == {"team": "a"}
    known.namespace_changed("shop", None)
    assert known.applicant(web.view, _request(web)).namespace == NamespaceView("shop")


def _request(one: Neighbour) -> Any:
    return one.request
