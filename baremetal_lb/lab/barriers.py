"""Rules of nftables that keep hosts of a lab from hearing each other while every cable keeps its carrier (pure).

Those of a bridge stand in the fabric, where a host cannot see them: what it sends leaves it, and does not arrive.
"""

from collections.abc import Iterable

from baremetal_lb.lab.topology import Host
from baremetal_lb.settings import BEAT_PORT


def render_partition(node: Host, table: str) -> str:
    """Write the rules of a host that neither hears a node and its Pods nor is heard by them.

    Both ways: what the API server still sends on an open watch would tell the node what it must not know.
    """
    (ipv4, ipv6), (pods4, pods6) = node.addresses, node.pod_networks
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} priority -300;\n"
        f"  ip {end} {{ {ipv4}, {pods4} }} drop\n"
        f"  ip6 {end} {{ {ipv6}, {pods6} }} drop\n"
        "}\n"
        for hook, end in (("input", "saddr"), ("output", "daddr"))
    )
    return f"table inet {table} {{\n{chains}}}\n"


def render_split(hosts: Iterable[str], still_heard: Iterable[str], table: str) -> str:
    """Write the rules of a switch that passes frames of some hosts only to each other and to those still heard."""
    inside = _set(hosts)
    allowed = _set([*hosts, *still_heard])
    return _bridge_table(
        table, (f"iifname {inside} oifname != {allowed} drop", f"oifname {inside} iifname != {allowed} drop")
    )


def render_beat_block(host: str, table: str) -> str:
    """Write the rules of a switch that passes everything of a host, ARP and NDP too, but no beat, in neither way."""
    ends = ("iifname", "oifname")
    return _bridge_table(
        table, (f"{end} {host} ether type {kind} udp dport {BEAT_PORT} drop" for end in ends for kind in ("ip", "ip6"))
    )


def _bridge_table(table: str, rules: Iterable[str]) -> str:
    lines = "".join(f"  {rule}\n" for rule in rules)
    return f"table bridge {table} {{\nchain forward {{ type filter hook forward priority 0;\n{lines}}}\n}}\n"


def _set(names: Iterable[str]) -> str:
    return f"{{ {', '.join(names)} }}"
