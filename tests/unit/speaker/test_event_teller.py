import asyncio
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry

from baremetal_lb.events import Event, Subject
from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.metrics import SpeakerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import SpeakerSettings
from baremetal_lb.speaker.event_teller import EventTeller

if TYPE_CHECKING:
    from tests.unit.speaker.conftest import Cluster

SETTINGS = SpeakerSettings("node1", events_queued=30, events_per_second=10.0)
EVENT = Event(Subject("v1", "Service", "default", "web", "uid"), Reason.ANNOUNCED, "node1 announces it")


def results(metrics: SpeakerMetrics) -> dict[str, float]:
    samples = (sample for metric in metrics.registry.collect() for sample in metric.samples)
    return {one.labels["result"]: one.value for one in samples if one.name == "baremetal_lb_events_total"}


async def test_events_are_told_slowly_and_dropped_beyond_the_cap(cluster: "Cluster") -> None:
    member = cluster.start("node1")
    metrics = SpeakerMetrics(CollectorRegistry(), "test")
    teller = EventTeller(cast("KubeClient", member.connection), SETTINGS, metrics)
    for _ in range(40):
        teller.tell(EVENT)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(teller.run())
        await asyncio.sleep(1.05)
        assert 9 <= results(metrics)["told"] <= 11
        await asyncio.sleep(5)
        telling.cancel()
    assert results(metrics) == {"told": 30, "dropped": 10}


async def test_an_event_that_fails_is_not_tried_again() -> None:
    class Refusing:
        async def create(self, path: str, _body: object) -> None:
            raise ApiError(403, "Forbidden", path)

    metrics = SpeakerMetrics(CollectorRegistry(), "test")
    teller = EventTeller(cast("KubeClient", Refusing()), SETTINGS, metrics)
    teller.tell(EVENT)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(teller.run())
        await asyncio.sleep(5)
        telling.cancel()
    assert results(metrics) == {"failed": 1}
