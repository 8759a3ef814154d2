"""The beat process over real networks: a switch with a host for each node; no Kubernetes involved.

`a` watches `b`, which watches nobody, and `b` suffers. Times are on the clock of the machine, which all hosts share.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Self

import pytest

KEYS = {"1": "17" * 32}
FAMILIES = {"IPv4": "192.0.2.{}", "IPv6": "2001:db8:0:2::{}"}
SWITCH = f"bmlb-beats{os.getpid()}"
PAIRS = 8

both_families = pytest.mark.parametrize("family", FAMILIES)


def ip(*arguments: str, namespace: str = SWITCH) -> None:
    subprocess.run(["ip", "-n", namespace, *arguments], check=True)


def show(figure: str) -> None:
    """Print what was measured; seen with `pytest -s`."""
    sys.stdout.write(f"\n{figure}")


@contextmanager
def switch(*names: str) -> Iterator[None]:
    """Hosts, each a namespace, on one switch that is another."""
    namespaces = [SWITCH, *(f"{SWITCH}-{name}" for name in names)]
    try:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            ip("link", "set", "lo", "up", namespace=namespace)
        ip("link", "add", "lan", "up", "type", "bridge")
        for number, namespace in enumerate(namespaces[1:], start=11):
            ip("link", "add", "name", f"to-{names[number - 11]}", "up", "master", "lan", "type", "veth",
               "peer", "name", "eth0", "netns", namespace)  # fmt: skip
            ip("link", "set", "eth0", "up", namespace=namespace)
            for prefix, length in (("192.0.2.{}", 24), ("2001:db8:0:2::{}", 64)):
                extra = ["nodad"] if ":" in prefix else []
                ip("addr", "add", f"{prefix.format(number)}/{length}", "dev", "eth0", *extra, namespace=namespace)
        yield
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


class Node:
    """A `bench.beater` in its namespace, and what it has said."""

    def __init__(self, name: str, *prefix: str) -> None:
        self.name = name
        self.changes: list[tuple[float, dict[str, str]]] = []
        self.reports: Queue[dict[str, Any]] = Queue()
        program = [sys.executable, "-m", "bench.beater", name]
        self._command = ["ip", "netns", "exec", f"{SWITCH}-{name}", *prefix, *program]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._listening = Thread(target=self._listen)
        self._listening.start()
        self.beat_pid = self.reports.get(timeout=10)["ready"]
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self._listening.join()
        self.process.stdout.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if "changed" in event:
                self.changes.append((event["at"], event["changed"]))
            else:
                self.reports.put(event)

    def say(self, **command: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def tell(self, peers: dict[str, str], flags: int = 0, keys: dict[str, str] | None = None) -> None:
        self.say(peers=peers, keys=KEYS if keys is None else keys, flags=flags)

    def report(self) -> dict[str, Any]:
        self.say(report=True)
        counted: dict[str, Any] = self.reports.get(timeout=10)["report"]
        return counted

    def signal(self, number: signal.Signals, *, beats: bool = False) -> None:
        """Send a signal to the speaker, or to its beat process."""
        try:
            os.kill(self.beat_pid if beats else self.process.pid, number)
        except ProcessLookupError:
            assert number is signal.SIGCONT

    def wait_for(self, node: str, state: str, *, since: float, within: float) -> float:
        """Wait until it has seen a node so, and answer how many milliseconds after `since`."""
        while time.monotonic() < since + within + 1.0:
            for at, changed in list(self.changes):
                if at >= since and changed.get(node) == state:
                    assert at - since <= within, f"{1000 * (at - since):.0f} ms"
                    return 1000 * (at - since)
            time.sleep(0.005)
        raise AssertionError(f"{node} is not {state}: {self.changes}")


@pytest.fixture(scope="module", autouse=True)
def lan() -> Iterator[None]:
    with switch("a", "b", *(f"w{number}" for number in range(1, PAIRS))):
        yield


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    with Node("a") as a, Node("b") as b:
        yield a, b
        ip("link", "set", "to-b", "up")


def watch(a: Node, b: Node, family: str = "IPv4") -> None:
    start = time.monotonic()
    b.tell({})
    a.tell({"b": FAMILIES[family].format(12)})
    a.wait_for("b", "alive", since=start, within=3.0)
    time.sleep(0.3)


@both_families
def test_a_cut_link_is_seen_within_its_bound(pair: tuple[Node, Node], family: str) -> None:
    a, b = pair
    watch(a, b, family)
    silent_ms, back_ms = [], []
    for _ in range(5):
        cut_at = time.monotonic()
        ip("link", "set", "to-b", "down")
        silent_ms.append(a.wait_for("b", "silent", since=cut_at, within=0.45))
        mended_at = time.monotonic()
        ip("link", "set", "to-b", "up")
        back_ms.append(a.wait_for("b", "alive", since=mended_at, within=5.0))
        time.sleep(0.3)
    show(f"{family}: silent after {sorted(map(round, silent_ms))} ms, back after {sorted(map(round, back_ms))} ms")
    assert min(silent_ms) >= 215


def test_a_frozen_node_is_silent_and_accuses_nobody_when_it_wakes(pair: tuple[Node, Node]) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    b.tell({"a": "192.0.2.11"})
    b.wait_for("a", "alive", since=start, within=1.0)
    time.sleep(0.5)
    frozen_at = time.monotonic()
    b.signal(signal.SIGSTOP)
    b.signal(signal.SIGSTOP, beats=True)
    show(f"silent after {a.wait_for('b', 'silent', since=frozen_at, within=0.45):.0f} ms")
    time.sleep(2.0)
    woken_at = time.monotonic()
    b.signal(signal.SIGCONT, beats=True)
    b.signal(signal.SIGCONT)
    a.wait_for("b", "alive", since=woken_at, within=0.5)
    time.sleep(0.5)
    assert [changed for at, changed in b.changes if at >= frozen_at] == []


def freeze(node: Node) -> None:
    node.signal(signal.SIGSTOP)


def fall_ill(node: Node) -> None:
    node.say(well=False)


@pytest.mark.parametrize("suffer", [pytest.param(freeze, id="frozen"), pytest.param(fall_ill, id="not well")])
def test_a_speaker_that_does_not_say_that_it_is_well_is_unhealthy(
    pair: tuple[Node, Node], suffer: Callable[[Node], None]
) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    suffer(b)
    show(f"unhealthy after {a.wait_for('b', 'unhealthy', since=start, within=0.45):.0f} ms")
    assert not any("silent" in changed.values() for _, changed in a.changes)
    start = time.monotonic()
    b.signal(signal.SIGCONT)
    b.say(well=True)
    a.wait_for("b", "alive", since=start, within=0.5)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but its burial."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_dies_with_its_speaker_and_says_so(pair: tuple[Node, Node], number: signal.Signals) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    b.signal(number)
    show(f"unhealthy after {a.wait_for('b', 'unhealthy', since=start, within=0.3):.0f} ms")
    a.wait_for("b", "silent", since=start, within=0.6)
    assert has_ended(b.beat_pid)


def test_a_speaker_that_leaves_says_so_at_once(pair: tuple[Node, Node]) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    b.tell({}, flags=2)
    show(f"leaving after {a.wait_for('b', 'leaving', since=start, within=0.2):.0f} ms")


@pytest.mark.parametrize(("number", "within"), [(signal.SIGKILL, 2.0), (signal.SIGSTOP, 6.0)])
def test_a_beat_process_that_dies_or_sticks_is_started_anew(
    pair: tuple[Node, Node], number: signal.Signals, within: float
) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    a.signal(number, beats=True)
    a.wait_for("b", "unknown", since=start, within=within)
    back_ms = a.wait_for("b", "alive", since=start, within=within)
    report = a.report()
    show(f"alive again {back_ms:.0f} ms after {number.name}")
    assert report["restarts"] == 1
    assert report["pid"] != a.beat_pid
    assert not any("silent" in changed.values() for _, changed in a.changes)


def test_it_beats_without_the_right_to_hurry() -> None:
    with Node("a", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice") as a, Node("b") as b:
        watch(a, b)
        assert os.sched_getscheduler(a.beat_pid) == os.SCHED_OTHER
        assert os.sched_getscheduler(b.beat_pid) == os.SCHED_FIFO


def test_keys_change_under_way(pair: tuple[Node, Node]) -> None:
    a, b = pair
    watch(a, b)
    start = time.monotonic()
    both, new = KEYS | {"2": "2a" * 32}, {"2": "2a" * 32}
    for keys in (both, new):
        for node, peers in ((a, {"b": "192.0.2.12"}), (b, {})):
            node.tell(peers, keys=keys)
            time.sleep(0.6)
    assert [changed for at, changed in a.changes if at >= start] == []


def test_what_eight_pairs_cost() -> None:
    """Printed, and bounded loosely: the machine has other things to do."""
    seconds = 5.0
    names = ["b", *(f"w{number}" for number in range(1, PAIRS))]
    others = [Node(name) for name in names]
    with Node("a") as a:
        try:
            start = time.monotonic()
            for node in others:
                node.__enter__().tell({})
            a.tell({name: str(ip_address("192.0.2.12") + number) for number, name in enumerate(names)})
            for name in names:
                a.wait_for(name, "alive", since=start, within=15.0)
            before = a.report()
            time.sleep(seconds)
            after = a.report()
            accused = [changed for _, changed in a.changes if set(changed.values()) != {"alive"}]
        finally:
            for node in others:
                node.__exit__()
    user, system = (
        100 * (later - earlier) / seconds
        for earlier, later in zip(before["cpu_seconds"], after["cpu_seconds"], strict=True)
    )
    show(f"{PAIRS} pairs: {user:.1f} % of a core and {system:.1f} % in the kernel;")
    show(f"resident {after['rss_mb']:.1f} MB, of which its own {after['private_mb']:.1f} MB")
    assert accused == []
    assert user + system < 10
    assert after["rss_mb"] < 20
