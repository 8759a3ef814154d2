"""When a Service's condition is written, and how."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from baremetal_lb.announce.condition import Urgency
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.speaker.condition_writer import ConditionSchedule

if TYPE_CHECKING:
    from tests.unit.speaker.conftest import Cluster

WEB, API = ServiceKey("default", "web"), ServiceKey("default", "api")
DELAYS = {Urgency.NOW: 0.2, Urgency.ONCE_SETTLED: 5.0, Urgency.SOME_TIME: 30.0}
IPV4, IPV6 = "192.0.2.100", "2001:db8:0:2::100"


@pytest.fixture
def schedule() -> ConditionSchedule:
    return ConditionSchedule(DELAYS, rest_seconds=5.0)


@pytest.mark.parametrize(("how", "delay"), DELAYS.items())
def test_it_is_due_after_its_delay(schedule: ConditionSchedule, how: Urgency, delay: float) -> None:
    assert not schedule.weighed(WEB, how, 100.0)
    assert schedule.first() == (100.0 + delay, WEB)
    assert not schedule.weighed(WEB, how, 100.0 + delay - 0.1)
    assert schedule.weighed(WEB, how, 100.0 + delay)


def test_what_is_told_already_is_not_due(schedule: ConditionSchedule) -> None:
    schedule.weighed(WEB, Urgency.ONCE_SETTLED, 100.0)
    assert not schedule.weighed(WEB, Urgency.NONE, 101.0)
    assert schedule.first() is None


def test_another_urgency_begins_anew(schedule: ConditionSchedule) -> None:
    """A silence that began just now has not lasted, whatever was to be told before."""
    schedule.weighed(WEB, Urgency.NOW, 100.0)
    assert not schedule.weighed(WEB, Urgency.ONCE_SETTLED, 100.2)
    assert schedule.first() == (105.2, WEB)
    assert not schedule.weighed(WEB, Urgency.NOW, 101.0)
    assert schedule.first() == (101.2, WEB)


def test_what_was_just_written_rests(schedule: ConditionSchedule) -> None:
    """So two nodes that see different things can't keep each other busy."""
    schedule.weighed(WEB, Urgency.NOW, 100.0)
    schedule.ended(WEB, 100.3)
    assert schedule.first() is None
    assert not schedule.weighed(WEB, Urgency.NOW, 101.0)
    assert schedule.first() == (105.3, WEB)
    assert schedule.weighed(WEB, Urgency.NOW, 105.3)


def test_the_earliest_is_the_first(schedule: ConditionSchedule) -> None:
    schedule.weighed(WEB, Urgency.ONCE_SETTLED, 100.0)
    schedule.weighed(API, Urgency.NOW, 101.0)
    assert schedule.first() == (101.2, API)


def test_what_failed_is_tried_again(schedule: ConditionSchedule) -> None:
    schedule.weighed(WEB, Urgency.NOW, 100.0)
    schedule.ended(WEB, 100.3, retry_at=105.3)
    assert schedule.first() == (105.3, WEB)


CONDITION = "baremetal-lb.io/Announced"


def condition(cluster: "Cluster", service: str) -> dict[str, str]:
    raw = cluster.server.objects[f"/api/v1/namespaces/default/services/{service}"]
    return next((one for one in raw["status"]["conditions"] if one["type"] == CONDITION), {})


def version(cluster: "Cluster", service: str) -> str:
    raw = cluster.server.objects[f"/api/v1/namespaces/default/services/{service}"]
    return str(raw["metadata"]["resourceVersion"])


@pytest.fixture
async def told(running: "Cluster") -> "Cluster":
    """A Service for which the controller vouches, and whose users were told."""
    await running.service("web", IPV4, IPV6, vouched=True)
    await asyncio.sleep(2)
    return running


async def test_one_condition_says_who_announces_each_address(told: "Cluster") -> None:
    said = condition(told, "web")
    assert (said["status"], said["reason"]) == ("True", "Announced")
    for address in (IPV4, IPV6):
        assert f"node {told.segment.holder(address)} announces {address} on eth0 (NotElected: " in said["message"]


async def test_the_conditions_of_others_stay(told: "Cluster") -> None:
    raw = told.server.objects["/api/v1/namespaces/default/services/web"]
    assert [one["type"] for one in raw["status"]["conditions"]] == ["baremetal-lb.io/AddressAssigned", CONDITION]
    assert raw["status"]["loadBalancer"]["ingress"] == [{"ip": IPV4}, {"ip": IPV6}]


async def test_once_it_is_told_nothing_is_written(told: "Cluster") -> None:
    """[D50]"""
    before = version(told, "web")
    await asyncio.sleep(120)
    assert version(told, "web") == before


async def test_a_service_that_nobody_vouches_for_is_told_nothing(running: "Cluster") -> None:
    """Another load balancer's may look so."""
    await asyncio.sleep(60)
    assert condition(running, "web") == {}


async def test_a_move_is_told(told: "Cluster") -> None:
    holder = told.segment.holder(IPV4)
    assert holder is not None
    await told.kill(holder)
    await asyncio.sleep(12)
    assert f"node {told.segment.holder(IPV4)} announces {IPV4}" in condition(told, "web")["message"]
    assert condition(told, "web")["status"] == "True"


async def test_a_silence_that_passes_is_not_told(told: "Cluster") -> None:
    before = version(told, "web")
    await told.endpoints("web")
    await asyncio.sleep(2)
    await told.endpoints("web", "node1")
    await asyncio.sleep(20)
    assert version(told, "web") == before


async def test_a_silence_that_lasts_is_told_with_its_reason(told: "Cluster") -> None:
    """[D51]"""
    await told.endpoints("web")
    await asyncio.sleep(8)
    said = condition(told, "web")
    assert (said["status"], said["reason"]) == ("False", "NoEndpoint")
    assert "no node announces 192.0.2.100 (NoEndpoint: node1, node2, node3)" in said["message"]
    await told.endpoints("web", "node1")
    await asyncio.sleep(8)
    assert condition(told, "web")["status"] == "True"


async def test_a_node_that_is_no_holder_is_old_news_before_it_is_told(told: "Cluster") -> None:
    holders = {told.segment.holder(address) for address in (IPV4, IPV6)}
    other = next(node for node in ("node1", "node2", "node3") if node not in holders)
    await told.kill(other)
    await asyncio.sleep(20)
    assert "SpeakerNotAlive" not in condition(told, "web")["message"]
    await asyncio.sleep(20)
    assert f"SpeakerNotAlive: {other}" in condition(told, "web")["message"]


async def test_an_address_that_is_added_leaves_the_other_as_it_is(told: "Cluster") -> None:
    """[D46]"""
    await told.service("one", "192.0.2.101", vouched=True)
    await told.endpoints("one", "node1")
    await asyncio.sleep(2)
    holder = told.segment.holder("192.0.2.101")
    await told.service("one", "192.0.2.101", "2001:db8:0:2::101", vouched=True)
    await asyncio.sleep(8)
    assert told.segment.holder("192.0.2.101") == holder
    assert told.segment.silent_seconds("192.0.2.101") == 0
    assert "announces 2001:db8:0:2::101" in condition(told, "one")["message"]


async def test_a_refusal_is_tried_again_and_that_of_a_service_that_is_gone_is_not(running: "Cluster") -> None:
    for member in running.members.values():
        member.connection.refuses = lambda method, path: method == "PATCH" and "services" in path
    await running.service("web", IPV4, IPV6, vouched=True)
    await asyncio.sleep(4)
    assert condition(running, "web") == {}
    for member in running.members.values():
        member.connection.refuses = lambda _method, _path: False
    await asyncio.sleep(8)
    assert condition(running, "web")["status"] == "True"
