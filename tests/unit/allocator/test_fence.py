"""A new leader against the late writes of the former one: nothing is given out before they can do no harm."""

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.allocator.allocate import Allocation
from baremetal_lb.allocator.fence import Fence
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.reasons import Reason

if TYPE_CHECKING:
    from tests.unit.allocator.conftest import Cluster


def view(name: str, version: int) -> ServiceView:
    return parse_service({"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}})


def fence_of(*views: ServiceView) -> Fence:
    fence = Fence()
    fence.raise_for(views)
    return fence


def test_there_is_no_fence_where_nothing_is_unfinished() -> None:
    assert not fence_of().is_up


def test_a_fence_holds_until_every_service_has_left_its_version() -> None:
    one, other = view("one", 7), view("other", 8)
    fence = fence_of(one, other)
    assert fence.is_up

    assert not fence.passed(view("one", 9))
    assert (fence.holds(one.key), fence.holds(other.key)) == (False, True)
    assert fence.passed_by(other.key)
    assert not fence.is_up


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(view("one", 7), id="the same version again"),
        pytest.param(view("stranger", 9), id="a Service that need not be touched"),
    ],
)
def test_a_fence_is_not_passed_by(seen: ServiceView) -> None:
    fence = fence_of(view("one", 7))

    assert not fence.passed(seen)
    assert fence.is_up


def test_it_is_passed_once() -> None:
    fence = fence_of(view("one", 7))

    assert fence.passed(view("one", 8))
    assert not fence.passed(view("one", 9))
    assert not fence.passed_by(view("one", 9).key)


def test_to_touch_a_service_takes_nothing_away_and_says_something_new() -> None:
    """A text told before would write nothing, and the version would stay."""
    fence, addresses = Fence(), (ip_address("192.0.2.1"), ip_address("2001:db8::1"))
    has = {Family.IPV4: addresses[:1], Family.IPV6: addresses[1:]}

    kept, refused = fence.outcome(view("one", 7), has), fence.outcome(view("one", 8), {})

    assert isinstance(kept, Allocation)
    assert (kept.addresses, kept.reason) == (addresses, Reason.LEADER_CHANGED)
    assert isinstance(refused, Refusal)
    assert kept.message != refused.message


def test_a_late_write_fails_once_its_service_was_touched(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 0)
    cluster.service("frozen")
    cluster.send_late()

    cluster.restart(fence=True)
    cluster.settle()
    cluster.delete("frozen")
    cluster.service("frozen")
    cluster.service("other")
    cluster.settle()

    assert cluster.let_late_writes_arrive() == [False]
    assert (cluster.has("frozen"), cluster.has("other")) == ([0], [])


def test_a_late_write_that_arrives_first_is_respected(cluster: "Cluster") -> None:
    """The former leader gave the one address to the younger; the older one, which is new, must not get it as well."""
    cluster.pool("gold", 0, 0)
    cluster.service("older", type="ClusterIP")
    cluster.service("frozen")
    cluster.send_late()
    cluster.service("older")

    cluster.restart(fence=True)
    cluster.decide()
    assert cluster.let_late_writes_arrive() == [True]
    cluster.settle()

    assert (cluster.has("frozen"), cluster.has("older")) == ([0], [])


def test_nothing_is_given_out_before_all_were_touched(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("frozen")
    cluster.restart(fence=True)
    cluster.service("new")
    cluster.decide()

    reasons = {key.name: entry.reason for key, entry in cluster.assigner.entries.items()}
    assert reasons == {"frozen": Reason.LEADER_CHANGED, "new": None}
    assert cluster.assigner.move_one() is None

    cluster.settle()
    assert (cluster.has("frozen"), cluster.has("new")) == ([0], [1])
    assert [event for event in cluster.events if event[0] == "frozen"] == [
        ("frozen", "LeaderChanged"),
        ("frozen", "Assigned"),
    ]


def test_a_service_that_goes_need_not_be_touched(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("frozen")
    cluster.restart(fence=True)
    cluster.service("new")
    cluster.delete("frozen")
    cluster.settle()

    assert cluster.has("new") == [0]


def test_who_has_all_that_it_asks_for_is_not_touched(cluster: "Cluster") -> None:
    """A take-over in a steady state writes nothing."""
    cluster.pool("gold", 0, 3)
    cluster.service("served")
    cluster.service("foreign")
    cluster.status("foreign", 99)
    cluster.service("other", type="ClusterIP")
    cluster.settle()
    writes = cluster.writes
    cluster.restart(fence=True)
    cluster.settle()

    assert cluster.writes == writes


def test_a_late_move_meets_nobody(cluster: "Cluster") -> None:
    """The former leader was moving a Service that, by its status, has all that it asks for."""
    cluster.pool("gold", 0, 3, reclaimPolicy="Reassign")
    cluster.service("moving")
    cluster.settle()
    cluster.pool("gold", 3, 3, reclaimPolicy="Reassign")
    cluster.settle()
    cluster.send_late()

    cluster.restart(fence=True)
    cluster.service("new")
    cluster.settle()

    assert cluster.let_late_writes_arrive() == [False]
    assert (cluster.has("moving"), cluster.has("new")) == ([0], [3])


def test_a_leader_that_steps_down_forgets_what_it_decided_and_learns_it_anew(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 0)
    cluster.service("served")
    cluster.service("waiting")
    cluster.settle()
    cluster.assigner.stop()
    cluster.delete("served")
    assert cluster.assigner.decide(9) == []

    cluster.start()
    cluster.settle()
    assert cluster.has("waiting") == [0]
