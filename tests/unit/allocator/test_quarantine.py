"""Addresses that foreign hosts use: what a pool's status keeps of them, and what becomes of their Services."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.allocator.explain import explain
from baremetal_lb.allocator.quarantine import quarantine
from baremetal_lb.api.pool import QUARANTINED_MAX, ConflictPolicy, QuarantinedAddress
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import ConflictingHost, Pool

if TYPE_CHECKING:
    from tests.unit.allocator.conftest import Cluster

NOW = datetime(2026, 1, 1, microsecond=700_000, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
HOST, OTHER_HOST = (
    ConflictingHost("02:00:00:00:00:99", "eth0", "n1"),
    ConflictingHost("02:00:00:00:00:98", "eth1", "n2"),
)
LAN = Pool(
    "lan",
    (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8::/64")),
    conflict_policy=ConflictPolicy.QUARANTINE,
)
BOTH_FAMILIES = pytest.mark.parametrize("text", ["192.0.2.10", "2001:db8::10"])
QUARANTINE = {"conflictPolicy": "Quarantine"}


def entry(text: str, host: ConflictingHost = HOST, until: datetime | None = None) -> QuarantinedAddress:
    shown = {"address": text, "mac": host.mac, "interface": host.interface, "node": host.node}
    return QuarantinedAddress.model_validate({**shown, **({"until": until} if until else {})})


@pytest.mark.parametrize(
    ("present", "host", "expected"),
    [
        pytest.param(None, HOST, (HOST, None), id="a new conflict has no end yet"),
        pytest.param((HOST, None), HOST, (HOST, None), id="one that goes on changes nothing"),
        pytest.param((HOST, None), OTHER_HOST, (OTHER_HOST, None), id="another host takes the place of the first"),
        pytest.param((HOST, None), None, (HOST, LATER), id="one that is over ends after a while"),
        pytest.param((HOST, LATER), None, (HOST, LATER), id="its end does not move"),
        pytest.param((HOST, LATER), HOST, (HOST, None), id="one that comes back has no end again"),
        pytest.param((HOST, NOW), None, None, id="one that has ended is gone"),
        pytest.param(None, None, None, id="no conflict"),
    ],
)
@BOTH_FAMILIES
def test_an_address_is_in_quarantine_until_a_while_after_the_conflict(
    text: str,
    present: tuple[ConflictingHost, datetime | None] | None,
    host: ConflictingHost | None,
    expected: tuple[ConflictingHost, datetime | None] | None,
) -> None:
    before = [entry(text, *present)] if present else []
    conflicts = {ip_address(text): host} if host else {}

    after = quarantine(LAN, before, conflicts, NOW, seconds=600)

    assert after == ((entry(text, *expected),) if expected else ())


@BOTH_FAMILIES
@pytest.mark.parametrize("policy", [ConflictPolicy.DEFEND, ConflictPolicy.YIELD])
def test_another_policy_has_no_quarantine_any_more(text: str, policy: ConflictPolicy) -> None:
    pool = replace(LAN, conflict_policy=policy)

    assert quarantine(pool, [entry(text)], {ip_address(text): HOST}, NOW, seconds=600) == ()


def test_what_the_pool_does_not_have_is_not_in_its_quarantine() -> None:
    conflicts = {ip_address(text): HOST for text in ("198.51.100.1", "2001:db8:1::1")}

    assert quarantine(LAN, [entry("203.0.113.1")], conflicts, NOW, seconds=600) == ()


def test_a_quarantine_has_a_bound_and_an_order() -> None:
    conflicts = {ip_address("2001:db8::") + number: HOST for number in reversed(range(QUARANTINED_MAX + 1))}

    kept = [one.address for one in quarantine(LAN, [], conflicts, NOW, seconds=600)]

    assert kept == sorted(conflicts)[:QUARANTINED_MAX]


def test_the_time_is_written_in_whole_seconds() -> None:
    (one,) = quarantine(LAN, [entry("192.0.2.10")], {}, NOW, seconds=600)

    assert one.model_dump(mode="json", by_alias=True)["until"] == "2026-01-01T00:10:00Z"
    assert one.until == NOW.replace(microsecond=0) + timedelta(seconds=600)


def test_services_leave_addresses_in_quarantine_one_at_a_time(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    for name in ("a", "b"):
        cluster.service(name)
    cluster.settle()
    cluster.conflict(0, 1)
    cluster.settle()
    assert [cluster.has(name) for name in ("a", "b")] == [[0], [1]]
    assert cluster.told("a") == "AddressKept"
    assert "the host 02:00:00:00:00:99 (on eth0 of node n1) uses" in cluster.message("a")
    assert "moves to another address as soon as one is free" in cluster.message("a")

    assert cluster.move_one() == "a"
    assert [cluster.has(name) for name in ("a", "b")] == [[2], [1]]
    assert cluster.events[-1] == ("a", "Reassigned")
    assert cluster.move_one() == "b"
    assert cluster.has("b") == [3]
    assert (cluster.told("a"), cluster.told("b")) == ("Assigned", "Assigned")
    assert cluster.move_one() is None


def test_an_address_in_quarantine_is_given_to_nobody_and_after_it_to_who_comes_next(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 1, **QUARANTINE)
    cluster.conflict(0)
    cluster.service("first")
    cluster.service("second")
    cluster.settle()
    assert (cluster.has("first"), cluster.has("second")) == ([1], [])
    assert cluster.told("second") == "PoolExhausted"

    cluster.conflict()
    cluster.settle()
    assert (cluster.has("first"), cluster.has("second")) == ([1], [0])


def test_where_no_other_address_is_free_the_service_stays_until_one_is(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 0, **QUARANTINE)
    cluster.service("web")
    cluster.settle()
    cluster.conflict(0)
    cluster.settle()
    assert not cluster.assigner.has_movable
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")

    cluster.pool("more", 10, 10)
    cluster.settle()
    assert cluster.move_one() == "web"
    assert cluster.has("web") == [10]


def test_a_service_that_names_the_address_stays(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    cluster.wants("web", 0)
    cluster.settle()
    cluster.conflict(0)
    cluster.settle()

    assert cluster.move_one() is None
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")
    assert "is to have this very address; remove that host" in cluster.message("web")


def test_a_service_for_which_the_address_is_claimed_stays(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    cluster.claim("for-web", 0, service="web")
    cluster.service("web")
    cluster.settle()
    cluster.conflict(0)
    cluster.settle()

    assert cluster.move_one() is None
    assert (cluster.has("web"), cluster.told("web")) == ([0], "AddressKept")
    assert "is to have this very address; remove that host" in cluster.message("web")


def test_who_asks_for_an_address_in_quarantine_waits_for_its_end(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    cluster.conflict(0)
    cluster.wants("web", 0)
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([], "AddressQuarantined")

    cluster.conflict()
    cluster.settle()
    assert (cluster.has("web"), cluster.told("web")) == ([0], "Assigned")


def test_the_explanation_says_why_the_address_is_to_be_left_and_why_it_is_not_given(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    cluster.service("has")
    cluster.settle()
    cluster.conflict(0, 1)
    cluster.wants("wishes", 1)
    cluster.settle()

    for name, reason in (("has", "AddressKept"), ("wishes", "AddressQuarantined")):
        explanation = explain(cluster.assigner, cluster.assigner.entries[ServiceKey("shop", name)].view)
        assert explanation.outcome
        assert explanation.outcome.reason == reason
        for family in explanation.families:
            (verdict,) = family.verdicts
            assert verdict.reason == reason
            assert "the host 02:00:00:00:00:99 (on eth0 of node n1) uses" in verdict.message


def test_those_who_share_an_address_in_quarantine_meet_again_on_another(cluster: "Cluster") -> None:
    cluster.pool("lan", 0, 4, **QUARANTINE)
    for port, name in enumerate(("a", "b", "c"), 80):
        cluster.service(name, {"baremetal-lb.io/sharing-key": "k"}, port=port)
    cluster.settle()
    cluster.conflict(0)
    cluster.settle()

    while cluster.move_one():
        pass
    assert [cluster.has(name) for name in ("a", "b", "c")] == [[1], [1], [1]]


@pytest.mark.parametrize("policy", ["Defend", "Yield"])
def test_under_another_policy_the_service_stays_and_is_told_nothing(cluster: "Cluster", policy: str) -> None:
    cluster.pool("lan", 0, 4, conflictPolicy=policy)
    cluster.service("web")
    cluster.settle()
    cluster.conflict(0)
    cluster.settle()

    assert cluster.move_one() is None
    assert (cluster.has("web"), cluster.told("web")) == ([0], "Assigned")


def test_a_quarantine_outlives_the_controller(cluster: "Cluster") -> None:
    """Its only store is the status of the pool."""
    cluster.pool("lan", 0, 4, **QUARANTINE)
    cluster.service("web")
    cluster.settle()
    cluster.conflict(0)
    cluster.restart()
    cluster.settle()

    assert cluster.move_one() == "web"
    assert cluster.has("web") == [1]
