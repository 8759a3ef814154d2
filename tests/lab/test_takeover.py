"""Two speakers' drivers, a client's kernel and a foreign host on one switch; no Kubernetes involved."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.lab.questions import Asker, claim_to_all, claiming_mac, question_for
from bench.segment import Announcer, Segment
from tests.lab.cables import until

V4, V6 = "192.0.2.10", "2001:db8:0:2::10"
MACS = {
    "alpha": "02:00:5e:00:53:0a",
    "beta": "02:00:5e:00:53:0b",
    "client": "02:00:5e:00:53:0c",
    "stranger": "02:00:5e:00:53:0d",
}
CLIENT_ADDRESSES = {4: "192.0.2.201", 6: "2001:db8:0:2::201"}
ASKING_SECONDS = 0.5
"""A look takes 60 ms; the machine that runs the tests may be busy."""

both_families = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


class Switch:
    """A bridge with everybody's cable in it."""

    def __init__(self, stack: ExitStack) -> None:
        self._prefix = f"bmlb-switch-{os.getpid()}-"
        for name in ("bridge", *MACS):
            subprocess.run(["ip", "netns", "add", self._prefix + name], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "del", self._prefix + name], check=False)
        self.run("bridge", "ip", "link", "add", "br0", "type", "bridge")
        self.run("bridge", "ip", "link", "set", "br0", "up")
        for name, mac in MACS.items():
            ends = f"ip link add {name} type veth peer name eth0 address {mac} netns {self.namespace(name)}"
            self.run("bridge", *ends.split())
            self.run("bridge", "ip", "link", "set", name, "master", "br0", "up")
            self.run(name, "ip", "link", "set", "eth0", "up")
        for address in CLIENT_ADDRESSES.values():
            self.add_address("client", address)

    def namespace(self, name: str) -> str:
        return self._prefix + name

    def run(self, name: str, *command: str) -> str:
        inside_it = ["ip", "netns", "exec", self.namespace(name), *command]
        return subprocess.run(inside_it, check=True, capture_output=True, text=True).stdout

    def add_address(self, name: str, address: str) -> None:
        """Give a host's kernel an address, and tell the segment."""
        prefix, how = (64, ["nodad"]) if ":" in address else (24, [])
        self.run(name, "ip", "addr", "add", f"{address}/{prefix}", "dev", "eth0", *how)
        frame = claim_to_all(bytes.fromhex(MACS[name].replace(":", "")), ip_address(address))
        with self.socket(name, frame[12:14]) as announcing:
            announcing.send(frame)

    def socket(self, name: str, ethertype: bytes) -> socket.socket:
        """Open a packet socket on a host's interface."""
        namespace = self.namespace(name)
        return Segment(namespace, namespace).packet_socket(namespace, int.from_bytes(ethertype))

    def remove_address(self, name: str, address: str) -> None:
        self.run(name, "ip", "addr", "del", f"{address}/{64 if ':' in address else 24}", "dev", "eth0")

    def part(self, name: str, *, is_parted: bool) -> None:
        """Let no frames through for a host, which sees its line up all the time."""
        self.run("bridge", "bridge", "link", "set", "dev", name, "state", "0" if is_parted else "3")

    def believed(self, address: str) -> str | None:
        """Where the client's kernel takes the address to be."""
        output = self.run("client", "ip", "-json", "neigh", "show", address, "dev", "eth0")
        entries: list[dict[str, Any]] = json.loads(output or "[]")
        mac = entries[0].get("lladdr") if entries else None
        return next((name for name, one in MACS.items() if one == mac), None)

    def ping(self, address: str) -> None:
        """Have the client resolve the address; nothing answers the ping itself."""
        command = ["ip", "netns", "exec", self.namespace("client"), "ping", "-c", "1", "-W", "1", address]
        subprocess.run(command, check=False, capture_output=True)


class Questions:
    """Asks for an address all the time, with frames of its own, and notes who answers each time."""

    def __init__(self, switch: Switch, address: str) -> None:
        self._target = ip_address(address)
        family = self._target.version
        asker = Asker(bytes.fromhex(MACS["client"].replace(":", "")), ip_address(CLIENT_ADDRESSES[family]))
        self._question = question_for(asker, self._target)
        self._socket = switch.socket("client", self._question[12:14])
        self._socket.settimeout(0.5)

    def answers_for(self, seconds: float) -> list[str | None]:
        """Ask every few milliseconds, and tell who answered first; None where nobody did in half a second."""
        answers: list[str | None] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._socket.send(self._question)
            answers.append(self._next_answer())
            time.sleep(0.005)
        return answers

    def close(self) -> None:
        self._socket.close()

    def _next_answer(self) -> str | None:
        try:
            while True:
                frame = self._socket.recv(256)
                mac = claiming_mac(frame, self._target)
                if mac is not None and frame[:6].hex(":") == MACS["client"]:
                    return next(name for name, one in MACS.items() if one == mac)
        except TimeoutError:
            return None


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with ExitStack() as stack:
        yield Switch(stack)


@pytest.fixture(scope="module")
def drivers(switch: Switch) -> Iterator[dict[str, Announcer]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Announcer(switch.namespace(name))) for name in ("alpha", "beta")}


class Node:
    """A speaker's driver, and the events since the test began."""

    def __init__(self, driver: Announcer) -> None:
        self.driver = driver
        self._seen = len(driver.report()["events"])

    def events(self) -> list[list[str]]:
        events: list[list[str]] = self.driver.report()["events"][self._seen :]
        return events

    def holds(self) -> set[str]:
        return set(self.driver.report()["replies"])


def speaker(driver: Announcer, other: str) -> Iterator[Node]:
    """Reset a driver to a node that wishes nothing and knows the other one."""
    driver.want()
    driver.respect()
    driver.know({MACS[other]: other})
    yield Node(driver)
    driver.want()


@pytest.fixture
def alpha(drivers: dict[str, Announcer], switch: Switch) -> Iterator[Node]:
    switch.run("client", "ip", "neigh", "flush", "all", "nud", "all")
    yield from speaker(drivers["alpha"], "beta")


@pytest.fixture
def beta(drivers: dict[str, Announcer]) -> Iterator[Node]:
    yield from speaker(drivers["beta"], "alpha")


@pytest.fixture
def undo() -> Iterator[Callable[..., object]]:
    with ExitStack() as stack:
        yield stack.callback


@pytest.fixture
def questions(switch: Switch, address: str, undo: Callable[..., object]) -> Questions:
    asked = Questions(switch, address)
    undo(asked.close)
    return asked


def begin(node: Node, address: str, **wish: Any) -> None:
    node.driver.want(**{address: wish})
    until(lambda: node.holds() == {address}, ASKING_SECONDS)


@both_families
def test_who_wants_what_another_answers_for_leaves_it_alone(
    switch: Switch, alpha: Node, beta: Node, address: str
) -> None:
    begin(alpha, address)
    until(lambda: switch.believed(address) in {"alpha", None}, ASKING_SECONDS)
    before = beta.driver.report()["probes"]
    beta.driver.want(**{address: {}})
    time.sleep(3.5)
    assert beta.events() == [["HeldBy", address, "alpha"]]
    assert 3 <= beta.driver.report()["probes"] - before <= 8
    switch.ping(address)
    assert switch.believed(address) == "alpha"
    alpha.driver.want()
    until(lambda: beta.holds() == {address}, 1 + ASKING_SECONDS)
    until(lambda: switch.believed(address) == "beta")


@both_families
def test_a_holder_that_is_dead_is_followed_within_a_look(
    switch: Switch, alpha: Node, beta: Node, undo: Callable[..., object], address: str
) -> None:
    begin(alpha, address)
    switch.ping(address)
    alpha.driver.signal(signal.SIGSTOP)
    undo(alpha.driver.signal, signal.SIGCONT)
    begin(beta, address)
    until(lambda: switch.believed(address) == "beta")


@both_families
def test_a_planned_move_leaves_no_question_unanswered(
    alpha: Node, beta: Node, questions: Questions, address: str
) -> None:
    """D28."""
    begin(alpha, address)
    assert set(questions.answers_for(0.5)) == {"alpha"}
    alpha.driver.want(**{address: {"stance": "hand_over"}})
    assert set(questions.answers_for(0.5)) == {"alpha"}
    beta.driver.want(**{address: {"replacing": ["alpha"]}})
    answers = questions.answers_for(1)
    assert None not in answers
    assert answers[-1] == "beta"
    assert set(answers[len(answers) // 2 :]) == {"beta"}
    assert alpha.events()[1:] == [["Ended", address], ["HeldBy", address, "beta"]]


@both_families
def test_who_was_frozen_asks_by_itself_and_yields_to_who_took_over(
    switch: Switch, alpha: Node, beta: Node, address: str
) -> None:
    begin(alpha, address)
    alpha.driver.signal(signal.SIGSTOP)
    begin(beta, address)
    switch.ping(address)
    alpha.driver.signal(signal.SIGCONT)
    until(lambda: alpha.holds() == set(), ASKING_SECONDS)
    assert alpha.events()[-2:] == [["Ended", address], ["HeldBy", address, "beta"]]
    time.sleep(1.5)
    switch.ping(address)
    assert (beta.holds(), switch.believed(address)) == ({address}, "beta"), (alpha.events(), beta.events())


@both_families
def test_who_asks_again_and_hears_nobody_goes_on_all_the_time(
    alpha: Node, beta: Node, questions: Questions, address: str
) -> None:
    begin(alpha, address)
    begin(beta, "192.0.2.99")
    alpha.driver.ask_again(address)
    assert set(questions.answers_for(0.5)) == {"alpha"}
    assert alpha.events() == [["Began", address]]


@both_families
def test_after_a_partition_the_one_that_asks_yields(
    switch: Switch, alpha: Node, beta: Node, undo: Callable[..., object], address: str
) -> None:
    begin(alpha, address)
    switch.part("beta", is_parted=True)
    undo(lambda: switch.part("beta", is_parted=False))
    begin(beta, address)
    switch.part("beta", is_parted=False)
    time.sleep(0.2)
    beta.driver.ask_again()
    until(lambda: beta.holds() == set(), ASKING_SECONDS)
    switch.ping(address)
    assert (alpha.holds(), switch.believed(address)) == ({address}, "alpha")


@both_families
@pytest.mark.parametrize("better", ["alpha", "beta"])
def test_two_holders_that_hear_each_other_settle_by_rank(
    switch: Switch, alpha: Node, beta: Node, address: str, better: str
) -> None:
    """D12."""
    nodes = {"alpha": alpha, "beta": beta}
    worse = {"alpha": "beta", "beta": "alpha"}[better]
    nodes[worse].driver.respect(better)
    begin(alpha, address)
    beta.driver.want(**{address: {"replacing": ["nobody that is heard"]}})
    until(lambda: nodes[worse].holds() == set() and nodes[better].holds() == {address}, 1.5)
    time.sleep(1.5)
    switch.ping(address)
    assert switch.believed(address) == better
    assert (nodes[better].holds(), nodes[worse].holds()) == ({address}, set())


@both_families
@pytest.mark.parametrize("policy", ["Defend", "Yield", "Quarantine"])
def test_what_a_foreign_host_has_is_not_taken(
    switch: Switch, alpha: Node, address: str, policy: str, undo: Callable[..., object]
) -> None:
    switch.add_address("stranger", address)
    undo(subprocess.run, ["ip", "-n", switch.namespace("stranger"), "addr", "flush", "to", address], check=False)
    alpha.driver.want(**{address: {"on_conflict": policy}})
    time.sleep(2)
    assert alpha.events() == [["ForeignHost", address, "eth0"]]
    assert alpha.holds() == set()
    switch.remove_address("stranger", address)
    until(lambda: alpha.holds() == {address}, 5)


@both_families
@pytest.mark.parametrize("policy", ["Defend", "Yield", "Quarantine"])
def test_a_foreign_host_that_comes_later_is_met_as_the_policy_says(
    switch: Switch, alpha: Node, address: str, policy: str, undo: Callable[..., object]
) -> None:
    begin(alpha, address, on_conflict=policy)
    switch.ping(address)
    undo(subprocess.run, ["ip", "-n", switch.namespace("stranger"), "addr", "flush", "to", address], check=False)
    switch.add_address("stranger", address)
    until(lambda: ["ForeignHost", address, "eth0"] in alpha.events())
    if policy == "Defend":
        until(lambda: switch.believed(address) == "alpha")
        assert alpha.holds() == {address}
    else:
        assert alpha.holds() == set()
        switch.ping(address)
        assert switch.believed(address) == "stranger"


def test_a_thousand_addresses_are_asked_for_and_begun_within_seconds(alpha: Node, beta: Node) -> None:
    """Beta stands for the other speakers, which hear every probe."""
    addresses = [f"198.51.{100 + number // 250}.{number % 250 + 1}" for number in range(500)]
    addresses += [f"2001:db8:0:3::{number:x}" for number in range(0x1000, 0x1000 + 500)]
    begin(beta, V4)
    alpha.driver.report()
    alpha.driver.want(**{address: {} for address in addresses})
    until(lambda: len(alpha.holds()) == len(addresses), 5)
    assert alpha.driver.report()["lateness_ms"] < 250
