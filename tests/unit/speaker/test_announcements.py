"""Whole speakers on a segment with a host that is no node: who announces, and what is said of the host."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from baremetal_lb.addresses import parse_address

if TYPE_CHECKING:
    from tests.unit.speaker.conftest import Cluster

IPV4, IPV6 = "192.0.2.100", "2001:db8:0:2::100"
HOST = bytes.fromhex("020000000099")
POOL = "/apis/baremetal-lb.io/v1/ipaddresspools/pool"
BOTH_FAMILIES = pytest.mark.parametrize("address", [IPV4, IPV6])


async def set_policy(cluster: "Cluster", policy: str) -> None:
    pool = cluster.server.objects[POOL]
    await cluster.server.put(POOL, {**pool, "spec": {**pool["spec"], "conflictPolicy": policy}})
    await asyncio.sleep(0.2)


def take(cluster: "Cluster", address: str) -> None:
    """Let the foreign host take the address, and tell everybody once."""
    cluster.segment.foreign[parse_address(address)] = HOST
    for station in cluster.segment.stations.values():
        station.hear_mac("announcement_heard", parse_address(address), HOST)


def leave(cluster: "Cluster", address: str) -> None:
    del cluster.segment.foreign[parse_address(address)]


def said(cluster: "Cluster") -> dict[str, dict[str, Any]]:
    """What the SpeakerStatuses say of conflicts: the entries by address, without their time."""
    found = {}
    for path, raw in cluster.server.objects.items():
        if "/speakerstatuses/" in path:
            for entry in raw["status"]["conflicts"]:
                found[entry["address"]] = {name: one for name, one in entry.items() if name != "since"}
    return found


def told(cluster: "Cluster", reason: str) -> list[str]:
    return [message for one, message in cluster.events() if one == reason]


@BOTH_FAMILIES
async def test_a_defended_address_stays_and_the_host_is_told_of_until_it_is_gone(
    running: "Cluster", address: str
) -> None:
    holder = running.segment.holder(address)
    take(running, address)
    await asyncio.sleep(70)
    assert running.segment.holder(address) == holder
    assert said(running) == {address: {"address": address, "mac": HOST.hex(":"), "interface": "eth0"}}
    (message,) = told(running, "AddressConflict")
    assert f"{holder} goes on announcing it (conflictPolicy Defend)" in message
    assert told(running, "ConflictEnded") == []

    leave(running, address)
    await asyncio.sleep(65)
    assert said(running) == {}
    assert len(told(running, "ConflictEnded")) == 1
    assert len(told(running, "AddressConflict")) == 1


@BOTH_FAMILIES
@pytest.mark.parametrize("policy", ["Yield", "Quarantine"])
async def test_an_address_is_yielded_by_every_node_until_the_host_is_gone(
    running: "Cluster", address: str, policy: str
) -> None:
    await set_policy(running, policy)
    holder = running.segment.holder(address)
    take(running, address)
    await asyncio.sleep(20)
    assert running.segment.holder(address) is None
    assert list(said(running)) == [address]
    (message,) = told(running, "AddressConflict")
    assert f"{holder} does not announce it while that host does (conflictPolicy {policy})" in message

    leave(running, address)
    await asyncio.sleep(80)
    assert running.segment.holder(address) is not None
    assert said(running) == {}


@BOTH_FAMILIES
async def test_nothing_more_is_said_of_an_address_that_no_service_has_any_more(
    running: "Cluster", address: str
) -> None:
    """As after a Service has left an address in quarantine: nobody listens there any more."""
    await set_policy(running, "Quarantine")
    take(running, address)
    await asyncio.sleep(3)
    assert list(said(running)) == [address]

    others = [str(parse_address(one) + 1) if one == address else one for one in (IPV4, IPV6)]
    await running.service("web", *others)
    await asyncio.sleep(3)
    assert said(running) == {}
    assert running.segment.holder(address) is None
    for one in others:
        assert running.segment.holder(one) is not None
