"""A host that is no node of ours takes an address of a pool: what conflictPolicy makes of it, and who is told.

client1 is that host: its kernel answers for the address. client2 looks on.
"""

import time
from functools import partial

import pytest

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.lab.audit import writes_of
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import stays, wait_for
from baremetal_lb.settings import SPEAKER_PORT

ECHO = {"app": "echo"}
ANNOUNCED = "baremetal-lb.io/Announced"
AGAIN_WITHIN_SECONDS = 45.0
"""The segment is looked at every 30 s at least."""
OVER_WITHIN_SECONDS = 90.0
"""A host that was not heard for 60 s is taken for gone."""


class Squatter:
    """client1 with addresses that are not its own."""

    def __init__(self, lab: Lab, host: Vantage) -> None:
        self.mac = host.mac
        self._lab = lab

    def take(self, *addresses: Address) -> None:
        for address in addresses:
            self._lab.fail("squatter", f"client1={address}")

    def leave(self, *addresses: Address) -> None:
        for address in addresses:
            self._lab.heal("squatter", f"client1={address}")


@pytest.fixture
def squatter(lab: Lab, client: Vantage, healthy_afterwards: Sandbox) -> Squatter:
    del healthy_afterwards
    return Squatter(lab, client)


def announced_service(sandbox: Sandbox, observer: Vantage) -> tuple[ServiceHandle, tuple[Address, ...]]:
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    for address in addresses:
        observer.holder(address)
    return service, addresses


def conflicts_said(sandbox: Sandbox) -> dict[str, str]:
    """Tell of each address which MAC is said to use it, by whichever speaker."""
    statuses = sandbox.list("SpeakerStatus")
    entries = [entry for one in statuses for entry in one.get("status", {}).get("conflicts", ())]
    return {entry["address"]: entry["mac"] for entry in entries}


def conflicts_measured(lab: Lab, observer: Vantage) -> set[str]:
    """Tell the addresses of which the speakers' metrics say that a foreign host uses them."""
    pages = [observer.fetch(node.addresses[0], SPEAKER_PORT, "/metrics").body for node in lab.topology.nodes]
    lines = [line for page in pages for line in page.splitlines()]
    return {line.split('"')[1] for line in lines if line.startswith("baremetal_lb_address_conflicts{")}


def written_within(lab: Lab, seconds: float) -> list[str]:
    """Tell what controllers and speakers write meanwhile, but for their Leases."""
    before = {process: len(writes_of(lab.paths, process)) for process in ("controller", "speaker")}
    time.sleep(seconds)
    after = [one for process, known in before.items() for one in writes_of(lab.paths, process)[known:]]
    return [one for one in after if " leases " not in one]


def wait_until_told(service: ServiceHandle, pool: str, addresses: tuple[Address, ...], mac: str) -> None:
    """Wait for the Events that name the host, the word of the speakers, and the pool's condition."""
    texts = set(map(str, addresses))
    for text in texts:
        wait_for(
            f"an Event says that {mac} uses {text}",
            lambda: [one["message"] for one in service.events("AddressConflict")],
            lambda messages: any(mac in one and f" uses {text} " in one for one in messages),  # noqa: B023
        )
    condition = service.sandbox.judged("IPAddressPool", pool, "AddressConflict", "AddressConflict")
    assert condition["status"] == "True"
    assert mac in condition["message"]


def test_a_defended_address_stays_and_everybody_is_told(
    sandbox: Sandbox, squatter: Squatter, other_client: Vantage, lab: Lab
) -> None:
    pool = sandbox.offer()
    service, addresses = announced_service(sandbox, other_client)
    holders = {address: other_client.holder(address) for address in addresses}
    squatter.take(*addresses)
    wait_until_told(service, pool, addresses, squatter.mac)

    assert conflicts_said(sandbox) == {str(address): squatter.mac for address in addresses}
    assert conflicts_measured(lab, other_client) == set(map(str, addresses))
    for address in addresses:
        stays(
            f"both answer for {address}",
            partial(other_client.announcers, address),
            lambda seen: seen == {holders[address], squatter.mac},  # noqa: B023 - called at once
            seconds=2.0,
        )
    announced = sandbox.condition("Service", service.name, ANNOUNCED)
    assert announced.get("status") == "True"
    assert service.addresses() == addresses

    squatter.leave(*addresses)
    wait_for("it is over", partial(conflicts_said, sandbox), lambda said: not said, within=OVER_WITHIN_SECONDS)
    wait_for("that is told", partial(service.events, "ConflictEnded"), lambda told: len(told) == len(addresses))
    wait_for(
        "the pool is told",
        partial(sandbox.condition, "IPAddressPool", pool, "AddressConflict"),
        lambda condition: not condition,
    )
    assert conflicts_measured(lab, other_client) == set()


def test_an_address_is_yielded_until_the_host_is_gone(
    sandbox: Sandbox, squatter: Squatter, other_client: Vantage, lab: Lab
) -> None:
    pool = sandbox.offer(conflictPolicy="Yield")
    service, addresses = announced_service(sandbox, other_client)
    squatter.take(*addresses)
    wait_until_told(service, pool, addresses, squatter.mac)
    for address in addresses:
        wait_for(
            f"only the host answers for {address}",
            partial(other_client.announcers, address),
            lambda seen: seen == {squatter.mac},
        )
        stays(
            "and no node", partial(other_client.announcers, address), lambda seen: seen == {squatter.mac}, seconds=3.0
        )
    sandbox.judged("Service", service.name, "AddressConflict", ANNOUNCED)
    assert service.addresses() == addresses
    wait_for("a conflict that goes on is written once", partial(written_within, lab, 5.0), lambda written: not written)

    squatter.leave(*addresses)
    for address in addresses:
        wait_for(f"a page from {address}", partial(other_client.reaches, address), bool, within=AGAIN_WITHIN_SECONDS)
    sandbox.judged("Service", service.name, "Announced", ANNOUNCED)


def test_an_address_that_is_in_use_already_is_not_announced(
    sandbox: Sandbox, squatter: Squatter, other_client: Vantage
) -> None:
    """Whatever the policy: it is asked for before it is announced for the first time."""
    pool = sandbox.offer(1)
    used = (sandbox.block.ipv4(0), sandbox.block.ipv6(0))
    squatter.take(*used)
    service = sandbox.request_service("web", ECHO)
    assert set(service.assigned()) == set(used)
    wait_until_told(service, pool, used, squatter.mac)
    for address in used:
        stays(
            f"only the host answers for {address}",
            partial(other_client.announcers, address),
            lambda seen: seen == {squatter.mac},
            seconds=3.0,
        )
    squatter.leave(*used)
    for address in used:
        wait_for(f"a page from {address}", partial(other_client.reaches, address), bool, within=AGAIN_WITHIN_SECONDS)


def test_a_service_leaves_an_address_in_quarantine_and_nobody_gets_it(
    sandbox: Sandbox, squatter: Squatter, other_client: Vantage
) -> None:
    pool = sandbox.offer(3, conflictPolicy="Quarantine")
    service, addresses = announced_service(sandbox, other_client)
    squatter.take(*addresses)
    moved = wait_for("it has other addresses", service.addresses, lambda seen: not set(seen) & set(addresses))
    for address in moved:
        wait_for(f"a page from {address}", partial(other_client.reaches, address))
    assert {squatter.mac in one["message"] for one in service.events("Reassigned")} == {True}
    service.told("Assigned")

    quarantined = wait_for(
        "the conflict is over as far as we hear, and the quarantine has an end",
        lambda: sandbox.read("IPAddressPool", pool)["status"].get("quarantined", []),
        lambda entries: entries and all("until" in one for one in entries),
    )
    assert {one["address"]: one["mac"] for one in quarantined} == {str(one): squatter.mac for one in addresses}
    assert not set(sandbox.request_service("next", ECHO).assigned()) & set(addresses)
    wishes = {"baremetal-lb.io/addresses": str(addresses[0])}
    family = family_of(addresses[0])
    wishing = sandbox.request_service("wishing", ECHO, annotations=wishes, families=[family])
    assert squatter.mac in wishing.refused("AddressQuarantined")["message"]

    sandbox.patch("IPAddressPool", pool, {"spec": {"conflictPolicy": "Defend"}})
    assert wishing.assigned(1) == addresses[:1]


def test_who_cannot_leave_an_address_in_quarantine_stays_and_is_told(
    sandbox: Sandbox, squatter: Squatter, other_client: Vantage
) -> None:
    pool = sandbox.offer(1, conflictPolicy="Quarantine")
    service, addresses = announced_service(sandbox, other_client)
    squatter.take(*addresses)
    kept = service.told("AddressKept")
    assert squatter.mac in kept["message"]
    assert "moves to another address as soon as one is free" in kept["message"]
    for address in addresses:
        wait_for(
            f"no node answers for {address}",
            partial(other_client.announcers, address),
            lambda seen: seen == {squatter.mac},
        )

    ranges = sandbox.block.ranges(2)
    sandbox.patch("IPAddressPool", pool, {"spec": {"addresses": ranges}})
    moved = wait_for("it has other addresses", service.addresses, lambda seen: not set(seen) & set(addresses))
    assert {family_of(address) for address in moved} == set(Family)
    for address in moved:
        wait_for(f"a page from {address}", partial(other_client.reaches, address))
