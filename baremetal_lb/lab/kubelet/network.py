"""A Pod's network namespace, its cable to the node, and which addresses of the node's Pod networks are taken.

Pods are routed, not bridged: each has a veth of its own and host routes at both ends, so that all of its traffic passes
the node's forwarding, connection tracking and kube-proxy. Who has which address is read from the node's routes.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from baremetal_lb.lab.kubelet.podview import PodKey
from baremetal_lb.lab.names import NAMESPACE_ROOT, LabPaths

FIRST_POD, LAST_POD = 2, 250
"""Numbers of Pods within the node's networks; .1 is the node's end of every cable."""

GATEWAY_IPV6 = "fe80::1"
POD_SYSCTLS = {
    "/proc/sys/net/ipv4/ip_unprivileged_port_start": "0",
    "/proc/sys/net/ipv4/ping_group_range": "0 2147483647",
}
"""As containerd sets them."""


class NetworkError(Exception):
    """A Pod's network can't be had; the text says why."""


@dataclass(frozen=True, slots=True)
class PodNetworks:
    """The Pod networks of one node."""

    ipv4: IPv4Network
    ipv6: IPv6Network

    def addresses_of(self, number: int) -> tuple[IPv4Address, IPv6Address]:
        """Tell the addresses of the Pod with this number; both end in the same digits."""
        return self.ipv4[number], self.ipv6[int(str(number), 16)]

    def number_of(self, address: IPv4Address) -> int:
        """Tell the number of the Pod that has this IPv4 address."""
        return int(address) - int(self.ipv4.network_address)

    @property
    def gateway_ipv4(self) -> IPv4Address:
        """The node's own address on every Pod's cable."""
        return self.ipv4[1]


def free_number(taken: Iterable[int], after: int) -> int | None:
    """Choose the next free number after the last one given out, so that an address rests before it is used again."""
    used = set(taken)
    size = LAST_POD - FIRST_POD + 1
    candidates = (FIRST_POD + (after + 1 - FIRST_POD + step) % size for step in range(size))
    return next((number for number in candidates if number not in used), None)


def node_commands(networks: PodNetworks, link: str, number: int) -> list[str]:
    """Write the `ip` commands for the node's end of a Pod's cable; the IPv4 route, by which it is found again, last."""
    ipv4, ipv6 = networks.addresses_of(number)
    return [
        f"addr add {networks.gateway_ipv4}/32 dev {link}",
        f"addr add {GATEWAY_IPV6}/64 dev {link} nodad",
        f"link set {link} up",
        f"route replace {ipv6}/128 dev {link}",
        f"route replace {ipv4}/32 dev {link} src {networks.gateway_ipv4}",
    ]


def pod_commands(networks: PodNetworks, number: int) -> list[str]:
    """Write the `ip` commands for the Pod's own namespace."""
    ipv4, ipv6 = networks.addresses_of(number)
    return [
        "link set lo up",
        f"addr add {ipv4}/32 dev eth0",
        f"addr add {ipv6}/128 dev eth0 nodad",
        "link set eth0 up",
        f"route add {networks.gateway_ipv4} dev eth0 scope link",
        f"route add default via {networks.gateway_ipv4} dev eth0",
        f"route add default via {GATEWAY_IPV6} dev eth0",
    ]


class PodNetwork:
    """Makes, finds and removes the networks of the Pods of one node."""

    def __init__(self, paths: LabPaths, networks: PodNetworks) -> None:
        self._paths = paths
        self._networks = networks
        self._numbers: dict[str, int] = {}
        self._last = FIRST_POD - 1

    def namespace_of(self, key: PodKey) -> Path:
        """Tell the file that stands for the Pod's namespace."""
        return NAMESPACE_ROOT / self._paths.pod_namespace(key.uid)

    async def find_existing(self) -> None:
        """Learn from the node's routes what an earlier run gave out."""
        routes = json.loads(await _run("ip", "-j", "-4", "route", "show", "table", "main") or "[]")
        self._numbers = _numbers_by_link(routes, self._networks)
        self._last = max(self._numbers.values(), default=FIRST_POD - 1)

    def find(self, key: PodKey) -> tuple[str, str] | None:
        """Tell the addresses of a Pod whose network is there already."""
        number = self._numbers.get(_link_of(key))
        return None if number is None or not self.namespace_of(key).exists() else self._texts(number)

    async def ensure(self, key: PodKey) -> tuple[str, str]:
        """Make the Pod's network or find it as it is; answer its addresses. Raises NetworkError."""
        found = self.find(key)
        if found is not None:
            return found
        await self.remove(key)
        number = free_number(self._numbers.values(), self._last)
        if number is None:
            raise NetworkError(f"no free address left in {self._networks.ipv4}")
        self._numbers[_link_of(key)] = self._last = number
        await self._plug_in(key, number)
        return self._texts(number)

    async def remove(self, key: PodKey) -> None:
        """Take a Pod's namespace and cable away; having neither is fine."""
        link, namespace = _link_of(key), self.namespace_of(key)
        await _run("ip", "link", "del", link, may_fail=True)
        if namespace.exists():
            await _run("ip", "netns", "del", namespace.name, may_fail=True)
        self._numbers.pop(link, None)

    async def _plug_in(self, key: PodKey, number: int) -> None:
        """Make namespace and cable. The node's routes come last: an earlier run's are taken for a whole network."""
        namespace, link = self.namespace_of(key).name, _link_of(key)
        await _run("ip", "netns", "add", namespace)
        await _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        await _batch(pod_commands(self._networks, number), "-n", namespace)
        settings = " && ".join(f"echo {value} > {path}" for path, value in POD_SYSCTLS.items())
        await _run("nsenter", f"--net={NAMESPACE_ROOT / namespace}", "sh", "-c", settings)
        await _batch(node_commands(self._networks, link, number))

    def _texts(self, number: int) -> tuple[str, str]:
        ipv4, ipv6 = self._networks.addresses_of(number)
        return str(ipv4), str(ipv6)


def _numbers_by_link(routes: Iterable[Mapping[str, str]], networks: PodNetworks) -> dict[str, int]:
    """Read host routes to Pods: the interface names the Pod, the destination its number."""
    return {
        route["dev"]: networks.number_of(IPv4Address(route["dst"]))
        for route in routes
        if route.get("dev", "").startswith("veth") and "/" not in route["dst"] and route["dst"] != "default"
    }


def _link_of(key: PodKey) -> str:
    return f"veth{key.short_uid}"


async def _batch(commands: Iterable[str], *options: str) -> None:
    await _run("ip", *options, "-batch", "-", text="\n".join(commands))


async def _run(*command: str, text: str = "", may_fail: bool = False) -> str:
    """Run a program to its end; raises NetworkError with its complaint."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    output, complaint = await process.communicate(text.encode())
    if process.returncode and not may_fail:
        raise NetworkError(f"{' '.join(command)}: {complaint.decode(errors='replace').strip()}")
    return output.decode()
