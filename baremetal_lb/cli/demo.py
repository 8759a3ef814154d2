"""`baremetal-lb demo`: a Service gets its addresses, is used, and survives the loss of the node that announces it.

Everything happens on a real Kubernetes in network namespaces, and is taken down at the end: also on Ctrl-C, and after a
failure, whose logs are kept.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.cli.steps import Step, Steps
from baremetal_lb.lab.binaries import KUBERNETES_VERSION, find_binaries
from baremetal_lb.lab.bringup import LabExistsError
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.lab import MANIFESTS, PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.probes import Traffic, Vantage
from baremetal_lb.lab.requirements import extend_path
from baremetal_lb.lab.waiting import NeverSeenError

EXAMPLES = MANIFESTS / "examples"
SERVICE_PATH = "/api/v1/namespaces/default/services/echo"
PROTOCOLS = {4: "ARP", 6: "NDP"}

ROLLOUT_SECONDS = 60
SERVED_SECONDS = 30.0
STEADY_PAGES = 10
"""A client that got so many pages in a row from the new node is served again."""


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up, to play with.")] = False,
    name: Annotated[str, typer.Option(help="Name of the lab.")] = "demo",
) -> None:
    """Show how a Service gets its addresses, is used, and survives the loss of a node."""
    extend_path()
    console = Console()
    steps = Steps(console)
    lab = Lab(name, nodes=3, clients=1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with steps.step(f"Kubernetes {KUBERNETES_VERSION} is found, or built from source (7 minutes, once)") as step:
            find_binaries(os.environ, step.progress)
        with _lab_up(lab, steps, keep=keep):
            Demo(lab, steps).run()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (LabError, NeverSeenError, OSError, subprocess.SubprocessError) as error:
        console.print(f"The demo failed: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if keep:
        lab.heal_all()
        console.print(f"It is all still up. Look around: baremetal-lb lab status --name {name}")
        console.print(f"Remove it: baremetal-lb lab down --name {name}")


@contextmanager
def _lab_up(lab: Lab, steps: Steps, *, keep: bool) -> Iterator[None]:
    """Have a lab, and leave nothing of it however it ends, unless it is to be kept."""
    is_ours = True
    try:
        with steps.step("a control plane, three nodes and a client start in network namespaces"):
            lab.up()
        with _evidence_kept(lab, steps):
            yield
    except LabExistsError:
        is_ours = False
        raise
    finally:
        if is_ours and not keep:
            with steps.step("everything is removed"):
                lab.down()


@contextmanager
def _evidence_kept(lab: Lab, steps: Steps) -> Iterator[None]:
    """Keep logs, neighbour tables and objects of a failure."""
    try:
        yield
    except Exception:
        directory = Path(tempfile.mkdtemp(prefix="baremetal-lb-demo-"))
        with steps.step(f"logs, neighbour tables and objects are kept in {directory}"):
            lab.collect(directory)
        raise


class Demo:
    """The story, told on a lab that is up; each method is a step or two of it."""

    def __init__(self, lab: Lab, steps: Steps) -> None:
        self._lab = lab
        self._steps = steps
        self._client = Vantage(lab.paths, lab.topology, "client1")

    def run(self) -> None:
        """Tell it all."""
        self._install()
        addresses = self._apply_examples()
        for address in addresses:
            self._use(address)
        self._lose_a_node(addresses)

    def _install(self) -> None:
        with self._steps.step("kubectl apply -k manifests/") as step:
            self._lab.install()
            columns = "POD:.metadata.name,NODE:.spec.nodeName,ADDRESS:.status.podIP"
            step.detail(
                self._lab.kubectl(
                    "get", "pods", f"--namespace={PRODUCT_NAMESPACE}", f"--output=custom-columns={columns}"
                )
            )

    def _apply_examples(self) -> tuple[Address, ...]:
        with self._steps.step("kubectl apply -f manifests/examples/") as step:
            self._lab.kubectl("apply", f"--filename={EXAMPLES}")
            self._lab.kubectl(
                "rollout", "status", "deployment/echo", f"--timeout={ROLLOUT_SECONDS}s", timeout=2 * ROLLOUT_SECONDS
            )
            addresses = self._lab.wait(self._assigned, SERVED_SECONDS, "two addresses on the Service")
            step.detail(self._lab.kubectl("get", "service", "echo"))
        return addresses

    def _assigned(self) -> tuple[Address, ...]:
        status = self._lab.get_json(SERVICE_PATH)["status"]["loadBalancer"]
        addresses = tuple(parse_address(one["ip"]) for one in status.get("ingress", ()))
        return addresses if len(addresses) == len(PROTOCOLS) else ()

    def _use(self, address: Address) -> None:
        protocol = PROTOCOLS[address.version]
        with self._steps.step(f"the client asks who has {address} ({protocol}), and fetches the page") as step:
            page = self._lab.wait(lambda: self._client.fetch(address), SERVED_SECONDS, f"a page from {address}").json
            self._show_neighbour(address, step)
            step.detail(f"curl http://{_url_host(address)}/  →  Pod {page['pod']} on {page['node']}")

    def _show_neighbour(self, address: Address, step: Step) -> None:
        neighbours = self._lab.run("client1", "ip", "neighbour", "show", "to", str(address)).stdout
        step.detail(f"ip neighbour  →  {neighbours.strip()}  ({self._holder(address)})")

    def _holder(self, address: Address) -> str:
        """Name the node whose MAC the client believes the address to be at."""
        mac = self._client.neighbour(address)
        segment = self._client.host.segments[0]
        return next((node.name for node in self._lab.topology.nodes if node.mac(segment) == mac), "nobody")

    def _lose_a_node(self, addresses: tuple[Address, ...]) -> None:
        address = addresses[0]
        lost = self._holder(address)
        with self._client.traffic(address) as traffic:
            self._lab.wait(lambda: traffic.served_at, SERVED_SECONDS, "the first page")
            with self._steps.step(f"the link of {lost} is cut, while the client goes on connecting") as step:
                self._lab.fail("link", lost)
                cut_at = time.monotonic()
                self._lab.wait(
                    lambda: (
                        self._holder(address) not in {lost, "nobody"} and _pages_since(traffic, cut_at) > STEADY_PAGES
                    ),
                    SERVED_SECONDS,
                    "pages from another node",
                )
                step.detail(f"the client was without a page of {address} for {traffic.longest_gap_seconds:.2f} s")
                step.detail(f"(some tries still end at the Pod on {lost}: it takes Kubernetes longer to miss a node)")
                self._show_neighbour(address, step)
        for other in addresses[1:]:
            self._use(other)


def _pages_since(traffic: Traffic, moment: float) -> int:
    return sum(served_at > moment for served_at in traffic.served_at)


def _url_host(address: Address) -> str:
    return str(address) if address.version == 4 else f"[{address}]"
