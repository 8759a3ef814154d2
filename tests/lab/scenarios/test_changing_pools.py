"""Pools change while Services use them: nobody loses an address, and those who are to move do so one by one."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pytest

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import ASSIGNED_CONDITION, Sandbox, ServiceHandle, addresses_of
from baremetal_lb.lab.waiting import stays, wait_for
from baremetal_lb.settings import CONTROLLER_PORT, ControllerSettings

ECHO = {"app": "echo"}
ADDRESSES = "baremetal-lb.io/addresses"
FROM_POOL = "baremetal-lb.io/from-pool"
CROWD = 30
FAR = ["203.0.113.0/27", "2001:db8:113::/123"]
"""What the crowd has beside the addresses of the block; nobody on the segment asks for these."""


class Crowd:
    """Thirty Services with the first addresses of a pool."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.services = [sandbox.request_service(f"web{number:02}", ECHO) for number in range(CROWD)]
        self.had = {one.name: one.assigned() for one in self.services}
        self.since = sandbox.moment("Service")

    def assert_nobody_lost_an_address(self) -> None:
        """Of every state that any of them was in since it had its addresses."""
        for seen in self.sandbox.changes("Service", self.since):
            name = seen["metadata"]["name"]
            assert addresses_of(seen) == self.had.get(name, addresses_of(seen))

    def wait_until(self, reasons: Mapping[str, int]) -> None:
        """Wait until so many of them were told so."""
        wait_for(f"the crowd was told {reasons}", self._reasons, lambda seen: seen == reasons)

    def wait_until_from(self, pools: Mapping[str, int]) -> None:
        """Wait until so many of them have their addresses from these pools."""
        wait_for(f"the crowd has its addresses from {pools}", self._pools, lambda seen: seen == pools)

    def _reasons(self) -> Mapping[str, int]:
        conditions = (condition for one in self._listed() for condition in one["status"]["conditions"])
        return _count(one["reason"] for one in conditions if one["type"] == ASSIGNED_CONDITION)

    def _pools(self) -> Mapping[str, int]:
        return _count(one["metadata"]["annotations"][FROM_POOL] for one in self._listed())

    def _listed(self) -> list[Any]:
        return [one for one in self.sandbox.list("Service") if one["metadata"]["name"] in self.had]


def _count(words: Iterable[str]) -> Mapping[str, int]:
    listed = list(words)
    return {word: listed.count(word) for word in listed}


def resize(sandbox: Sandbox, pool: str, *entries: str, **spec: Any) -> None:
    sandbox.patch("IPAddressPool", pool, {"spec": {"addresses": list(entries), **spec}})


def wait_until_in_force(sandbox: Sandbox, pool: str) -> None:
    """Wait until the controller works with the pool as it is written now."""
    wait_for(
        f"{pool} is in force",
        lambda: (
            sandbox.read("IPAddressPool", pool)["metadata"]["generation"],
            sandbox.condition("IPAddressPool", pool),
        ),
        lambda seen: seen[1].get("observedGeneration") == seen[0],
    )


def wait_until_held(sandbox: Sandbox, pool: str) -> None:
    """Wait for its finalizer, which follows its first Service within a second."""
    wait_for(f"{pool} is held", lambda: sandbox.read("IPAddressPool", pool)["metadata"].get("finalizers"))


@pytest.mark.usefixtures("webhook_away")
def test_thirty_services_keep_their_addresses_whatever_becomes_of_their_pools(
    sandbox: Sandbox, client: Vantage, lab: Lab
) -> None:
    """Grown, shrunk, split, merged and renamed, one after the other; a client on each family is served all the time."""
    near = sandbox.block.ranges()
    pool, east, renamed = sandbox.name("pool"), sandbox.name("east"), sandbox.name("renamed")
    sandbox.create(objects.advertisement(sandbox.name("all"), []))
    sandbox.create(objects.pool(pool, [*near, *FAR]))
    crowd = Crowd(sandbox)
    ipv4, ipv6 = crowd.had[crowd.services[0].name]
    client.wait_for_pages((ipv4, ipv6))

    with client.traffic(ipv4) as over_ipv4, client.traffic(ipv6) as over_ipv6:
        resize(sandbox, pool, "203.0.113.32/27", "2001:db8:113::20/123", *near, *FAR)
        wait_until_in_force(sandbox, pool)
        sandbox.request_service("late", ECHO).told("Assigned")
        crowd.wait_until({"Assigned": CROWD})

        resize(sandbox, pool, *near)
        crowd.wait_until({"Assigned": 5, "AddressKept": CROWD - 5})
        kept = 'baremetal_lb_services{reason="AddressKept"}'
        wait_for("the metric says so", partial(_metric, lab, kept), lambda seen: seen == CROWD - 5 + 1)

        sandbox.create(objects.pool(east, FAR))
        crowd.wait_until_from({pool: 5, east: CROWD - 5})
        crowd.wait_until({"Assigned": CROWD})

        wait_until_held(sandbox, east)
        lab.kubectl("delete", "ipaddresspool", east, "--wait=false")
        resize(sandbox, pool, *near, *FAR)
        crowd.wait_until_from({pool: CROWD})
        wait_for(f"{east} is gone", lambda: not sandbox.exists("IPAddressPool", east))

        wait_until_held(sandbox, pool)
        lab.kubectl("delete", "ipaddresspool", pool, "--wait=false")
        sandbox.create(objects.pool(renamed, [*near, *FAR]))
        crowd.wait_until_from({renamed: CROWD})
        crowd.wait_until({"Assigned": CROWD})
        wait_for(f"{pool} is gone", lambda: not sandbox.exists("IPAddressPool", pool))

    crowd.assert_nobody_lost_an_address()
    assert (over_ipv4.failures, over_ipv6.failures) == ([], [])
    told = [one["message"] for one in crowd.services[-1].events("AddressKept")]
    assert len(told) == len(set(told))
    wait_for(
        "the pool counts them",
        lambda: sandbox.read("IPAddressPool", renamed)["status"],
        lambda seen: (seen.get("assignedIPv4"), seen.get("assignedIPv6")) == (CROWD, CROWD),
    )


def _metric(lab: Lab, name: str) -> float:
    """Add up what the controllers count; those that do not lead count nothing."""
    selector = "app.kubernetes.io/component=controller"
    pods = lab.get_json(f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods?labelSelector={selector}")["items"]
    control_plane = Vantage(lab.paths, lab.topology, "cp")
    pages = [control_plane.fetch(parse_address(one["status"]["podIP"]), CONTROLLER_PORT, "/metrics") for one in pods]
    lines = [line for page in pages for line in page.body.splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


class TestReassign:
    """An address that its pool gave up is left for a free one: one Service after the other, the oldest first."""

    def test_services_move_one_by_one(self, sandbox: Sandbox, client: Vantage) -> None:
        """Each is told, reached at its new addresses, and what it left can be given again; a wish is never moved."""
        block = sandbox.block
        pool = sandbox.offer(3, reclaimPolicy="Reassign")
        wish = f"{block.ipv4(2)},{block.ipv6(2)}"
        explicit = sandbox.request_service("explicit", ECHO, annotations={ADDRESSES: wish})
        explicit.assigned()
        movers = [sandbox.request_service(f"web{number}", ECHO) for number in range(2)]
        had = [one.assigned() for one in movers]
        client.wait_for_pages(had[0])
        since = sandbox.moment("Service")

        resize(sandbox, pool, f"{block.ipv4(3)}-{block.ipv4(4)}", f"{block.ipv6(3)}-{block.ipv6(4)}")
        places = [(block.ipv4(place), block.ipv6(place)) for place in (3, 4)]
        moved_at = []
        for mover, place in zip(movers, places, strict=True):
            wait_for(f"{mover.name} has moved", mover.addresses, lambda seen: seen == place)  # noqa: B023
            moved_at.append(time.monotonic())
        assert moved_at[1] - moved_at[0] >= ControllerSettings().move_seconds / 2
        for mover, (ipv4, ipv6), (new_ipv4, new_ipv6) in zip(movers, had, places, strict=True):
            event = wait_for("an Event", partial(mover.events, "Reassigned"))[0]
            assert event["message"] == (
                f"moved from {ipv4} (pool {pool}) and {ipv6} (pool {pool}) to {new_ipv4} and {new_ipv6}: "
                "its pool gave that up"
            )
            client.wait_for_pages(mover.addresses())
            for address in (ipv4, ipv6):
                wait_for(f"nobody announces {address}", partial(client.announcers, address), lambda seen: not seen)
        assert _states(movers[0], since) == {had[0], places[0]}

        explicit.told("AddressKept")
        assert explicit.addresses() == (block.ipv4(2), block.ipv6(2))
        resize(sandbox, pool, *block.ranges())
        assert sandbox.request_service("heir", ECHO).assigned() == had[0]

    def test_who_finds_no_other_waits_for_one(self, sandbox: Sandbox) -> None:
        block = sandbox.block
        pool = sandbox.offer(2, reclaimPolicy="Reassign")
        web = sandbox.request_service("web", ECHO)
        had = web.assigned()
        other = sandbox.request_service("other", ECHO)
        stays_at = other.assigned()
        resize(sandbox, pool, f"{block.ipv4(1)}/32", f"{block.ipv6(1)}/128")
        assert "moves to another address as soon as one is free" in web.told("AddressKept")["message"]
        assert web.addresses() == had
        resize(sandbox, pool, f"{block.ipv4(1)}-{block.ipv4(2)}", f"{block.ipv6(1)}-{block.ipv6(2)}")
        wait_for("it has moved", web.addresses, lambda seen: seen == (block.ipv4(2), block.ipv6(2)))
        assert other.addresses() == stays_at


def _states(service: ServiceHandle, since: str) -> set[tuple[Address, ...]]:
    seen = service.sandbox.changes("Service", since)
    return {addresses_of(one) for one in seen if one["metadata"]["name"] == service.name}


class TestADeletedPool:
    """It drains; what its Services do meanwhile is as its policy says."""

    def offer_two(self, sandbox: Sandbox, policy: str) -> tuple[str, ServiceHandle]:
        """A Service in the first of two pools, and the other one has room."""
        block = sandbox.block
        first = sandbox.offer(1, "a-first", reclaimPolicy=policy)
        spare = [f"{block.ipv4(1)}-{block.ipv4(2)}", f"{block.ipv6(1)}-{block.ipv6(2)}"]
        sandbox.create(objects.pool(sandbox.name("b-spare"), spare))
        sandbox.create(objects.advertisement(sandbox.name("spare"), [sandbox.name("b-spare")]))
        web = sandbox.request_service("web", ECHO)
        assert web.assigned() == (block.ipv4(0), block.ipv6(0))
        wait_until_held(sandbox, first)
        return first, web

    def test_is_gone_when_its_services_have_moved(self, sandbox: Sandbox, client: Vantage, lab: Lab) -> None:
        pool, web = self.offer_two(sandbox, "Reassign")
        since, had = sandbox.moment("Service"), web.addresses()
        lab.kubectl("delete", "ipaddresspool", pool, "--timeout=20s")
        new = (sandbox.block.ipv4(1), sandbox.block.ipv6(1))
        assert web.addresses() == new
        assert _states(web, since) == {had, new}
        client.wait_for_pages(new)

    def test_stays_as_long_as_a_service_retains_its_address(self, sandbox: Sandbox, lab: Lab) -> None:
        pool, web = self.offer_two(sandbox, "Retain")
        had = web.addresses()
        lab.kubectl("delete", "ipaddresspool", pool, "--wait=false")
        assert f"pool {pool} is being deleted" in web.told("AddressKept")["message"]
        assert "2 in use" in sandbox.judged("IPAddressPool", pool, "PoolBeingDeleted")["message"]
        stays("it keeps its addresses", web.addresses, lambda seen: seen == had, seconds=2)
        web.delete()
        wait_for("the pool is gone", lambda: not sandbox.exists("IPAddressPool", pool))
