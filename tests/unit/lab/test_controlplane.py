"""The command lines say what the lab promises."""

from pathlib import Path

import pytest

from baremetal_lb.lab import controlplane
from baremetal_lb.lab.binaries import PROGRAMS, Binaries
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.processes import Command
from baremetal_lb.lab.state import Options, ProxyMode

PATHS = LabPaths.of("one")
BINARIES = Binaries({program: Path("/bin") / program for program in PROGRAMS})
OPTIONS = Options(nodes=2, node_monitor_grace_seconds=12, node_labels={"node2": {"rack": "b", "zone": "z"}})
NODE = OPTIONS.topology.host("node2")


def every_command() -> list[Command]:
    return [
        controlplane.etcd(PATHS, BINARIES),
        controlplane.api_server(PATHS, BINARIES, OPTIONS.topology.host("cp")),
        controlplane.controller_manager(PATHS, BINARIES, OPTIONS),
        controlplane.scheduler(PATHS, BINARIES),
        controlplane.proxy(PATHS, BINARIES, NODE, ProxyMode.NFTABLES),
        controlplane.kubelet(PATHS, NODE, OPTIONS),
    ]


def test_every_process_has_its_own_name_and_a_host_of_the_lab() -> None:
    commands = every_command()
    assert len({command.name for command in commands}) == len(commands)
    for command in commands:
        OPTIONS.topology.host(command.host)


def test_rbac_and_both_families_are_in_force() -> None:
    flags = controlplane.api_server(PATHS, BINARIES, OPTIONS.topology.host("cp")).argv
    assert "--authorization-mode=Node,RBAC" in flags
    assert "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112" in flags
    assert "--advertise-address=192.0.2.2" in flags


def test_each_controller_has_an_account_of_its_own_and_the_grace_period_is_the_options() -> None:
    flags = controlplane.controller_manager(PATHS, BINARIES, OPTIONS).argv
    assert "--use-service-account-credentials=true" in flags
    assert "--node-monitor-grace-period=12s" in flags


@pytest.mark.parametrize("mode", [ProxyMode.NFTABLES, ProxyMode.IPTABLES])
def test_kube_proxy_works_as_asked_and_touches_no_sysctl_of_the_machine(mode: ProxyMode) -> None:
    flags = controlplane.proxy(PATHS, BINARIES, NODE, mode).argv
    assert f"--proxy-mode={mode.value}" in flags
    assert "--hostname-override=node2" in flags
    assert {"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"} <= set(flags)


def test_the_kubelet_is_told_its_addresses_pod_networks_and_labels() -> None:
    line = " ".join(controlplane.kubelet(PATHS, NODE, OPTIONS).argv)
    assert "--node-ip 192.0.2.12 --node-ip 2001:db8:0:2::12" in line
    assert "--pod-cidr 10.244.2.0/24 --pod-cidr fd00:10:244:2::/64" in line
    assert "--label rack=b --label zone=z" in line
    assert "--kubeconfig /run/baremetal-lb/one/kubeconfig/kubelet-node2" in line
