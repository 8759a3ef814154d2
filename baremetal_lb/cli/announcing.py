"""Who announces the addresses of a Service: what the speakers read is read, and their own functions are asked.

Whether a speaker is alive is seen as the others see it: its Lease must be renewed while we look. No clock is compared.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.announce.condition import AddressReport
from baremetal_lb.announce.decision import decide_l2, explain_l2, nominate_l2
from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.api.status import SpeakerStatus
from baremetal_lb.cli.cluster import read_pages, read_patiently
from baremetal_lb.cluster.endpoints import parse_endpoint_slice
from baremetal_lb.cluster.lease import SPEAKER_SELECTOR, parse_lease
from baremetal_lb.cluster.node import parse_node
from baremetal_lb.cluster.service import ServiceView, parse_time
from baremetal_lb.controller.resource_loader import collection_path
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.settings import LEASE_SECONDS, SpeakerSettings
from baremetal_lb.speaker.elections import Claims, Elections
from baremetal_lb.speaker.state import ClusterState, addressed_service
from baremetal_lb.speaker.statement import parse_statement

SLICES_PATH, NODES_PATH = "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/nodes"
LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Announcing:
    """One address: each node's part, since when its holder says that it holds it, and who would follow."""

    report: AddressReport
    since: str = ""
    successors: tuple[str, ...] = ()


async def read_announcing(
    client: KubeClient, namespace: str, view: ServiceView, views: Iterable[ServiceView]
) -> tuple[Announcing, ...]:
    """Say it of each address of the Service; raise ApiError where something can't be read.

    `views` are all Services, for who has an address depends on how many each node has; our own objects are in
    `namespace`.
    """
    service = addressed_service(view)
    if service is None:
        return ()
    state, said = ClusterState(), dict[str, _Said]()
    for one in views:
        state.service_changed(one.key, addressed_service(one))
    async for raw in read_pages(client, SLICES_PATH):
        state.slice_changed(_key(raw), parse_endpoint_slice(raw))
    for raw in await _items(client, collection_path(SpeakerStatus.names.plural)):
        node, statement = raw["metadata"]["name"], parse_statement(raw)
        state.offer_changed(node, statement.offer)
        said[node] = _Said(statement.claims, _conflicts(raw))
    for raw in await _items(client, collection_path(IPAddressPool.names.plural)):
        state.pool_changed(_key(raw), raw)
    for raw in await _items(client, collection_path(L2Advertisement.names.plural)):
        state.l2_advertisement_changed(_key(raw), raw)
    nodes = await _items(client, NODES_PATH)
    for raw in nodes:
        state.node_changed(_key(raw), parse_node(raw))
    state.unready_changed(frozenset(raw["metadata"]["name"] for raw in nodes if _is_overdue(raw)))
    state.alive_changed(await living_speakers(client, namespace))
    return _decide(state, said, service.addresses)


async def living_speakers(client: KubeClient, namespace: str) -> frozenset[str]:
    """Name the nodes whose speakers renew their Leases; that takes as long as a Lease lasts if one is dead."""
    first = await _leases(client, namespace)
    held = {node: lease.renewed for node, (lease, _) in first.items() if not lease.released}
    ends_at = asyncio.get_running_loop().time() + max((seconds for _, seconds in first.values()), default=0.0)
    alive: set[str] = set()
    while alive < held.keys() and asyncio.get_running_loop().time() < ends_at:
        await asyncio.sleep(LOOK_SECONDS)
        now = await _leases(client, namespace)
        alive |= {node for node in held if node in now and now[node][0].renewed != held[node]}
    return frozenset(alive)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a node says that it holds, and which foreign hosts it hears."""

    claims: Claims
    conflicts: Mapping[Address, str]


def _decide(state: ClusterState, said: Mapping[str, _Said], asked: Iterable[Address]) -> tuple[Announcing, ...]:
    """Decide on all addresses, for shares and watchers depend on all, and tell of those asked for."""
    electorate, elections, nominations = state.electorate, Elections(""), {}
    for node, one in said.items():
        elections.heard(node, one.claims)
    for address in state.take_dirty():
        demand = state.demand(address)
        assert demand is not None, "some Service has it"
        nominations[address] = demand, nominate_l2(demand, electorate)
        elections.nominate(address, nominations[address][1], 0.0)
    elections.deal(0.0)
    answers = []
    for address in asked:
        demand, nomination = nominations[address]
        decision = decide_l2(demand, electorate, nomination, elections.holder(address))
        word = said.get(decision.holder or "", _Said({}, {}))
        claim, conflict = word.claims.get(address), word.conflicts.get(address, "")
        parts = explain_l2(demand, electorate, decision)
        report = AddressReport(address, parts, has_begun=claim is not None, conflict=conflict)
        answers.append(Announcing(report, claim.since if claim else "", elections.successors(address)))
    return tuple(answers)


async def _leases(client: KubeClient, namespace: str) -> Mapping[str, Any]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    raws = await _items(client, path, labelSelector=SPEAKER_SELECTOR)
    leases = ((parse_lease(raw), raw.get("spec", {}).get("leaseDurationSeconds", LEASE_SECONDS)) for raw in raws)
    return {lease.node: (lease, seconds) for lease, seconds in leases}


async def _items(client: KubeClient, path: str, **query: str) -> list[dict[str, Any]]:
    return list((await read_patiently(client, path, **query))["items"])


def _key(raw: Mapping[str, Any]) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def _conflicts(raw: Mapping[str, Any]) -> Mapping[Address, str]:
    told = (raw.get("status") or {}).get("conflicts") or ()
    return {parse_address(one["address"]): f"the host {one['mac']} uses it" for one in told}


def _is_overdue(raw: Mapping[str, Any]) -> bool:
    """Whether the Node has been NotReady for longer than the grace. Here the Node's own word must do for since when."""
    if not parse_node(raw).not_ready:
        return False
    ready = next(one for one in raw["status"]["conditions"] if one["type"] == "Ready")
    seconds = (datetime.now(UTC) - parse_time(ready.get("lastTransitionTime"))).total_seconds()
    return seconds > SpeakerSettings("").not_ready_grace_seconds
