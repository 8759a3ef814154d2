"""The lab keeps its word: what comes up, what breaks and mends, what is left when it is gone."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import namespaces_of, processes_in
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.processes import is_alive
from baremetal_lb.lab.topology import LAN, Host
from baremetal_lb.settings import BEAT_PORT, SPEAKER_PORT

CLI = [sys.executable, "-m", "baremetal_lb.cli.main", "lab"]


def test_every_host_reaches_every_other_in_both_families(bare_lab: Lab) -> None:
    hosts = bare_lab.topology.hosts
    unreached = [
        f"{one.name} -> {address}"
        for one in hosts
        for other in hosts
        for address in other.addresses
        if bare_lab.run(one.name, "ping", "-c1", "-W2", str(address)).returncode != 0
    ]
    assert unreached == []


def test_nodes_are_ready_and_have_their_addresses(bare_lab: Lab) -> None:
    nodes = {node["metadata"]["name"]: node for node in bare_lab.get_json("/api/v1/nodes")["items"]}
    assert set(nodes) == {node.name for node in bare_lab.topology.nodes}
    for host in bare_lab.topology.nodes:
        node = nodes[host.name]
        internal = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert internal == [str(address) for address in host.addresses]
        assert node["spec"]["podCIDRs"] == [str(network) for network in host.pod_networks]


def test_rbac_is_in_force(bare_lab: Lab) -> None:
    """The kubelet of one node may not touch another Node."""
    kubeconfig = bare_lab.paths.kubeconfig("kubelet-node1")
    with pytest.raises(LabError, match=r"[Ff]orbidden"):
        bare_lab.kubectl("--kubeconfig", str(kubeconfig), "label", "node", "node2", "a=b")


def _pings(lab: Lab, host: Host, source: str = "client1") -> list[bool]:
    return [lab.run(source, "ping", "-c1", "-W1", str(one)).returncode == 0 for one in host.addresses]


def _hears(lab: Lab, sender: str, receiver: str, address: Address, port: int) -> bool:
    """Tell whether a datagram arrives, whoever listens at its port."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    text = f"hello {address} {port}".encode()
    with (
        Vantage(lab.paths, lab.topology, receiver).raw_socket() as ear,
        lab.inside(sender, lambda: socket.socket(family, socket.SOCK_DGRAM)) as mouth,
    ):
        mouth.sendto(text, (str(address), port))
        deadline = time.monotonic() + 0.5
        while (left := deadline - time.monotonic()) > 0:
            ear.settimeout(left)
            with contextlib.suppress(TimeoutError):
                if text in ear.recv(2048):
                    return True
    return False


def _sees_api(lab: Lab, host: str) -> bool:
    answer = lab.run(host, "curl", "-sk", "-m", "2", "https://192.0.2.2:6443/readyz")
    return answer.stdout == "ok"


class TestFaults:
    def test_a_cut_link_silences_a_host_until_it_heals(self, bare_lab: Lab) -> None:
        node = bare_lab.topology.host("node1")
        bare_lab.fail("link", "node1")
        assert _pings(bare_lab, node) == [False, False]
        bare_lab.heal("link", "node1")
        bare_lab.wait(lambda: _pings(bare_lab, node) == [True, True], 10, "node1 answers again")

    def test_a_partition_hides_the_api_server_from_one_node_only(self, bare_lab: Lab) -> None:
        bare_lab.fail("partition", "node2")
        assert not _sees_api(bare_lab, "node2")
        assert _sees_api(bare_lab, "node1")
        assert _pings(bare_lab, bare_lab.topology.host("node2")) == [True, True]
        bare_lab.heal("partition", "node2")
        assert _sees_api(bare_lab, "node2")

    @pytest.mark.parametrize(("kind", "api_is_seen"), [("split", True), ("isolated", False)])
    def test_a_segment_is_parted_and_no_carrier_lost(self, bare_lab: Lab, kind: str, api_is_seen: bool) -> None:
        """Who is split off together hears each other."""
        node1, node2 = bare_lab.topology.nodes[:2]
        bare_lab.fail(kind, "node1,client2")
        assert _pings(bare_lab, node1) == [False, False]
        assert _pings(bare_lab, node1, "client2") == [True, True]
        assert _pings(bare_lab, node2, "client2") == [False, False]
        assert _pings(bare_lab, node2) == [True, True]
        assert _sees_api(bare_lab, "node1") == api_is_seen
        assert bare_lab.run("node1", "cat", "/sys/class/net/eth0/carrier").stdout == "1\n"
        bare_lab.heal(kind, "node1,client2")
        assert _pings(bare_lab, node1) == [True, True]
        assert _sees_api(bare_lab, "node1")

    def test_blocked_beats_are_all_that_is_lost(self, bare_lab: Lab) -> None:
        node1, client = bare_lab.topology.host("node1"), bare_lab.topology.host("client1")
        bare_lab.fail("beats-blocked", "node1")
        for address in node1.addresses:
            assert not _hears(bare_lab, "client1", "node1", address, BEAT_PORT)
            assert _hears(bare_lab, "client1", "node1", address, BEAT_PORT + 1)
        for address in client.addresses:
            assert not _hears(bare_lab, "node1", "client1", address, BEAT_PORT)
        assert _pings(bare_lab, node1) == [True, True]
        bare_lab.heal("beats-blocked", "node1")
        for address in node1.addresses:
            assert _hears(bare_lab, "client1", "node1", address, BEAT_PORT)

    @pytest.mark.parametrize("address", ["192.0.2.150", "2001:db8:0:2::150"])
    def test_a_host_takes_an_address_and_says_so(self, bare_lab: Lab, address: str) -> None:
        mac = bare_lab.topology.host("client1").mac(LAN)
        other, taken = Vantage(bare_lab.paths, bare_lab.topology, "client2"), parse_address(address)
        with other.listening() as ears:
            bare_lab.fail("squatter", f"client1={address}")
            assert ears.claims(taken) == {mac}
        assert other.announcers(taken) == {mac}
        bare_lab.heal("squatter", f"client1={address}")
        assert other.announcers(taken) == set()

    def test_a_frozen_speaker_is_all_that_stands_still(self, lab: Lab) -> None:
        host = Vantage(lab.paths, lab.topology, "client1")
        node1, node2 = lab.topology.nodes[:2]
        lab.fail("speaker-frozen", "node1")
        with pytest.raises(TimeoutError):
            host.fetch(node1.addresses[0], SPEAKER_PORT, "/healthz")
        assert host.fetch(node2.addresses[0], SPEAKER_PORT, "/healthz").status == 200
        assert lab.run("node1", "curl", "-s", "-m1", "http://127.0.0.1:10256/livez").returncode == 0
        lab.heal("speaker-frozen", "node1")
        assert host.fetch(node1.addresses[0], SPEAKER_PORT, "/healthz").status == 200

    @pytest.mark.parametrize("kind", ["api", "api-frozen"])
    def test_the_api_server_is_away_until_it_heals(self, bare_lab: Lab, kind: str) -> None:
        bare_lab.fail(kind)
        assert not _sees_api(bare_lab, "node1")
        bare_lab.heal(kind)
        assert _sees_api(bare_lab, "node1")

    def test_a_dead_node_has_no_process_and_comes_back(self, bare_lab: Lab) -> None:
        node = bare_lab.topology.host("node3")
        bare_lab.fail("node", "node3")
        assert processes_in([bare_lab.paths.namespace("node3")]) == []
        assert _pings(bare_lab, node) == [False, False]
        bare_lab.heal("node", "node3")
        assert _pings(bare_lab, node) == [True, True]
        assert is_alive(bare_lab.record.process("kubelet-node3"))
        assert is_alive(bare_lab.record.process("kube-proxy-node3"))

    def test_a_frozen_node_runs_nothing(self, bare_lab: Lab) -> None:
        bare_lab.fail("node-frozen", "node2")
        assert bare_lab.run("node2", "curl", "-s", "-m1", "http://127.0.0.1:10256/livez").returncode == 28
        bare_lab.heal("node-frozen", "node2")
        assert bare_lab.run("node2", "curl", "-s", "-m1", "http://127.0.0.1:10256/livez").returncode == 0

    @pytest.mark.parametrize(
        ("kind", "target", "complaint"),
        [
            pytest.param("flood", "node1", "no fault 'flood'", id="an unknown kind is refused"),
            pytest.param("link", "node9", "no host 'node9'", id="an unknown host is refused"),
            pytest.param("node", "client1", "no node 'client1'", id="a client is no node"),
            pytest.param("split", "node1,node9", "no host 'node9'", id="an unknown host among others is refused"),
            pytest.param("squatter", "client1", "not of the form HOST=ADDRESS", id="a squatter needs an address"),
        ],
    )
    def test_a_fault_that_cannot_be_is_refused(self, bare_lab: Lab, kind: str, target: str, complaint: str) -> None:
        with pytest.raises(LabError, match=complaint):
            bare_lab.fail(kind, target)
        assert bare_lab.record.faults == ()


@pytest.fixture
def second() -> Iterator[LabPaths]:
    """The paths of a lab beside the first one, which is gone afterwards whatever the test did."""
    paths = LabPaths.of(f"second{os.getpid()}")
    yield paths
    Lab(paths.name).down()


def _machine_network() -> dict[str, str]:
    """What the machine's own namespace holds, which is none of a lab's business."""
    questions = ("ip -o link", "ip route show table all", "ip -6 route show table all", "nft list ruleset")
    answers = {one: subprocess.run(one.split(), capture_output=True, text=True, check=True).stdout for one in questions}
    sysctls = ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter", "ipv6/conf/all/accept_dad")
    return answers | {name: Path("/proc/sys/net", name).read_text() for name in sysctls}


def test_two_labs_stand_side_by_side(bare_lab: Lab, second: LabPaths) -> None:
    before = {process.command.name: process.pid for process in bare_lab.record.processes}
    machine = _machine_network()
    with Lab(second.name, nodes=1, clients=1, routers=1, remote_clients=1) as other:
        names = [node["metadata"]["name"] for node in other.get_json("/api/v1/nodes")["items"]]
        assert names == ["node1"]
        assert len(bare_lab.get_json("/api/v1/nodes")["items"]) == 3
        for address in other.topology.host("node1").addresses:
            assert other.run("client2", "ping", "-c1", "-W2", str(address)).returncode == 0, "through the router"
        assert _machine_network() == machine
        with pytest.raises(LabError, match="no speaker runs there"):
            other.fail("speaker", "node1")
    assert namespaces_of(second) == []
    assert not second.state.exists()
    assert {process.command.name: process.pid for process in bare_lab.record.processes} == before
    assert all(is_alive(process) for process in bare_lab.record.processes)


def _network_is_made(paths: LabPaths) -> bool:
    return paths.log("etcd").exists()


def _nodes_are_starting(paths: LabPaths) -> bool:
    return paths.log("kubelet-node1").exists()


@pytest.mark.usefixtures("bare_lab")
@pytest.mark.parametrize("moment", [_network_is_made, _nodes_are_starting])
def test_down_clears_what_a_killed_up_left(second: LabPaths, moment: Callable[[LabPaths], bool]) -> None:
    with subprocess.Popen(
        [*CLI, "up", "--name", second.name, "--nodes", "1", "--no-install"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:
        while not moment(second):
            assert command.poll() is None
            time.sleep(0.02)
        command.send_signal(signal.SIGKILL)
    namespaces = namespaces_of(second)
    assert processes_in(namespaces), "something is left to clear"
    done = subprocess.run([*CLI, "down", "--name", second.name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"gone: {second.name}\n")
    assert namespaces_of(second) == []
    assert not second.state.exists()


@pytest.mark.usefixtures("bare_lab")
def test_a_lab_whose_record_is_lost_is_taken_down_by_name(second: LabPaths) -> None:
    lab = Lab(second.name, nodes=0, clients=1)
    lab.up()
    second.record.write_text("{")
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        assert lab.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert namespaces_of(second) == []


def test_a_failed_start_leaves_nothing_and_shows_the_log(
    second: LabPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bare_lab: Lab
) -> None:
    broken = tmp_path / "assets"
    broken.mkdir()
    program = broken / "etcd"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo 'etcd Version: 3.7.0' || { echo no disk; exit 3; }\n")
    program.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", os.fspath(broken))
    with pytest.raises(LabError, match=r"(?s)etcd ended.*no disk"):
        Lab(second.name, nodes=1).up()
    assert namespaces_of(second) == []
    assert not second.state.exists()
    assert all(is_alive(process) for process in bare_lab.record.processes)


def test_an_existing_lab_is_not_made_twice(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match="was not taken down"):
        Lab(bare_lab.paths.name).up()
    assert all(is_alive(process) for process in bare_lab.record.processes)
