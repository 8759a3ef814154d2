"""Which node holds an address: spread when they are given, kept where they are, moved only for a reason."""

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial

import pytest

from baremetal_lb.addresses import Address, Family, parse_address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}
SERVICES = 15
BLOCKS = [f"198.51.100.101-198.51.100.{100 + SERVICES}", f"2001:db8:100::101-2001:db8:100::{100 + SERVICES}"]
MOVES_WITHIN_SECONDS = 10.0
STAYS_SECONDS = 5.0
PREEMPTION_SECONDS = 3
GAP_LIMIT_SECONDS = 1.0

pytestmark = pytest.mark.usefixtures("healthy_afterwards")

Holders = Mapping[Address, str]


def said(lab: Lab) -> dict[Address, set[str]]:
    """Read from the SpeakerStatuses which nodes say that they hold an address; dead ones say so for ever."""
    saying: dict[Address, set[str]] = {}
    for status in lab.get_json(objects.collection("SpeakerStatus"))["items"]:
        for one in status.get("status", {}).get("addresses", ()):
            saying.setdefault(parse_address(one["address"]), set()).add(status["metadata"]["name"])
    return saying


@pytest.fixture
def many(sandbox: Sandbox, lab: Lab, client: Vantage) -> Holders:
    """Thirty addresses and who holds each: so say the speakers, and so the segment."""
    pool = sandbox.name("many")
    sandbox.create(objects.pool(pool, BLOCKS))
    sandbox.create(objects.advertisement(pool, [pool]))
    services = [sandbox.request_service(f"web{number}", ECHO) for number in range(SERVICES)]
    addresses = {address for service in services for address in service.assigned()}
    return settled(lab, client, addresses)


def settled(lab: Lab, client: Vantage, addresses: set[Address]) -> dict[Address, str]:
    """Wait until each address has one holder, and see on the segment that it has."""
    saying = wait_for(
        "each address has one holder",
        partial(said, lab),
        lambda seen: seen.keys() == addresses and all(len(nodes) == 1 for nodes in seen.values()),
    )
    for address, nodes in saying.items():
        wait_for(f"{nodes} announces {address}", partial(client.announcers, address), lambda seen: seen == nodes)  # noqa: B023
    return {address: node for address, (node,) in saying.items()}


def test_addresses_are_spread_and_move_only_with_their_node(many: Holders, lab: Lab, client: Vantage) -> None:
    """No node has more than a quarter above its share; the loss of one moves its own; its return moves none."""
    count = Counter(many.values())
    assert max(count.values()) <= math.ceil(1.25 * len(many) / len(lab.topology.nodes))
    assert set(count) == {node.name for node in lab.topology.nodes}

    lost = many[next(iter(many))]
    lab.fail("link", lost)
    for address, before in many.items():
        wait_for(
            f"{address} is announced by a node that is there",
            partial(client.announcers, address),
            lambda seen: len(seen) == 1 and (seen == {before} if before != lost else seen != {lost}),  # noqa: B023
            within=MOVES_WITHIN_SECONDS,
        )
    meanwhile = {address: client.holder(address) for address in many}
    assert {address for address in many if meanwhile[address] != many[address]} == {
        address for address in many if many[address] == lost
    }
    lab.heal("link", lost)
    assert settled(lab, client, set(many)) == meanwhile


@pytest.mark.parametrize("family", list(Family))
def test_a_client_does_not_notice_that_a_node_is_back(
    sandbox: Sandbox, client: Vantage, lab: Lab, family: Family
) -> None:
    sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=(family.value,)).assigned(1)
    wait_for(f"a page from {address}", partial(client.reaches, address))
    lost = client.holder(address)
    lab.fail("link", lost)
    successor = wait_for(
        "the client's kernel knows another node",
        partial(client.neighbour_node, address),
        lambda node: node not in {None, lost},
        within=MOVES_WITHIN_SECONDS,
    )
    wait_for(f"a page from {address}", partial(client.reaches, address))
    with client.traffic(address) as traffic:
        lab.heal("link", lost)
        wait_for("one node is left", partial(client.announcers, address), lambda seen: seen == {successor})
        stays(
            "the neighbour stays",
            partial(client.neighbour_node, address),
            lambda node: node == successor,
            seconds=STAYS_SECONDS,
        )
    assert traffic.longest_gap_seconds < GAP_LIMIT_SECONDS


@pytest.mark.parametrize("family", list(Family))
def test_a_preferred_node_gets_the_address_and_keeps_it(
    sandbox: Sandbox, client: Vantage, lab: Lab, family: Family
) -> None:
    """The move is not noticed. When nobody is preferred any more, nothing moves."""
    pool = sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=(family.value,)).assigned(1)
    wait_for(f"a page from {address}", partial(client.reaches, address))
    before = client.holder(address)
    better = next(node.name for node in lab.topology.nodes if node.name != before)
    preference = {"weight": 10, "preference": {"matchLabels": {"kubernetes.io/hostname": better}}}
    with client.traffic(address) as traffic:
        sandbox.patch(
            "L2Advertisement",
            pool,
            {"spec": {"preferredNodeSelectors": [preference], "preemptionDelaySeconds": PREEMPTION_SECONDS}},
        )
        stays(
            "the delay is kept",
            partial(client.announcers, address),
            lambda seen: seen == {before},
            seconds=PREEMPTION_SECONDS - 1.0,
        )
        wait_for(
            "the better node announces, and the client knows",
            lambda: (client.announcers(address), client.neighbour_node(address)),
            lambda seen: seen == ({better}, better),
        )
        sandbox.patch("L2Advertisement", pool, {"spec": {"preferredNodeSelectors": []}})
        stays(
            "the better node keeps it",
            partial(client.announcers, address),
            lambda seen: seen == {better},
            seconds=STAYS_SECONDS,
        )
    assert traffic.longest_gap_seconds < GAP_LIMIT_SECONDS


def test_a_better_node_waits_where_preemption_is_off(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    pool = sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=("IPv4",)).assigned(1)
    before = wait_for("a holder", partial(client.holder, address))
    better = next(node.name for node in lab.topology.nodes if node.name != before)
    preference = {"weight": 10, "preference": {"matchLabels": {"kubernetes.io/hostname": better}}}
    spec = {"preferredNodeSelectors": [preference], "preemption": "Never", "preemptionDelaySeconds": 0}
    sandbox.patch("L2Advertisement", pool, {"spec": spec})
    stays("it stays", partial(client.announcers, address), lambda seen: seen == {before}, seconds=STAYS_SECONDS)
    lab.fail("link", before)
    wait_for("the better one succeeds", partial(client.announcers, address), lambda seen: seen == {better})


def test_a_speaker_that_is_killed_moves_no_address_of_another(many: Holders, lab: Lab, client: Vantage) -> None:
    killed = many[next(iter(many))]
    lab.fail("speaker", killed)
    stays(
        "the others keep theirs",
        partial(said, lab),
        lambda seen: all(node in seen[address] for address, node in many.items() if node != killed),
        seconds=STAYS_SECONDS,
    )
    after = settled(lab, client, set(many))
    assert {many[address] for address in many if after[address] != many[address]} <= {killed}


def test_all_speakers_are_replaced_one_after_the_other(many: Holders, lab: Lab, client: Vantage) -> None:
    """Every address has one holder afterwards."""
    lab.kubectl("rollout", "restart", "daemonset/speaker", "-n", PRODUCT_NAMESPACE)
    lab.kubectl("rollout", "status", "daemonset/speaker", "-n", PRODUCT_NAMESPACE, "--timeout=180s", timeout=190)
    settled(lab, client, set(many))


def test_what_the_speakers_say_is_readable(many: Holders, lab: Lab) -> None:
    header, *rows = [line.split() for line in lab.kubectl("get", "lbspeaker").splitlines()]
    assert header == ["NAME", "ADDRESSES", "INTERFACES", "CONFLICTS", "AGE"]
    count = Counter(many.values())
    assert {tuple(row[:-1]) for row in rows} == {
        (node.name, str(count[node.name]), "eth0", "0") for node in lab.topology.nodes
    }


def test_a_speaker_status_goes_with_its_node_and_comes_back_when_it_is_deleted(lab: Lab) -> None:
    node = lab.topology.nodes[0]
    path = f"{objects.collection('SpeakerStatus')}/{node.name}"
    before = lab.get_json(path)
    (owner,) = before["metadata"]["ownerReferences"]
    assert owner["uid"] == lab.get_json(f"/api/v1/nodes/{node.name}")["metadata"]["uid"]
    assert [one["name"] for one in before["status"]["interfaces"]] == ["eth0"]
    lab.request("DELETE", path)
    after = wait_for("it is there again", partial(lab.get_json, path), lambda seen: seen.get("status"))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_node_that_an_operator_declares_off_gives_its_address_up(sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
    sandbox.offer()
    (address,) = sandbox.request_service("web", ECHO, families=("IPv4",)).assigned(1)
    holder = wait_for("a holder", partial(client.holder, address))
    taint = "node.kubernetes.io/out-of-service"
    lab.kubectl("taint", "node", holder, f"{taint}=nodeshutdown:NoSchedule")
    try:
        wait_for(
            "another node announces it",
            partial(client.announcers, address),
            lambda seen: len(seen) == 1 and holder not in seen,
        )
    finally:
        lab.kubectl("taint", "node", holder, f"{taint}-")
