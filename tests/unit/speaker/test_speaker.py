"""Whole speakers around a simulated API server and a simulated segment, in virtual time."""

import asyncio
from time import process_time
from typing import TYPE_CHECKING

import pytest

from baremetal_lb.addresses import parse_address

if TYPE_CHECKING:
    from tests.unit.speaker.conftest import Cluster

IPV4, IPV6 = "192.0.2.100", "2001:db8:0:2::100"
BOTH = (IPV4, IPV6)


def holders(cluster: "Cluster") -> dict[str, str | None]:
    return {address: cluster.segment.holder(address) for address in BOTH}


def holder_of(cluster: "Cluster", address: str) -> str:
    holder = cluster.segment.holder(address)
    assert holder is not None
    return holder


def successors(cluster: "Cluster", address: str) -> tuple[str, ...]:
    """Who follows the holder, in the order in which they do."""
    (one, *_) = cluster.members.values()
    return one.speaker.elections.successors(parse_address(address))


async def test_each_address_has_one_holder(running: "Cluster") -> None:
    assert set(holders(running).values()) <= {"node1", "node2", "node3"}
    assert None not in holders(running).values()


async def test_nothing_is_announced_before_the_own_lease_is_seen(cluster: "Cluster") -> None:
    member = cluster.start("node1")
    member.connection.refuses = lambda method, path: method in {"PUT", "POST"} and "leases" in path
    await asyncio.sleep(30)
    assert holders(cluster) == {IPV4: None, IPV6: None}
    assert not member.speaker.health().is_ready
    member.connection.refuses = lambda _method, _path: False
    await asyncio.sleep(2)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}
    assert member.speaker.health().is_ready


async def test_nothing_is_announced_while_the_api_server_is_away_at_the_start(cluster: "Cluster") -> None:
    await cluster.server.stop()
    member = cluster.start("node1")
    await asyncio.sleep(60)
    assert holders(cluster) == {IPV4: None, IPV6: None}
    assert member.speaker.health().is_live
    assert "not listed yet" in member.speaker.health().detail
    cluster.server.start()
    await asyncio.sleep(6)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}


@pytest.mark.parametrize("address", BOTH)
@pytest.mark.parametrize(
    ("lose", "within"),
    [
        pytest.param("kill", 0.1, id="its beat process has a last word: as soon as the segment was asked"),
        pytest.param("lose", 0.45, id="it falls silent: after three beats"),
    ],
)
async def test_a_dead_holder_is_replaced(running: "Cluster", address: str, lose: str, within: float) -> None:
    holder = holder_of(running, address)
    await getattr(running, lose)(holder)
    await asyncio.sleep(6)
    assert running.segment.holder(address) not in {None, holder}
    assert 0.06 < running.segment.silent_seconds(address) < within
    assert running.segment.contested_seconds(address) == 0.0


@pytest.mark.parametrize("address", BOTH)
async def test_without_beats_a_dead_holder_is_replaced_within_the_lease(cluster: "Cluster", address: str) -> None:
    await cluster.server.remove("/api/v1/namespaces/baremetal-lb-system/secrets/speaker-beats")
    for node in ("node1", "node2", "node3"):
        cluster.start(node)
    await asyncio.sleep(5.3)
    holder = holder_of(cluster, address)
    await cluster.kill(holder)
    await asyncio.sleep(6)
    assert cluster.segment.holder(address) not in {None, holder}
    assert 1.9 < cluster.segment.silent_seconds(address) < 3.2


@pytest.mark.parametrize("address", BOTH)
async def test_the_next_one_follows_where_the_successor_is_dead_too(running: "Cluster", address: str) -> None:
    holder = holder_of(running, address)
    successor, last = successors(running, address)
    for lost in (holder, successor):
        await running.lose(lost)
    await asyncio.sleep(1.5)
    assert running.segment.holder(address) == last
    assert running.segment.silent_seconds(address) < 0.6


async def test_where_only_the_beats_are_blocked_nothing_moves(running: "Cluster") -> None:
    """Everybody thinks that everybody is dead, asks the segment, and hears the holder."""
    before, history = holders(running), list(running.segment.history)
    running.beats.cut_off = {"node1", "node2", "node3"}
    await asyncio.sleep(30)
    assert {node for _, node, _ in running.segment.asked} == {"node1", "node2", "node3"}
    running.beats.cut_off = set()
    await asyncio.sleep(10)
    assert holders(running) == before
    assert running.segment.history == history


@pytest.mark.parametrize("address", BOTH)
async def test_a_quick_restart_moves_only_its_own(running: "Cluster", address: str) -> None:
    before = holders(running)
    holder = holder_of(running, address)
    await running.kill(holder)
    await asyncio.sleep(1.0)
    running.start(holder)
    await asyncio.sleep(10)
    after = holders(running)
    assert after[address] not in {None, holder}
    assert {one for one in BOTH if after[one] != before[one]} == {one for one in BOTH if before[one] == holder}
    assert running.segment.silent_seconds(address) < 0.1


@pytest.mark.parametrize("address", BOTH)
async def test_a_planned_stop_leaves_no_gap(running: "Cluster", address: str) -> None:
    holder = holder_of(running, address)
    member = running.members.pop(holder)
    stopped_at = asyncio.get_running_loop().time()
    member.stop_event.set()
    await member.task
    assert running.segment.holder(address) not in {None, holder}
    taken_over_at = next(at for at, _, nodes in running.segment.history if at >= stopped_at and nodes != {holder})
    assert taken_over_at - stopped_at < 0.05
    assert running.segment.silent_seconds(address) == 0.0


async def test_a_returning_node_moves_nothing(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    await running.kill(holder)
    await asyncio.sleep(10)
    meanwhile = holders(running)
    running.start(holder)
    await asyncio.sleep(5)
    assert holders(running) == meanwhile


@pytest.mark.parametrize("forgetful", [False, True], ids=["with its history", "without its history"])
async def test_an_outage_of_the_api_server_changes_nothing(running: "Cluster", forgetful: bool) -> None:
    before, history = holders(running), list(running.segment.history)
    await running.server.stop()
    await asyncio.sleep(120)
    assert holders(running) == before
    running.server.start(forgetful=forgetful)
    await asyncio.sleep(15)
    assert holders(running) == before
    assert running.segment.history == history


@pytest.mark.parametrize("forgetful", [False, True], ids=["with its history", "without its history"])
async def test_a_service_deleted_during_an_outage_is_withdrawn_afterwards(running: "Cluster", forgetful: bool) -> None:
    await running.server.stop()
    await asyncio.sleep(20)
    await running.server.remove("/api/v1/namespaces/default/services/web")
    running.server.start(forgetful=forgetful)
    await asyncio.sleep(5)
    assert holders(running) == {IPV4: None, IPV6: None}


async def test_a_death_during_an_outage_is_noticed_afterwards(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    await running.server.stop()
    await asyncio.sleep(20)
    await running.kill(holder)
    await asyncio.sleep(0.5)
    successor = running.segment.holder(IPV4)
    assert successor not in {None, holder}
    await asyncio.sleep(20)
    running.server.start()
    await asyncio.sleep(8)
    assert running.segment.holder(IPV4) == successor
    assert IPV4 in said(running, str(successor))


async def test_all_deaths_but_the_last_are_noticed_while_the_api_server_is_away(running: "Cluster") -> None:
    """Nobody can write that it took over, and yet each holder has successors that know of it."""
    await running.server.stop()
    await asyncio.sleep(20)
    for _ in range(2):
        await running.lose(holder_of(running, IPV4))
        await asyncio.sleep(5)
    assert holders(running) == dict.fromkeys(BOTH, next(iter(running.members)))
    assert running.segment.silent_seconds(IPV4) < 0.7


async def test_a_holder_that_is_cut_off_from_the_api_server_goes_on_alone(running: "Cluster") -> None:
    """For the others its Lease expires, but it answers on the segment."""
    before, history = holders(running), list(running.segment.history)
    holder = holder_of(running, IPV4)
    await running.members[holder].connection.cut()
    await asyncio.sleep(30)
    await running.members[holder].connection.cut(cut=False)
    await asyncio.sleep(6)
    assert holders(running) == before
    assert running.segment.history == history


@pytest.mark.parametrize("alone", ["node1", "node2", "node3"])
async def test_a_node_that_was_cut_off_from_all_others_yields_and_takes_nothing(running: "Cluster", alone: str) -> None:
    """It holds all addresses on its side meanwhile. What it had before stays where it went, the rest never moved."""
    before = holders(running)
    running.cut_off(alone)
    await running.members[alone].connection.cut()
    await asyncio.sleep(10)
    assert all(alone in nodes and len(nodes) == 2 for nodes in running.segment.holders.values())
    running.cut_off()
    await asyncio.sleep(0.4)
    after = holders(running)
    assert alone not in after.values()
    assert all(after[address] == holder for address, holder in before.items() if holder != alone)
    await running.members[alone].connection.cut(cut=False)
    await asyncio.sleep(10)
    assert holders(running) == after


async def test_two_nodes_that_were_cut_off_from_each_other_settle_alone(cluster: "Cluster") -> None:
    for node in ("node1", "node2"):
        cluster.start(node)
    await asyncio.sleep(5)
    await cluster.server.stop()
    cluster.cut_off("node2")
    await asyncio.sleep(10)
    assert all(nodes == {"node1", "node2"} for nodes in cluster.segment.holders.values())
    cluster.cut_off()
    await asyncio.sleep(0.4)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}
    cluster.server.start()
    await asyncio.sleep(10)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}


async def test_a_speaker_that_can_not_renew_keeps_what_it_has_and_judges_nobody(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    member = running.members[holder]
    member.connection.refuses = lambda method, _path: method == "PUT"
    for other in {"node1", "node2", "node3"} - {holder}:
        await running.kill(other)
    await asyncio.sleep(20)
    assert running.segment.holder(IPV4) == holder
    assert "does not come back" in member.speaker.health().detail


async def test_local_policy_follows_the_endpoints(running: "Cluster") -> None:
    await running.service("web", *BOTH, policy="Local")
    for node in ("node1", "node3", "node2"):
        await running.endpoints("web", node)
        await asyncio.sleep(0.1)
        assert holders(running) == {IPV4: node, IPV6: node}


async def test_without_endpoints_nobody_announces(running: "Cluster") -> None:
    await running.endpoints("web")
    await asyncio.sleep(0.1)
    assert holders(running) == {IPV4: None, IPV6: None}


async def test_an_interface_that_goes_moves_the_addresses(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    member = running.members[holder]
    member.driver.offer()
    member.speaker.interfaces_changed()
    await asyncio.sleep(0.2)
    assert running.segment.holder(IPV4) not in {None, holder}


async def test_interfaces_are_those_the_advertisement_names(running: "Cluster") -> None:
    running.members["node2"].driver.offer("eth0", "eth7")
    running.members["node2"].speaker.interfaces_changed()
    await running.advertisement(interfaces=["eth7"])
    await asyncio.sleep(0.2)
    assert holders(running) == {IPV4: "node2", IPV6: "node2"}
    assert {one.interfaces for one in running.members["node2"].driver.wishes.values()} == {frozenset({"eth7"})}


async def test_a_node_that_is_deleted_loses_its_addresses(running: "Cluster") -> None:
    """[D49]"""
    holder = holder_of(running, IPV4)
    await running.server.remove(f"/api/v1/nodes/{holder}")
    await asyncio.sleep(0.1)
    assert running.segment.holder(IPV4) not in {None, holder}


async def test_a_node_that_is_deleted_after_its_death_is_no_peer_any_more(running: "Cluster") -> None:
    await running.lose("node3")
    await asyncio.sleep(5)
    assert "node3" in running.members["node1"].beats.peers
    await running.server.remove("/apis/baremetal-lb.io/v1/speakerstatuses/node3")
    await running.server.remove("/api/v1/nodes/node3")
    await asyncio.sleep(1.1)
    assert set(running.members["node1"].beats.peers) == {"node2"}


async def test_the_exclude_label_moves_the_addresses(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    await running.node(holder, labels={"node.kubernetes.io/exclude-from-external-load-balancers": ""})
    await asyncio.sleep(0.1)
    assert running.segment.holder(IPV4) not in {None, holder}


async def test_removing_the_advertisement_withdraws(running: "Cluster") -> None:
    await running.server.remove("/apis/baremetal-lb.io/v1/l2advertisements/l2")
    await asyncio.sleep(0.1)
    assert holders(running) == {IPV4: None, IPV6: None}


async def test_heartbeats_cause_no_decisions(running: "Cluster") -> None:
    member = running.members["node1"]
    before = member.decisions()
    for beat in range(5):
        raw = running.server.objects["/api/v1/nodes/node2"]
        ready = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": beat}]}
        await running.server.put("/api/v1/nodes/node2", {**raw, "status": raw["status"] | ready})
        await asyncio.sleep(1)
    assert member.decisions() == before


async def test_a_change_of_one_service_causes_decisions_on_its_addresses_only(running: "Cluster") -> None:
    for number in range(10, 20):
        await running.service(f"other-{number}", f"192.0.2.{number}")
    await asyncio.sleep(1)
    member = running.members["node1"]
    before = member.decisions()
    await running.service("other-15", "192.0.2.15", policy="Local")
    await asyncio.sleep(1)
    assert member.decisions() == before + 1


async def test_two_services_on_one_address_have_one_holder(running: "Cluster") -> None:
    await running.service("also", IPV4, policy="Local")
    await running.endpoints("also", "node1")
    await asyncio.sleep(0.1)
    assert running.segment.holder(IPV4) == "node1"
    await running.server.remove("/api/v1/namespaces/default/services/also")
    await asyncio.sleep(0.1)
    assert running.segment.holder(IPV4) is not None


async def test_the_new_holder_tells_once_and_nobody_else(running: "Cluster") -> None:
    await asyncio.sleep(10)
    told = sorted(running.events())
    expected = [
        ("Announced", f"node {holder} announces {address} on eth0") for address, holder in holders(running).items()
    ]
    assert told == sorted(expected)


async def test_a_service_that_comes_back_is_told_anew(running: "Cluster") -> None:
    await running.server.remove("/api/v1/namespaces/default/services/web")
    await asyncio.sleep(1)
    await running.service("web", *BOTH)
    await asyncio.sleep(1)
    assert sorted(reason for reason, _ in running.events()) == ["Announced"] * 4


async def test_an_address_that_was_assigned_is_announced_without_its_pool(running: "Cluster") -> None:
    before = holders(running)
    await running.service("web", *BOTH, vouched=True)
    await running.pool("198.51.100.0/24")
    await asyncio.sleep(1)
    assert holders(running) == before
    await running.service("web", *BOTH)
    await asyncio.sleep(1)
    assert holders(running) == {IPV4: None, IPV6: None}


async def test_that_nobody_announces_is_told_once_when_it_lasts(running: "Cluster") -> None:
    await running.endpoints("web")
    await asyncio.sleep(4)
    assert "NoEndpoint" not in dict(running.events())
    await asyncio.sleep(20)
    told = [message for reason, message in running.events() if reason == "NoEndpoint"]
    assert sorted(told) == [
        f"no node announces {address} (NoEndpoint: node1, node2, node3)" for address in sorted(BOTH)
    ]


async def test_a_passing_lack_of_endpoints_is_not_told(running: "Cluster") -> None:
    before = running.events()
    await running.endpoints("web")
    await asyncio.sleep(2)
    await running.endpoints("web", "node1")
    await asyncio.sleep(20)
    assert running.events() == before


async def test_the_lease_belongs_to_its_node(running: "Cluster") -> None:
    lease = running.lease("node1")
    assert lease["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "uid-node1"}
    ]


async def test_a_lease_that_somebody_deletes_is_made_again(running: "Cluster") -> None:
    await running.server.remove("/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases/speaker-node1")
    await asyncio.sleep(3)
    assert running.lease("node1")["spec"]["holderIdentity"].startswith("node1/")
    assert None not in holders(running).values()


async def test_a_lease_that_somebody_edits_is_renewed_all_the_same(running: "Cluster") -> None:
    lease = running.lease("node1")
    path = "/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases/speaker-node1"
    await running.server.put(
        path, {**lease, "metadata": {**lease["metadata"], "labels": {**lease["metadata"]["labels"], "x": "y"}}}
    )
    renewed = lease["spec"]["renewTime"]
    await asyncio.sleep(1.5)
    assert running.lease("node1")["spec"]["renewTime"] != renewed
    assert running.lease("node1")["metadata"]["labels"]["x"] == "y"


async def test_a_failing_task_ends_the_speaker(running: "Cluster") -> None:
    member = running.members["node1"]
    member.driver.breaks = True
    await running.service("web", *BOTH, policy="Local")
    await running.endpoints("web", "node1")
    await asyncio.sleep(1)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="the driver broke")):
        await member.task
    del running.members["node1"]


async def test_a_restarted_speaker_stays_silent_until_its_own_new_lease_is_seen(running: "Cluster") -> None:
    """The Lease of its earlier run still says that the node is alive; the others may be taking over all the same."""
    holder = holder_of(running, IPV4)
    await running.kill(holder)
    member = running.start(holder)
    member.connection.refuses = lambda method, _path: method == "PUT"
    await asyncio.sleep(1.5)
    assert running.segment.holder(IPV4) is None
    await asyncio.sleep(3)
    assert running.segment.holder(IPV4) not in {None, holder}


async def test_a_stopping_speaker_ends_once_it_has_heard_the_others_and_takes_its_claims_back(
    running: "Cluster",
) -> None:
    holder = holder_of(running, IPV4)
    running.members[holder].stop_event.set()
    await asyncio.sleep(0.3)
    assert running.members[holder].task.done()
    assert said(running, holder) == {}


async def test_a_stopping_speaker_that_nobody_follows_answers_for_its_grace(cluster: "Cluster") -> None:
    member = cluster.start("node1")
    await asyncio.sleep(5)
    member.stop_event.set()
    await asyncio.sleep(1.9)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}
    await asyncio.sleep(0.2)
    assert holders(cluster) == {IPV4: None, IPV6: None}
    assert member.task.done()


async def test_a_planned_stop_leaves_no_gap_while_the_api_server_is_away(running: "Cluster") -> None:
    await running.server.stop()
    await asyncio.sleep(10)
    holder = holder_of(running, IPV4)
    running.members[holder].stop_event.set()
    await asyncio.sleep(5)
    assert running.members.pop(holder).task.done()
    assert running.segment.holder(IPV4) not in {None, holder}
    assert running.segment.silent_seconds(IPV4) == 0.0


async def test_a_lease_that_was_written_meanwhile_is_released_all_the_same(running: "Cluster") -> None:
    """The answer to our last renewal may be lost, so what we know of the Lease may be old."""
    holder = holder_of(running, IPV4)
    member = running.members[holder]
    path = f"/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases/speaker-{holder}"
    await running.server.put(path, running.lease(holder))
    member.stop_event.set()
    await asyncio.sleep(0.1)
    assert "holderIdentity" not in running.lease(holder)["spec"]


async def test_the_lease_of_a_later_run_is_left_alone(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    member = running.members[holder]
    running.start(holder)
    await asyncio.sleep(0.1)
    later = running.lease(holder)["spec"]["holderIdentity"]
    member.stop_event.set()
    await asyncio.sleep(0.1)
    assert running.lease(holder)["spec"]["holderIdentity"] == later


async def test_a_lost_stream_is_not_ready_at_once(running: "Cluster") -> None:
    member = running.members["node1"]
    assert member.speaker.health().is_ready
    await member.connection.cut()
    await asyncio.sleep(0.1)
    assert not member.speaker.health().is_ready
    assert member.speaker.health().is_live


async def test_the_snapshot_tells_what_is(running: "Cluster") -> None:
    snapshot = running.members["node1"].speaker.snapshot()
    assert snapshot.addresses_by_reason == {"Elected": 2}
    assert snapshot.speakers_alive == 3
    assert snapshot.view_trusted
    assert set(snapshot.watch_reconnects.values()) == {0}


async def test_four_thousand_services_are_decided_on_in_a_moment(running: "Cluster") -> None:
    """A node appears: everything is decided anew, well within a second."""
    for number in range(4000):
        await running.service(f"s{number}", f"192.0.{2 if number < 256 else 3 + number // 256}.{number % 256}")
    await asyncio.sleep(5)
    began = process_time()
    await running.node("node4")
    await asyncio.sleep(1)
    assert process_time() - began < 1.0 * len(running.members)


def said(cluster: "Cluster", node: str) -> dict[str, int]:
    """What the SpeakerStatus says: addresses and terms."""
    status = cluster.server.objects[f"/apis/baremetal-lb.io/v1/speakerstatuses/{node}"]["status"]
    assert status["addressCount"] == len(status["addresses"])
    return {one["address"]: one["term"] for one in status["addresses"]}


async def test_each_speaker_says_what_it_holds_and_on_what(running: "Cluster") -> None:
    path = "/apis/baremetal-lb.io/v1/speakerstatuses/node1"
    raw = running.server.objects[path]
    assert raw["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "uid-node1"}
    ]
    assert raw["status"]["interfaces"] == [
        {"name": "eth0", "mac": "02:00:00:00:00:01", "onlyByName": False, "networks": []}
    ]
    for address, holder in holders(running).items():
        assert address in said(running, str(holder))


async def test_what_is_said_follows_within_a_fifth_of_a_second_and_rests_after_that(running: "Cluster") -> None:
    await running.service("also", "192.0.2.101")
    await running.endpoints("also", "node1")
    await asyncio.sleep(0.2)
    assert "192.0.2.101" in said(running, holder_of(running, "192.0.2.101"))
    writes = len([path for _, _, path, _ in running.server.history if "speakerstatuses" in path])
    await asyncio.sleep(60)
    assert len([path for _, _, path, _ in running.server.history if "speakerstatuses" in path]) == writes


async def test_many_changes_are_written_once_a_second(running: "Cluster") -> None:
    started = running.server.version
    for number in range(10, 60):
        await running.service(f"s{number}", f"192.0.2.{number}")
        await running.endpoints(f"s{number}", "node1")
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    assert sum(len(said(running, node)) for node in running.members) == 52
    for node in running.members:
        written = [path for at, _, path, _ in running.server.history if at > started and path.endswith(f"es/{node}")]
        assert len(written) <= 7


async def test_a_status_that_somebody_deletes_is_written_again(running: "Cluster") -> None:
    before = {node: said(running, node) for node in running.members}
    await running.server.remove("/apis/baremetal-lb.io/v1/speakerstatuses/node1")
    await asyncio.sleep(1.2)
    assert {node: said(running, node) for node in running.members} == before


async def test_a_status_that_can_not_be_written_is_tried_again(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    running.members[holder].connection.refuses = lambda method, _path: method == "PATCH"
    await running.endpoints("web")
    await asyncio.sleep(5)
    assert IPV4 in said(running, holder)
    running.members[holder].connection.refuses = lambda _method, _path: False
    await asyncio.sleep(2)
    assert said(running, holder) == {}


async def test_a_successor_begins_a_new_term(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    term = said(running, holder)[IPV4]
    await running.kill(holder)
    await asyncio.sleep(10)
    assert said(running, holder_of(running, IPV4))[IPV4] == term + 1
    running.start(holder)
    await asyncio.sleep(5)
    assert IPV4 not in said(running, holder), "it says what it holds, and that it was followed"


async def test_a_speaker_that_nobody_followed_goes_on_after_a_restart(cluster: "Cluster") -> None:
    cluster.start("node1")
    await asyncio.sleep(5)
    before = said(cluster, "node1")
    await cluster.kill("node1")
    await asyncio.sleep(60)
    cluster.start("node1")
    await asyncio.sleep(5)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}
    assert said(cluster, "node1") == before


async def test_a_service_that_went_while_its_holder_was_away_is_not_said_to_be_held(cluster: "Cluster") -> None:
    cluster.start("node1")
    await asyncio.sleep(5)
    await cluster.kill("node1")
    await cluster.server.remove("/api/v1/namespaces/default/services/web")
    cluster.start("node1")
    await asyncio.sleep(5)
    assert said(cluster, "node1") == {}


async def test_a_node_that_comes_later_gets_what_is_new(cluster: "Cluster") -> None:
    cluster.start("node1")
    await asyncio.sleep(5)
    cluster.start("node2")
    await asyncio.sleep(5)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}
    for number in range(10, 14):
        await cluster.service(f"s{number}", f"192.0.2.{number}")
        await cluster.endpoints(f"s{number}", "node1")
    await asyncio.sleep(2)
    assert len(said(cluster, "node1")) <= 4


def preferring(node: str) -> dict[str, object]:
    return {"weight": 5, "preference": {"matchLabels": {"name": node}}}


async def test_a_better_node_takes_over_after_the_delay_without_a_gap(running: "Cluster") -> None:
    for node in running.members:
        await running.node(node, labels={"name": node})
    better = next(node for node in sorted(running.members) if node not in holders(running).values())
    before = holders(running)
    await running.advertisement(preferredNodeSelectors=[preferring(better)], preemptionDelaySeconds=10)
    await asyncio.sleep(9.9)
    assert holders(running) == before
    await asyncio.sleep(2)
    assert holders(running) == {IPV4: better, IPV6: better}
    assert running.segment.silent_seconds(IPV4) == running.segment.silent_seconds(IPV6) == 0.0
    await running.advertisement()
    await asyncio.sleep(30)
    assert holders(running) == {IPV4: better, IPV6: better}


async def test_a_better_node_that_has_just_been_restarted_is_waited_for(running: "Cluster") -> None:
    """Its clock began later than the holder's: the holder goes on all the same."""
    for node in running.members:
        await running.node(node, labels={"name": node})
    better = next(node for node in sorted(running.members) if node not in holders(running).values())
    await running.advertisement(preferredNodeSelectors=[preferring(better)], preemptionDelaySeconds=30)
    await asyncio.sleep(20)
    await running.kill(better)
    running.start(better)
    await asyncio.sleep(60)
    assert holders(running) == {IPV4: better, IPV6: better}
    assert running.segment.silent_seconds(IPV4) == 0.0


async def test_a_node_that_is_not_ready_for_long_gives_its_addresses_up(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    raw = running.server.objects[f"/api/v1/nodes/{holder}"]
    not_ready = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    await running.server.put(f"/api/v1/nodes/{holder}", {**raw, "status": raw["status"] | not_ready})
    await asyncio.sleep(29.5)
    assert holder_of(running, IPV4) == holder
    await asyncio.sleep(1)
    assert holder_of(running, IPV4) != holder


async def test_a_speaker_that_stood_still_asks_the_segment_whether_it_was_replaced(running: "Cluster") -> None:
    asked, history = len(running.segment.asked), list(running.segment.history)
    running.stand_still(0.29)
    await asyncio.sleep(0.2)
    assert len(running.segment.asked) == asked
    running.stand_still(0.5)
    await asyncio.sleep(0.5)
    again = {(node, str(address)) for _, node, address in running.segment.asked[asked:]}
    assert again == {(holder, address) for address, holder in holders(running).items()}
    assert running.segment.history == history


async def test_what_a_foreign_host_has_is_not_announced_until_it_is_gone(cluster: "Cluster") -> None:
    cluster.segment.foreign[parse_address(IPV4)] = bytes.fromhex("020000000099")
    cluster.start("node1")
    await asyncio.sleep(8)
    assert holders(cluster) == {IPV4: None, IPV6: "node1"}
    assert [reason for reason, _ in cluster.events()].count("AddressConflict") == 1
    assert IPV4 not in said(cluster, "node1")
    cluster.segment.foreign.clear()
    await asyncio.sleep(31)
    assert holders(cluster) == {IPV4: "node1", IPV6: "node1"}


async def test_takeovers_are_counted_by_their_cause(running: "Cluster") -> None:
    holder = holder_of(running, IPV4)
    count = sum(one == holder for one in holders(running).values())
    await running.lose(holder)
    await asyncio.sleep(2)
    registries = [member.metrics.registry for member in running.members.values()]
    name = "baremetal_lb_takeovers_total"
    assert sum(one.get_sample_value(name, {"cause": "Silent"}) or 0 for one in registries) == count
    assert sum(one.get_sample_value(name, {"cause": "Elected"}) or 0 for one in registries) == len(BOTH) - count


async def test_a_speaker_is_not_ready_before_its_beat_process_has_reported(cluster: "Cluster") -> None:
    member = cluster.start("node1")
    await asyncio.sleep(5)
    assert member.speaker.health().is_ready
    member.beats.has_reported = False
    assert "beat process" in member.speaker.health().detail
    assert not member.speaker.health().is_ready


async def test_to_wait_for_a_suspect_costs_no_decisions(running: "Cluster") -> None:
    """Its beats are blocked and it answers on the segment, for as long as that may last."""
    running.beats.cut_off = {holder_of(running, IPV4)}
    await asyncio.sleep(5)
    before = {node: member.decisions() for node, member in running.members.items()}
    await asyncio.sleep(20)
    assert {node: member.decisions() for node, member in running.members.items()} == before
