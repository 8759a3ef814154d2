"""`python -m baremetal_lb.lab.kubelet`: one node's kubelet, to be started in the node's network namespace.

A stopped kubelet leaves its containers running, and the next one finds them.
"""

import argparse
import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import structlog

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.lab.kubelet.environment import Place
from baremetal_lb.lab.kubelet.events import PodEvents
from baremetal_lb.lab.kubelet.network import PodNetwork, PodNetworks
from baremetal_lb.lab.kubelet.node import NodeSpec, keep_node
from baremetal_lb.lab.kubelet.pods import PodTable
from baremetal_lb.lab.kubelet.runtime import NodeServices
from baremetal_lb.lab.kubelet.source import ObjectSource
from baremetal_lb.lab.names import LabPaths

log = structlog.get_logger()


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="kubelet", description="The kubelet of one lab node.")
    parser.add_argument("--lab", required=True, help="name of the lab")
    parser.add_argument("--node", required=True, help="name of this node")
    parser.add_argument("--kubeconfig", required=True, type=Path, help="credentials of system:node:NODE")
    parser.add_argument("--state-dir", required=True, type=Path, help="state directory of the lab")
    parser.add_argument("--node-ip", required=True, action="append", help="IPv4 address, then once more IPv6")
    parser.add_argument("--pod-cidr", required=True, action="append", help="IPv4 network, then once more IPv6")
    parser.add_argument("--label", action="append", default=[], help="label of the Node, as name=value")
    return parser.parse_args(words)


async def run(arguments: argparse.Namespace) -> None:
    """Be this node's kubelet until SIGTERM or SIGINT."""
    client = await KubeClient.connect(arguments.kubeconfig)
    ipv4, ipv6 = arguments.pod_cidr
    networks = PodNetworks(IPv4Network(ipv4), IPv6Network(ipv6))
    labels = dict(label.partition("=")[::2] for label in arguments.label)
    node = NodeSpec(arguments.node, tuple(arguments.node_ip), (ipv4, ipv6), labels)
    services = NodeServices(
        client=client,
        source=ObjectSource(client),
        network=PodNetwork(LabPaths.of(arguments.lab), networks),
        events=PodEvents(client, node.name),
        place=Place(node.name, node.addresses),
        pods_folder=arguments.state_dir / "node" / node.name / "pods",
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    works = (keep_node(client, node), services.events.run(), PodTable(services).run(client, node.name))
    tasks = [asyncio.create_task(work) for work in (stop.wait(), *works)]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*rest, return_exceptions=True)
    await client.close()
    for task in done:
        task.result()
    log.info("kubelet stopped; its containers go on", node=node.name)


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
