"""Make a planned network in the kernel, and take it away again.

Everything happens inside namespaces that the lab made: veth pairs are born with one end in the host's namespace and the
other in the fabric, so the machine's own namespace never sees an interface, a route or a changed sysctl.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from baremetal_lb.lab.names import NAMESPACE_ROOT, LabPaths
from baremetal_lb.lab.topology import FABRIC, Host, Link, NetworkPlan, Route

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000
_MNT_DETACH = 2
_IFA_F_NODAD = 0x02
_libc = ctypes.CDLL(None, use_errno=True)

# Answers must not wait for duplicate address detection, and reverse path filtering has no IPv6 counterpart.
_HOST_SYSCTLS = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
_FORWARDING_SYSCTLS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
# The fabric is a switch: no addresses of its own, and frames on its bridges are nobody's packets to filter.
_FABRIC_SYSCTLS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}


def inside(namespace: str, function: Callable[[], Result]) -> Result:
    """Call a function in a network namespace and answer what it answers, or raise what it raises.

    It runs in a thread of its own, since a thread cannot be trusted after it has changed its namespace. Sockets that
    the function opens, and threads that it starts, belong to the namespace for good.
    """
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            _enter(namespace)
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter_and_call, name=f"in {namespace}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(namespace: str) -> None:
    descriptor = os.open(NAMESPACE_ROOT / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter namespace {namespace}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def build_network(paths: LabPaths, plan: NetworkPlan) -> None:
    """Make every namespace, bridge, link, address and route of the plan."""
    for name in (FABRIC, *(host.name for host in plan.hosts)):
        subprocess.run(["ip", "netns", "add", paths.namespace(name)], check=True)
    inside(paths.namespace(FABRIC), lambda: _make_bridges(plan.bridges))
    for host in plan.hosts:
        links = [link for link in plan.links if link.host == host.name]
        routes = [route for route in plan.routes if route.host == host.name]
        inside(paths.namespace(host.name), lambda: _set_up_host(paths, host, links, routes))  # noqa: B023 - called at once
    inside(paths.namespace(FABRIC), lambda: _plug_in(plan.links))


def _make_bridges(names: Iterable[str]) -> None:
    _write_sysctls(_FABRIC_SYSCTLS)
    with _netlink() as ip:
        ip.link("set", index=1, state="up")
        for name in names:
            ip.link("add", ifname=name, kind="bridge")
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")


def _set_up_host(paths: LabPaths, host: Host, links: Iterable[Link], routes: Iterable[Route]) -> None:
    _write_sysctls(_HOST_SYSCTLS | (_FORWARDING_SYSCTLS if host.forwards else {}))
    with _netlink() as ip:
        ip.link("set", index=1, state="up")
        for link in links:
            _make_link(ip, link, paths.namespace(FABRIC))
        uplink = ip.link_lookup(ifname="eth0")[0]
        for route in routes:
            _add_route(ip, route, uplink)


def _make_link(ip: Any, link: Link, fabric: str) -> None:
    peer = {"ifname": link.port, "net_ns_fd": fabric}
    ip.link("add", ifname=link.interface, kind="veth", address=link.mac, peer=peer)
    index = ip.link_lookup(ifname=link.interface)[0]
    ip.link("set", index=index, state="up")
    for address in link.addresses:
        text, _, length = address.partition("/")
        nodad = {"flags": _IFA_F_NODAD} if ":" in text else {}
        ip.addr("add", index=index, address=text, prefixlen=int(length), **nodad)


def _add_route(ip: Any, route: Route, uplink: int) -> None:
    how = {"oif": uplink, "scope": "link"} if route.via is None else {"gateway": str(route.via)}
    ip.route("add", dst=str(route.destination), **how)


def _plug_in(links: Iterable[Link]) -> None:
    with _netlink() as ip:
        for link in links:
            bridge, port = ip.link_lookup(ifname=link.segment)[0], ip.link_lookup(ifname=link.port)[0]
            ip.link("set", index=port, master=bridge, state="up")


def set_link(paths: LabPaths, port: str, *, up: bool) -> None:
    """Plug a host's cable into the fabric, or pull it: the host sees its carrier come and go."""
    state = "up" if up else "down"
    command = ["ip", "-n", paths.namespace(FABRIC), "link", "set", port, state]
    subprocess.run(command, check=True)


def _write_sysctls(values: dict[str, str]) -> None:
    """Set sysctls of the calling thread's namespace; those of a module that is not there are left alone."""
    for name, value in values.items():
        path = Path("/proc/sys") / name
        if path.exists():
            path.write_text(value)


def _netlink() -> Any:
    # Half a second to import: only what builds a network pays for it.
    from pyroute2.iproute.linux import IPRoute

    return IPRoute()


def namespaces_of(paths: LabPaths) -> list[str]:
    """List the network namespaces of a lab, those of Pods included."""
    if not NAMESPACE_ROOT.is_dir():
        return []
    return sorted(entry.name for entry in NAMESPACE_ROOT.iterdir() if entry.name.startswith(paths.prefix))


def processes_in(namespaces: Iterable[str]) -> list[int]:
    """List the processes whose network namespace is one of these."""
    wanted = {_identity(NAMESPACE_ROOT / name) for name in namespaces} - {None}
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _identity(entry / "ns" / "net") in wanted
    ]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_namespaces(namespaces: Iterable[str]) -> None:
    """Unmount and unlink namespaces; the kernel frees what is in them once nothing uses it."""
    for name in namespaces:
        path = NAMESPACE_ROOT / name
        unmount(path)
        path.unlink(missing_ok=True)


def mounts_below(directory: Path) -> list[Path]:
    """List what is mounted in a directory, innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (Path(line.split()[4].encode().decode("unicode_escape")) for line in lines)
    return sorted((point for point in points if point.is_relative_to(directory)), reverse=True)


def unmount(path: Path) -> None:
    """Take every mount off a path, also one that is in use; a path that is no mount stays as it is."""
    while _libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
        pass
