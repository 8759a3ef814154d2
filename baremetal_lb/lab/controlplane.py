"""The command line of every Kubernetes process in a lab: control plane, kube-proxies, kubelets. Pure."""

import sys
from pathlib import Path

from baremetal_lb.lab.binaries import Binaries
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.processes import Command
from baremetal_lb.lab.state import Options, ProxyMode
from baremetal_lb.lab.topology import API_PORT, CONTROL_PLANE, POD_NETWORKS, SERVICE_NETWORKS, Host
from baremetal_lb.lab.users import CONTROLLER_MANAGER, SCHEDULER, kubelet_user, proxy_user

ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
PROXY_HEALTH_PORT = 10256

AUDIT_LOG = "audit"
AUDIT_POLICY_FILE = "audit-policy.yaml"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts:baremetal-lb-system"]
  - level: None
"""

_LOOPBACK = "http://127.0.0.1"
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_CHECKOUT = Path(__file__).parents[2]
# Nodes get their Pod networks from the topology, and there is no cloud.
_CONTROLLERS_LEFT_OUT = ("node-ipam-controller", "bootstrap-signer-controller", "token-cleaner-controller")


def etcd(paths: LabPaths, binaries: Binaries) -> Command:
    """Start etcd; it forgets everything with the lab, so it need not wait for the disk."""
    flags = {
        "data-dir": str(paths.state / "etcd"),
        "listen-client-urls": f"{_LOOPBACK}:{ETCD_PORT}",
        "advertise-client-urls": f"{_LOOPBACK}:{ETCD_PORT}",
        "listen-peer-urls": f"{_LOOPBACK}:{ETCD_PEER_PORT}",
        "initial-advertise-peer-urls": f"{_LOOPBACK}:{ETCD_PEER_PORT}",
        "initial-cluster": f"default={_LOOPBACK}:{ETCD_PEER_PORT}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return _command("etcd", CONTROL_PLANE, binaries["etcd"], flags)


def api_server(paths: LabPaths, binaries: Binaries, host: Host, *, audit: bool = False) -> Command:
    """Start kube-apiserver, with RBAC in force and both families for Services."""
    service_accounts = str(paths.pki / "service-accounts.key")
    flags = {
        "etcd-servers": f"{_LOOPBACK}:{ETCD_PORT}",
        "secure-port": str(API_PORT),
        "advertise-address": str(host.addresses[0]),
        "tls-cert-file": str(paths.pki / "apiserver.crt"),
        "tls-private-key-file": str(paths.pki / "apiserver.key"),
        "token-auth-file": str(paths.pki / "tokens.csv"),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": ",".join(map(str, SERVICE_NETWORKS)),
        "service-account-issuer": _ISSUER,
        "service-account-key-file": service_accounts,
        "service-account-signing-key-file": service_accounts,
        "allow-privileged": "true",
        # Webhooks are called at their Pods: the control plane's host runs no kube-proxy.
        "enable-aggregator-routing": "true",
        "profiling": "false",
    }
    if audit:
        flags["audit-policy-file"] = str(paths.state / AUDIT_POLICY_FILE)
        flags["audit-log-path"] = str(paths.log(AUDIT_LOG))
    return _command("kube-apiserver", CONTROL_PLANE, binaries["kube-apiserver"], flags)


def controller_manager(paths: LabPaths, binaries: Binaries, options: Options) -> Command:
    """Start kube-controller-manager; each controller talks with a service account of its own."""
    flags = {
        "kubeconfig": str(paths.kubeconfig(CONTROLLER_MANAGER.kubeconfig)),
        "root-ca-file": str(paths.pki / "ca.crt"),
        "service-account-private-key-file": str(paths.pki / "service-accounts.key"),
        "use-service-account-credentials": "true",
        "controllers": ",".join(["*", *(f"-{name}" for name in _CONTROLLERS_LEFT_OUT)]),
        "allocate-node-cidrs": "false",
        # The default of 20 requests a second spends four seconds of every start on the controllers' own tokens.
        "kube-api-qps": "200",
        "kube-api-burst": "400",
        "node-monitor-grace-period": f"{options.node_monitor_grace_seconds}s",
        "leader-elect": "false",
        "secure-port": "0",
        "profiling": "false",
    }
    return _command("kube-controller-manager", CONTROL_PLANE, binaries["kube-controller-manager"], flags)


def scheduler(paths: LabPaths, binaries: Binaries) -> Command:
    """Start kube-scheduler."""
    flags = {
        "kubeconfig": str(paths.kubeconfig(SCHEDULER.kubeconfig)),
        "leader-elect": "false",
        "secure-port": "0",
        "profiling": "false",
    }
    return _command("kube-scheduler", CONTROL_PLANE, binaries["kube-scheduler"], flags)


def proxy(paths: LabPaths, binaries: Binaries, node: Host, mode: ProxyMode) -> Command:
    """Start kube-proxy on a node; sysctls of conntrack belong to the machine, so it leaves them as they are."""
    flags = {
        "kubeconfig": str(paths.kubeconfig(proxy_user(node.name).kubeconfig)),
        "proxy-mode": mode.value,
        "hostname-override": node.name,
        "cluster-cidr": ",".join(map(str, POD_NETWORKS)),
        "conntrack-max-per-core": "0",
        "conntrack-tcp-timeout-established": "0",
        "conntrack-tcp-timeout-close-wait": "0",
        "profiling": "false",
    }
    return _command(proxy_name(node.name), node.name, binaries["kube-proxy"], flags)


def proxy_name(node: str) -> str:
    """Name the process that is a node's kube-proxy."""
    return f"kube-proxy-{node}"


def kubelet(paths: LabPaths, node: Host, options: Options) -> Command:
    """Start our kubelet on a node; it registers the node with these addresses, Pod networks and labels."""
    arguments = ["--lab", paths.name, "--node", node.name, "--state-dir", str(paths.state)]
    arguments += ["--kubeconfig", str(paths.kubeconfig(kubelet_user(node.name).kubeconfig))]
    for address in node.addresses:
        arguments += ["--node-ip", str(address)]
    for network in node.pod_networks:
        arguments += ["--pod-cidr", str(network)]
    for key, value in options.node_labels.get(node.name, {}).items():
        arguments += ["--label", f"{key}={value}"]
    return Command(
        name=kubelet_name(node.name),
        host=node.name,
        argv=(sys.executable, "-m", "baremetal_lb.lab.kubelet", *arguments),
        environment={"PYTHONPATH": str(_CHECKOUT), "PYTHONUNBUFFERED": "1"},
    )


def kubelet_name(node: str) -> str:
    """Name the process that is a node's kubelet."""
    return f"kubelet-{node}"


def _command(name: str, host: str, program: str, flags: dict[str, str]) -> Command:
    return Command(name, host, (program, *(f"--{flag}={value}" for flag, value in flags.items())), {})
