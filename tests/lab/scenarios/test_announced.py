"""What users see of who announces: the condition of a Service, `explain`, and which nodes may announce at all."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.controlplane import PROXY_HEALTH_PORT, proxy_name
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.processes import send
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import stays, wait_for

ANNOUNCED = "baremetal-lb.io/Announced"
ECHO = {"app": "echo"}
STAYS_SECONDS = 4.0
MOVES_WITHIN_SECONDS = 10.0
PROXY_NOTICED_WITHIN_SECONDS = 20.0
ELSEWHERE = ["203.0.113.200/32", "2001:db8:999::200/128"]

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


def announced(service: ServiceHandle) -> Object:
    return service.sandbox.condition("Service", service.name, ANNOUNCED)


def wait_until(service: ServiceHandle, status: str, reason: str) -> Object:
    return wait_for(
        f"{service.name} is told {status}, {reason}",
        partial(announced, service),
        lambda seen: (seen.get("status"), seen.get("reason")) == (status, reason),
    )


@pytest.fixture
def web(sandbox: Sandbox) -> ServiceHandle:
    """A dual-stack Service that is announced, and told so."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    service.assigned()
    wait_until(service, "True", "Announced")
    return service


def test_kubectl_waits_for_it_and_it_names_the_holders(web: ServiceHandle, lab: Lab, client: Vantage) -> None:
    namespace = web.sandbox.namespace
    lab.kubectl("wait", f"--for=condition={ANNOUNCED}", f"service/{web.name}", "-n", namespace, "--timeout=10s")
    message = announced(web)["message"]
    for address in web.addresses():
        assert f"node {client.holder(address)} announces {address} on eth0 (NotElected: " in message


def test_both_conditions_stay_side_by_side(web: ServiceHandle) -> None:
    conditions = web.sandbox.read("Service", web.name)["status"]["conditions"]
    assert {one["type"]: one["status"] for one in conditions} == {
        "baremetal-lb.io/AddressAssigned": "True",
        ANNOUNCED: "True",
    }


def test_a_move_is_told_and_it_was_announced_all_the_while(web: ServiceHandle, lab: Lab, client: Vantage) -> None:
    """The time of the last transition is that of the first announcement."""
    since = announced(web)["lastTransitionTime"]
    address = web.addresses()[0]
    holder = client.holder(address)
    lab.fail("link", holder)
    told = wait_for(
        "another node is named",
        partial(announced, web),
        lambda seen: f"announces {address}" in seen["message"] and f"node {holder} " not in seen["message"],
        within=60,
    )
    assert (told["status"], told["lastTransitionTime"]) == ("True", since)
    lab.heal("link", holder)


def test_why_nobody_announces_is_told_for_each_node(sandbox: Sandbox) -> None:
    """[D51] And when that is mended, that it is."""
    sandbox.offer()
    service = sandbox.request_service("web", {"app": "nobody"})
    addresses = service.assigned()
    told = wait_until(service, "False", "NoEndpoint")
    for address in addresses:
        assert f"no node announces {address} (NoEndpoint: node1, node2, node3)" in told["message"]
    service.patch({"spec": {"selector": ECHO}})
    wait_until(service, "True", "Announced")


def test_a_service_that_becomes_internal_loses_it(web: ServiceHandle) -> None:
    web.patch({"spec": {"type": "ClusterIP", "externalTrafficPolicy": None, "allocateLoadBalancerNodePorts": None}})
    wait_for("it is taken back", partial(announced, web), lambda seen: seen == {})
    stays("it does not come back", partial(announced, web), lambda seen: seen == {}, seconds=STAYS_SECONDS)


def test_what_somebody_took_away_is_told_again(web: ServiceHandle, lab: Lab) -> None:
    path = f"{objects.collection('Service', web.sandbox.namespace)}/{web.name}/status"
    removal = {"status": {"conditions": [{"type": ANNOUNCED, "$patch": "delete"}]}}
    lab.request("PATCH", path, removal, content_type="application/strategic-merge-patch+json")
    wait_until(web, "True", "Announced")


def explained(lab: Lab, service: ServiceHandle) -> tuple[int, dict[str, Any]]:
    name = f"{service.sandbox.namespace}/{service.name}"
    command = [sys.executable, "-m", "baremetal_lb.cli.main", "explain", "service", name, "--output=json"]
    to_cluster = lab.kubectl_command()[:-1]
    done = subprocess.run([*to_cluster, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_explain_says_the_same_as_the_segment_and_the_condition(web: ServiceHandle, lab: Lab, client: Vantage) -> None:
    code, explanation = explained(lab, web)
    assert (code, explanation["notKnown"]) == (0, [])
    assert [one["address"] for one in explanation["announcing"]] == [str(one) for one in web.addresses()]
    for one, address in zip(explanation["announcing"], web.addresses(), strict=True):
        assert (one["announced"], one["holder"]) == (True, client.holder(address))
        others = {node.name for node in lab.topology.nodes} - {one["holder"]}
        assert set(one["successors"]) == others
        assert {entry["node"] for entry in one["nodes"] if entry["reason"] == "NotElected"} == others


def test_explain_knows_a_speaker_that_is_dead(web: ServiceHandle, lab: Lab, client: Vantage) -> None:
    address = web.addresses()[0]
    holder = client.holder(address)
    other = next(node.name for node in lab.topology.nodes if node.name != holder)
    lab.fail("link", other)
    wait_for(
        "it is told",
        lambda: {one["node"]: one["reason"] for one in explained(lab, web)[1]["announcing"][0]["nodes"]},
        lambda seen: seen == {**dict.fromkeys(seen, "NotElected"), holder: "Elected", other: "SpeakerNotAlive"},
        within=30,
    )
    lab.heal("link", other)


def test_an_address_off_the_segment_is_announced_only_where_that_does_not_matter(
    sandbox: Sandbox, client: Vantage
) -> None:
    pool = sandbox.name("elsewhere")
    sandbox.create(objects.pool(pool, ELSEWHERE))
    sandbox.create(objects.advertisement(pool, [pool], segment="OnLink"))
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    told = wait_until(service, "False", "NoEligibleNode")
    assert "(NotOnSegment: node1, node2, node3)" in told["message"]
    assert all(client.announcers(address) == set() for address in addresses)
    sandbox.patch("L2Advertisement", pool, {"spec": {"segment": "Any"}})
    wait_until(service, "True", "Announced")
    for address in addresses:
        wait_for(f"somebody announces {address}", partial(client.announcers, address), lambda seen: len(seen) == 1)


def test_an_address_on_the_segment_is_announced_with_either_rule(sandbox: Sandbox, client: Vantage) -> None:
    pool = sandbox.name("here")
    sandbox.create(objects.pool(pool, sandbox.block.ranges(1)))
    sandbox.create(objects.advertisement(pool, [pool], segment="OnLink"))
    service = sandbox.request_service("web", ECHO)
    for address in service.assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))


def test_to_cordon_a_node_changes_nothing_unless_the_advertisement_says_so(
    web: ServiceHandle, lab: Lab, client: Vantage
) -> None:
    """Then its addresses move; when it is back, none does."""
    pool, address = web.sandbox.name("pool"), web.addresses()[0]
    holder = client.holder(address)
    with cordoned(lab, holder):
        stays("it goes on", partial(client.announcers, address), lambda seen: seen == {holder}, seconds=STAYS_SECONDS)
        with client.traffic(address) as traffic:
            web.sandbox.patch("L2Advertisement", pool, {"spec": {"cordonedNodes": "Leave"}})
            (successor,) = wait_for_another(client, address, holder)
            wait_for("its reason is told", lambda: f"NodeCordoned: {holder}" in announced(web)["message"], within=60)
        assert traffic.longest_gap_seconds < 1.0
    stays("nothing moves back", partial(client.announcers, address), lambda seen: seen == {successor}, seconds=2.0)


def test_a_node_that_the_autoscaler_will_remove_gives_its_addresses_up(
    web: ServiceHandle, lab: Lab, client: Vantage
) -> None:
    address = web.addresses()[0]
    holder = client.holder(address)
    taint = "ToBeDeletedByClusterAutoscaler"
    lab.kubectl("taint", "node", holder, f"{taint}=1:PreferNoSchedule")
    try:
        wait_for_another(client, address, holder)
    finally:
        lab.kubectl("taint", "node", holder, f"{taint}-")


def test_a_node_whose_proxy_does_not_answer_gives_its_addresses_up(
    web: ServiceHandle, lab: Lab, client: Vantage
) -> None:
    """[D52] Where the speakers are told whom to ask."""
    address = web.addresses()[0]
    with asked_for_their_proxy(lab):
        holder = wait_for("a holder", partial(client.announcers, address), lambda seen: len(seen) == 1).pop()
        proxy = lab.record.process(proxy_name(holder))
        send(proxy.pid, signal.SIGSTOP)
        try:
            wait_for_another(client, address, holder, within=PROXY_NOTICED_WITHIN_SECONDS)
            status = lab.get_json(f"{objects.collection('SpeakerStatus')}/{holder}")["status"]
            assert status["proxyAnswers"] is False
        finally:
            send(proxy.pid, signal.SIGCONT)


def wait_for_another(client: Vantage, address: Address, before: str, within: float = MOVES_WITHIN_SECONDS) -> set[str]:
    return wait_for(
        f"another node than {before} announces {address}",
        partial(client.announcers, address),
        lambda seen: len(seen) == 1 and before not in seen,
        within=within,
    )


@contextmanager
def cordoned(lab: Lab, node: str) -> Iterator[None]:
    lab.kubectl("cordon", node)
    try:
        yield
    finally:
        lab.kubectl("uncordon", node)


@contextmanager
def asked_for_their_proxy(lab: Lab) -> Iterator[None]:
    """Have all speakers ask their kube-proxy; each change of that replaces them one by one."""
    set_environment(lab, f"PROXY_HEALTH_URL=http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz")
    try:
        yield
    finally:
        set_environment(lab, "PROXY_HEALTH_URL-")


def set_environment(lab: Lab, change: str) -> None:
    lab.kubectl("set", "env", "daemonset/speaker", change, "-n", PRODUCT_NAMESPACE)
    lab.kubectl("rollout", "status", "daemonset/speaker", "-n", PRODUCT_NAMESPACE, "--timeout=180s", timeout=190)
