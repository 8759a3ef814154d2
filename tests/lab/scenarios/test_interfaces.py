"""A node's interfaces come and go, and a client's kernel follows; the second segment is a cable that we lay ourselves.

The cable leads from node1 to client1 and is `lan1` on both sides; only node1 has such an interface.
"""

import json
from collections.abc import Callable, Iterator

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import stays, wait_for

ECHO = {"app": "echo"}
NODE, CLIENT = "node1", "client1"
FIRST_MAC, SECOND_MAC = "02:00:5e:00:53:01", "02:00:5e:00:53:02"
FOLLOWS_WITHIN_SECONDS = 15.0
"""A wide limit against hanging: a link that was just made says for up to two seconds that it is not up."""


class Cable:
    """The second segment, and what client1 believes there."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def lay(self, mac: str, *addresses: Address) -> None:
        """Connect node1 and client1; client1 looks for these addresses there."""
        peer = ("peer", "name", "lan1", "netns", self._lab.paths.namespace(CLIENT))
        self.on_node("link", "add", "lan1", "address", mac, "type", "veth", *peer)
        self.on_node("link", "set", "lan1", "up")
        self._ip(CLIENT, "link", "set", "lan1", "up")
        for address in addresses:
            self._ip(CLIENT, "route", "add", f"{address}/{address.max_prefixlen}", "dev", "lan1", "metric", "1")

    def cut(self) -> None:
        """Throw the cable away, under whatever name node1 has it."""
        self._lab.run(CLIENT, "ip", "link", "del", "lan1")

    def on_node(self, *arguments: str) -> None:
        """Change a link of node1."""
        self._ip(NODE, *arguments)

    def believed(self, address: Address) -> str | None:
        """Make client1's kernel send something to an address, and tell the MAC that it then believes in."""
        self._lab.run(CLIENT, "ping", "-c", "1", "-W", "1", str(address))
        shown = self._ip(CLIENT, "-json", "neigh", "show", str(address), "dev", "lan1")
        return next((one.get("lladdr") for one in json.loads(shown or "[]") if "FAILED" not in one["state"]), None)

    def wait_until_believed(self, address: Address, mac: str | None) -> None:
        """Wait until client1's kernel has an address at a MAC, or nowhere."""
        wait_for(
            f"client1 believes {address} at {mac}",
            lambda: self.believed(address),
            lambda seen: seen == mac,
            within=FOLLOWS_WITHIN_SECONDS,
        )

    def _ip(self, host: str, *arguments: str) -> str:
        ended = self._lab.run(host, "ip", *arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def cable(lab: Lab) -> Iterator[Cable]:
    laid = Cable(lab)
    yield laid
    laid.cut()


@pytest.fixture
def addresses(sandbox: Sandbox) -> Callable[..., tuple[Address, ...]]:
    """Make a Service whose addresses are announced as the advertisement says."""

    def make(**advertisement: object) -> tuple[Address, ...]:
        pool = sandbox.name("pool")
        sandbox.create(objects.pool(pool, sandbox.block.ranges()))
        sandbox.create(objects.advertisement(pool, [pool], **advertisement))
        return sandbox.request_service("web", ECHO).assigned()

    return make


def test_an_interface_is_added_changes_its_mac_is_renamed_and_removed(
    addresses: Callable[..., tuple[Address, ...]], cable: Cable, other_client: Vantage
) -> None:
    """D9, D12, D18 and D26."""
    made = addresses(interfaces=["lan1"])
    cable.lay(FIRST_MAC, *made)
    for address in made:
        cable.wait_until_believed(address, FIRST_MAC)
        assert other_client.announcers(address) == set()
    cable.on_node("link", "set", "lan1", "address", SECOND_MAC)
    for address in made:
        cable.wait_until_believed(address, SECOND_MAC)
    cable.on_node("link", "set", "lan1", "down")
    cable.on_node("link", "set", "lan1", "name", "wan1")
    cable.on_node("link", "set", "wan1", "up")
    for address in made:
        cable.wait_until_believed(address, None)
    cable.on_node("link", "set", "wan1", "name", "lan1")
    for address in made:
        cable.wait_until_believed(address, SECOND_MAC)
    cable.cut()
    cable.lay(FIRST_MAC, *made)
    for address in made:
        cable.wait_until_believed(address, FIRST_MAC)


def test_an_address_is_announced_on_two_segments_at_once(
    addresses: Callable[..., tuple[Address, ...]], cable: Cable, other_client: Vantage
) -> None:
    only_here = [{"matchLabels": {"kubernetes.io/hostname": NODE}}]
    made = addresses(interfaces=["eth0", "lan1"], nodeSelectors=only_here)
    for address in made:
        assert other_client.holder(address) == NODE
    cable.lay(FIRST_MAC, *made)
    for address in made:
        cable.wait_until_believed(address, FIRST_MAC)
        assert other_client.holder(address) == NODE
    cable.cut()
    for address in made:
        assert other_client.holder(address) == NODE


class TestPing:
    """Whether announced addresses answer to ping."""

    @pytest.mark.parametrize(("answer_ping", "answers"), [(True, True), (False, False)])
    def test_they_do_where_an_advertisement_says_so(
        self, addresses: Callable[..., tuple[Address, ...]], client: Vantage, lab: Lab, answer_ping: bool, answers: bool
    ) -> None:
        for address in addresses(answerPing=answer_ping):
            client.holder(address)
            if answers:
                wait_for(f"{address} answers", lambda: pings(lab, address))  # noqa: B023
            stays(f"{address} answers", lambda: pings(lab, address), lambda seen: seen is answers, seconds=1)  # noqa: B023

    def test_they_stop_when_no_endpoint_is_ready(
        self, addresses: Callable[..., tuple[Address, ...]], sandbox: Sandbox, lab: Lab
    ) -> None:
        made = addresses(answerPing=True)
        service = sandbox.name("web")
        for selector, answers in ((ECHO, True), ({"app": "nothing"}, False), (ECHO, True)):
            sandbox.patch("Service", service, {"spec": {"selector": selector}})
            for address in made:
                wait_for(
                    f"{address} answers: {answers}",
                    lambda: pings(lab, address),  # noqa: B023
                    lambda seen: seen is answers,  # noqa: B023
                    within=FOLLOWS_WITHIN_SECONDS,
                )


def pings(lab: Lab, address: Address) -> bool:
    """Ping once from client1, and tell whether it was answered."""
    return lab.run(CLIENT, "ping", "-c", "1", "-W", "1", str(address)).returncode == 0
