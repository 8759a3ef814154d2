"""The controller or the API server is away, or one node cannot reach it: addresses stay, and are served."""

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab.controlplane import ETCD_PORT
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}
RECOVERY_LIMIT_SECONDS = 45.0
GAP_LIMIT_SECONDS = 10.0
LEASE_AND_A_BIT_SECONDS = 7.0
"""Longer than it takes to believe that a silent speaker is dead."""

pytestmark = pytest.mark.usefixtures("healthy_afterwards")


@pytest.fixture
def web(sandbox: Sandbox, client: Vantage) -> ServiceHandle:
    """A dual-stack Service that the client is served by."""
    sandbox.offer()
    service = sandbox.request_service("web", ECHO)
    for address in service.assigned():
        wait_for(f"a page from {address}", partial(client.reaches, address))
    return service


class TestTheController:
    """It is not needed by what has an address."""

    def test_no_address_changes_when_it_is_killed(
        self, sandbox: Sandbox, client: Vantage, lab: Lab, web: ServiceHandle
    ) -> None:
        """Not even to one that is free and would be the first choice: that is for the next Service."""
        freed = web.addresses()
        stays_here = sandbox.request_service("second", ECHO)
        addresses = stays_here.assigned()
        for address in addresses:
            wait_for(f"a page from {address}", partial(client.reaches, address))
        web.delete()
        with client.traffic(addresses[0]) as traffic:
            lab.fail("controller")
            later = sandbox.request_service("later", ECHO).assigned()
        assert stays_here.addresses() == addresses
        assert later == freed
        assert traffic.longest_gap_seconds < GAP_LIMIT_SECONDS

    def test_what_happened_while_it_was_away_is_made_up_for(
        self, sandbox: Sandbox, client: Vantage, lab: Lab, web: ServiceHandle
    ) -> None:
        """A Service that went frees its addresses, one that came is served, one that stayed keeps its own."""
        gone = sandbox.request_service("gone", ECHO)
        freed = gone.assigned()
        kept = web.addresses()
        self._scale_controller(lab, 0)
        gone.delete()
        came = sandbox.request_service("came", ECHO, loadBalancerIP=None)
        for address in kept:
            assert client.reaches(address)
        self._scale_controller(lab, 2)
        assert came.assigned() == freed
        assert web.addresses() == kept

    @staticmethod
    def _scale_controller(lab: Lab, replicas: int) -> None:
        lab.kubectl("scale", "deployment/controller", "-n", PRODUCT_NAMESPACE, f"--replicas={replicas}")
        lab.kubectl("rollout", "status", "deployment/controller", "-n", PRODUCT_NAMESPACE, timeout=60)
        pods = f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=controller"
        wait_for(f"{replicas} controllers", lambda: len(lab.get_json(pods)["items"]), lambda count: count == replicas)


class TestTheApiServer:
    """While it is away nothing moves; afterwards nothing is missed."""

    @pytest.mark.parametrize("fault", ["api", "api-frozen"])
    def test_nothing_moves_while_it_is_away(
        self, sandbox: Sandbox, client: Vantage, lab: Lab, web: ServiceHandle, fault: str
    ) -> None:
        addresses = web.addresses()
        holders = {address: client.announcers(address) for address in addresses}
        with client.traffic(addresses[0]) as traffic4, client.traffic(addresses[1]) as traffic6:
            lab.fail(fault)
            stays(
                "the same node announces each address",
                lambda: {address: client.announcers(address) for address in addresses},
                lambda seen: seen == holders,
                seconds=LEASE_AND_A_BIT_SECONDS,
            )
            lab.heal(fault)
            later = _assigned_late(sandbox.request_service("later", ECHO))
        assert max(traffic4.longest_gap_seconds, traffic6.longest_gap_seconds) < GAP_LIMIT_SECONDS
        assert web.addresses() == addresses
        assert not set(later) & set(addresses)
        for address in later:
            wait_for(f"a page from {address}", partial(client.reaches, address), within=RECOVERY_LIMIT_SECONDS)

    def test_a_service_deleted_while_all_nodes_were_cut_off_is_noticed(
        self, sandbox: Sandbox, client: Vantage, lab: Lab, web: ServiceHandle
    ) -> None:
        """By speakers and controller. Nobody tells them: no stream was open to the API server that saw it go."""
        doomed = sandbox.request_service("doomed", ECHO)
        addresses = doomed.assigned()
        for address in addresses:
            wait_for(f"a page from {address}", partial(client.reaches, address))
        for node in lab.topology.nodes:
            lab.fail("partition", node.name)
        _restart_api(lab)
        doomed.delete()
        slices = f"kubernetes.io/service-name={doomed.name}"
        wait_for("its endpoints are gone", lambda: sandbox.list("EndpointSlice", slices), lambda seen: not seen)
        _forget_history(lab)
        _restart_api(lab)
        for address in addresses:
            assert client.announcers(address), "no speaker can know yet"
        for node in lab.topology.nodes:
            lab.heal("partition", node.name)
        for address in addresses:
            _wait_until_silent(client, address)
        for address in web.addresses():
            wait_for(f"a page from {address}", partial(client.reaches, address))
        assert _assigned_late(sandbox.request_service("heir", ECHO)) == addresses


def test_a_holder_that_cannot_reach_the_api_server(client: Vantage, lab: Lab, web: ServiceHandle) -> None:
    """It forwards as before, so clients are served whoever announces; afterwards one node does."""
    addresses = web.addresses()
    holder = client.holder(addresses[0])
    with client.traffic(addresses[0]) as traffic4, client.traffic(addresses[1]) as traffic6:
        lab.fail("partition", holder)
        time.sleep(LEASE_AND_A_BIT_SECONDS)
        lab.heal("partition", holder)
        for address in addresses:
            wait_for(
                f"one node announces {address}",
                partial(client.announcers, address),
                lambda seen: len(seen) == 1,
                within=RECOVERY_LIMIT_SECONDS,
            )
    assert max(traffic4.longest_gap_seconds, traffic6.longest_gap_seconds) < GAP_LIMIT_SECONDS
    assert web.addresses() == addresses


def _restart_api(lab: Lab) -> None:
    lab.fail("api")
    lab.heal("api")


def _forget_history(lab: Lab) -> None:
    """Compact etcd up to now, so that no watch can go on where it was."""
    now = _ask_etcd(lab, "range", {"key": "AA=="})["header"]["revision"]
    _ask_etcd(lab, "compaction", {"revision": now, "physical": True})


def _ask_etcd(lab: Lab, what: str, question: Mapping[str, Any]) -> dict[str, Any]:
    url = f"http://127.0.0.1:{ETCD_PORT}/v3/kv/{what}"
    done = lab.run("cp", "curl", "--silent", "--fail", "--data", json.dumps(question), url)
    assert done.returncode == 0, done
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _assigned_late(service: ServiceHandle) -> tuple[Address, ...]:
    return wait_for(
        f"addresses of {service.name}",
        service.addresses,
        lambda seen: len(seen) == 2,
        within=RECOVERY_LIMIT_SECONDS,
    )


def _wait_until_silent(client: Vantage, address: Address) -> None:
    wait_for(
        f"nobody announces {address}",
        partial(client.announcers, address),
        lambda seen: not seen,
        within=RECOVERY_LIMIT_SECONDS,
    )
