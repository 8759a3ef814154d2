"""The controller's machine: in which order it decides, when it holds back, and what waiting costs."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.cluster.service import ServiceKey, ServiceView, parse_service
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason
from baremetal_lb.status import service_patch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Pool("one", (AddressRange.parse("192.0.2.10/32"), AddressRange.parse("2001:db8::10/128")))
THREE = Pool("three", (AddressRange.parse("192.0.2.10-192.0.2.12"), AddressRange.parse("2001:db8::10-2001:db8::12")))
FAMILIES = pytest.mark.parametrize(("family", "first"), [("IPv4", "192.0.2.10"), ("IPv6", "2001:db8::10")])


def view(name: str, family: str, *, at: int = 0, version: int = 1, uid: str = "", **status: Any) -> ServiceView:
    metadata = {
        "namespace": "shop",
        "name": name,
        "uid": uid or name,
        "resourceVersion": str(version),
        "creationTimestamp": f"2026-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z",
    }
    spec = {"type": "LoadBalancer", "ipFamilies": [family], "clusterIPs": ["10.96.0.1"]}
    return parse_service({"metadata": metadata, "spec": spec, "status": status})


def shown(address: str) -> dict[str, Any]:
    return {"loadBalancer": {"ingress": [{"ip": address}]}}


def started(pool: Pool, *views: ServiceView) -> Assigner:
    assigner = Assigner()
    for one in views:
        assigner.service_changed(one.key, one, 0.0)
    assigner.start([pool])
    return assigner


def decide_all(assigner: Assigner) -> list[str]:
    return [entry.key.name for entry in assigner.decide(100_000)]


@FAMILIES
def test_the_oldest_is_decided_on_first_and_no_more_than_asked_for(family: str, first: str) -> None:
    assigner = started(THREE, view("a", family, at=3), view("b", family, at=1), view("c", family, at=2))

    assert [entry.key.name for entry in assigner.decide(2)] == ["b", "c"]
    assert [entry.key.name for entry in assigner.decide(2)] == ["a"]
    assert assigner.ledger.holder_of(ip_address(first)) == ServiceKey("shop", "b")
    assert assigner.is_idle


@FAMILIES
def test_of_thousands_that_wait_for_one_address_one_is_decided_on(family: str, first: str) -> None:
    waiting = [view(f"s{number:04}", family, at=number) for number in range(2000)]
    assigner = started(ONE, *waiting)
    assert len(decide_all(assigner)) == 2000

    assigner.service_changed(waiting[0].key, None, 0.0)

    assert decide_all(assigner) == ["s0001"]
    assert assigner.ledger.holder_of(ip_address(first)) == ServiceKey("shop", "s0001")
    assigner.check_invariants()


@FAMILIES
def test_nothing_is_decided_while_a_write_is_on_its_way(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family))
    (entry,) = assigner.decide(1)
    assigner.write_begun(entry)

    assigner.service_changed(entry.key, view("a", family, version=2), 0.0)
    assert decide_all(assigner) == []

    assigner.write_ended(entry, 3)
    assert decide_all(assigner) == []

    assigner.service_changed(entry.key, view("a", family, version=3, **shown(first)), 0.0)
    assert decide_all(assigner) == ["a"]


@FAMILIES
def test_a_write_that_failed_is_decided_anew(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family))
    (entry,) = assigner.decide(1)
    assigner.write_begun(entry)
    assigner.write_ended(entry)

    assert decide_all(assigner) == ["a"]
    assert [str(one) for one in entry.addresses] == [first]


@FAMILIES
def test_an_address_stays_held_until_no_status_shows_it(family: str, first: str) -> None:
    """A Service asks for another address: the old one is free only when the status has changed."""
    assigner = started(THREE, view("a", family, version=1, **shown(first)))
    decide_all(assigner)
    other = f"{ip_address(first) + 1}"
    wishing = replace(view("a", family, version=2, **shown(first)), load_balancer_ip=other)
    assigner.service_changed(wishing.key, wishing, 0.0)
    (entry,) = assigner.decide(1)
    assert assigner.ledger.held_by(entry.key) == {ip_address(first), ip_address(other)}

    assigner.write_begun(entry)
    assigner.write_ended(entry, 3)
    assert assigner.ledger.holder_of(ip_address(first)) == entry.key

    assigner.service_changed(wishing.key, view("a", family, version=3, **shown(other)), 0.0)
    assert assigner.ledger.held_by(entry.key) == {ip_address(other)}


@FAMILIES
def test_a_service_made_anew_under_an_old_name_is_another_one(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family, at=1), view("b", family, at=2))
    decide_all(assigner)

    assigner.service_changed(ServiceKey("shop", "a"), view("a", family, at=3, version=9, uid="new"), 0.0)
    decide_all(assigner)

    assert assigner.ledger.holder_of(ip_address(first)) == ServiceKey("shop", "b")


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_services_that_are_not_ours_and_show_nothing_are_not_kept(family: str) -> None:
    assigner = started(ONE)
    raw = {"metadata": {"namespace": "shop", "name": "a"}, "spec": {"type": "ClusterIP", "ipFamilies": [family]}}
    assigner.service_changed(ServiceKey("shop", "a"), parse_service(raw), 0.0)

    assert not assigner.entries
    assert assigner.is_idle


@FAMILIES
def test_a_loser_says_who_holds_its_address(family: str, first: str) -> None:
    assigner = started(THREE, view("a", family, at=2, **shown(first)), view("b", family, at=1, **shown(first)))
    decide_all(assigner)

    entry = assigner.entries[ServiceKey("shop", "a")]
    assert entry.lost is not None
    assert entry.lost.reason is Reason.ADDRESS_IN_USE
    assert "shop/b" in entry.lost.message
    assert service_patch(entry.view, entry.outcome, NOW) is not None


@FAMILIES
def test_reasons_are_counted(family: str, first: str) -> None:
    assigner = started(ONE, view("a", family, at=1), view("b", family, at=2), view("c", family, at=3))
    decide_all(assigner)

    assert assigner.count_reasons() == {Reason.ASSIGNED: 1, Reason.POOL_EXHAUSTED: 2}
    assert assigner.ledger.holder_of(ip_address(first)) == ServiceKey("shop", "a")
