"""Break a lab on purpose, and mend it again: cables, nodes, processes, the way to the API server.

A fault is a pair of functions in `FAULTS`. One with a `heal` is remembered until it is healed; one without mends
itself, since the kubelet starts again what was killed.
"""

import dataclasses
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab import controlplane
from baremetal_lb.lab.barriers import render_beat_block, render_partition, render_split
from baremetal_lb.lab.bringup import api_is_ready, proxy_is_ready, start_process, wait_until_ready
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import inside, namespaces_of, processes_in, set_link
from baremetal_lb.lab.processes import is_alive, kill, kill_pids, send, wait_until_gone
from baremetal_lb.lab.questions import claim_to_all
from baremetal_lb.lab.state import Record, change_record, read_record
from baremetal_lb.lab.topology import CONTROL_PLANE, FABRIC, Host, Link, Topology, links_of

_POLL_SECONDS = 0.005
_API_SERVER = "kube-apiserver"
# What our two processes are called on a command line: `baremetal-lb speaker`, or python with -m baremetal_lb.
_OUR_NAMES = ("baremetal-lb", "baremetal_lb")


class FaultError(LabError):
    """A fault that cannot be."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The lab that a fault happens to."""

    paths: LabPaths
    record: Record

    @property
    def topology(self) -> Topology:
        """Its hosts."""
        return self.record.topology

    def node(self, name: str) -> Host:
        """Find a node; raise FaultError when the name is not one's."""
        for node in self.topology.nodes:
            if node.name == name:
                return node
        raise FaultError(f"no node {name!r}; there are {', '.join(node.name for node in self.topology.nodes)}")


Action = Callable[[Scene, str], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, and what mends it."""

    about: str
    fail: Action
    heal: Action | None = None


def fail(paths: LabPaths, kind: str, target: str = "") -> None:
    """Break something; raise FaultError when there is no such fault or target."""
    fault = _fault(kind)
    scene = Scene(paths, read_record(paths))
    if (kind, target) in scene.record.faults:
        raise FaultError(f"{kind} {target} has failed already; heal it first")
    fault.fail(scene, target)
    if fault.heal is not None:
        change_record(paths, lambda record: dataclasses.replace(record, faults=(*record.faults, (kind, target))))


def heal(paths: LabPaths, kind: str, target: str = "") -> None:
    """Mend what `fail` broke; raise FaultError when that is not broken."""
    fault = _fault(kind)
    if fault.heal is None:
        raise FaultError(f"{kind} heals by itself: its kubelet starts it again")
    scene = Scene(paths, read_record(paths))
    if (kind, target) not in scene.record.faults:
        broken = ", ".join(f"{a} {b}".strip() for a, b in scene.record.faults) or "nothing"
        raise FaultError(f"{kind} {target} has not failed; failed is {broken}")
    fault.heal(scene, target)
    change_record(paths, lambda record: _without_fault(record, (kind, target)))


def _without_fault(record: Record, fault: tuple[str, str]) -> Record:
    return dataclasses.replace(record, faults=tuple(one for one in record.faults if one != fault))


def _fault(kind: str) -> Fault:
    if kind not in FAULTS:
        raise FaultError(f"no fault {kind!r}; there are {', '.join(FAULTS)}")
    return FAULTS[kind]


def _cut_link(scene: Scene, target: str) -> None:
    for link in _links(scene.topology, target):
        set_link(scene.paths, link.port, up=False)


def _join_link(scene: Scene, target: str) -> None:
    for link in _links(scene.topology, target):
        set_link(scene.paths, link.port, up=True)


def _links(topology: Topology, target: str) -> list[Link]:
    """Find all links of a host, or the one at a port such as `router1-wan`."""
    links = [link for host in topology.hosts for link in links_of(host)]
    found = [link for link in links if target in {link.host, link.port}]
    if not found:
        raise FaultError(f"no host {target!r}; there are {', '.join(host.name for host in topology.hosts)}")
    return found


def _power_off(scene: Scene, target: str) -> None:
    """Cut the cable first, so that nobody hears the goodbyes which the kernel sends for killed processes."""
    node = scene.node(target)
    _cut_link(scene, target)
    kill([scene.record.process(controlplane.kubelet_name(node.name))])
    namespaces = _namespaces_of_node(scene.paths, node.name)
    while pids := processes_in(namespaces):
        kill_pids(pids)
        time.sleep(_POLL_SECONDS)
    _run(scene.paths, node.name, ["nft", "flush", "ruleset"])


def _power_on(scene: Scene, target: str) -> None:
    _join_link(scene, target)
    _restart(scene, controlplane.kubelet_name(target))
    _restart(scene, controlplane.proxy_name(target))
    proxy = read_record(scene.paths).process(controlplane.proxy_name(target))
    wait_until_ready(scene.paths, proxy, lambda: proxy_is_ready(scene.paths, target))


def _freeze_node(scene: Scene, target: str) -> None:
    _signal_all(processes_in(_namespaces_of_node(scene.paths, scene.node(target).name)), signal.SIGSTOP)


def _thaw_node(scene: Scene, target: str) -> None:
    _signal_all(processes_in(_namespaces_of_node(scene.paths, scene.node(target).name)), signal.SIGCONT)


def _namespaces_of_node(paths: LabPaths, node: str) -> list[str]:
    """List the namespaces of a node and its Pods; the names of the Pods' directories end with their uids."""
    directory = paths.pods(node)
    uids = [entry.name.rpartition("_")[2] for entry in directory.iterdir()] if directory.is_dir() else []
    wanted = {paths.namespace(node), *map(paths.pod_namespace, uids)}
    return [name for name in namespaces_of(paths) if name in wanted]


def _kill_speaker(scene: Scene, target: str) -> None:
    _kill_verb(scene, "speaker", [scene.node(target).name])


def _freeze_speaker(scene: Scene, target: str) -> None:
    """Only the speaker itself: the process that beats for it goes on."""
    _signal_all(_running(scene, "speaker", [scene.node(target).name]), signal.SIGSTOP)


def _thaw_speaker(scene: Scene, target: str) -> None:
    _signal_all(_running(scene, "speaker", [scene.node(target).name]), signal.SIGCONT)


def _kill_controller(scene: Scene, target: str) -> None:
    nodes = [scene.node(target)] if target else scene.topology.nodes
    _kill_verb(scene, "controller", [node.name for node in nodes])


def _freeze_controller(scene: Scene, target: str) -> None:
    _signal_all(_running(scene, "controller", [scene.node(target).name]), signal.SIGSTOP)


def _thaw_controller(scene: Scene, target: str) -> None:
    """Its kubelet may have replaced it meanwhile; to those that run this does nothing."""
    _signal_all(_running(scene, "controller", [scene.node(target).name]), signal.SIGCONT)


def _kill_verb(scene: Scene, verb: str, nodes: Iterable[str]) -> None:
    _signal_all(_running(scene, verb, nodes), signal.SIGKILL)


def _running(scene: Scene, verb: str, nodes: Iterable[str]) -> list[int]:
    """Find the processes of a verb on some nodes; raise FaultError when there is none."""
    namespaces = [name for node in nodes for name in _namespaces_of_node(scene.paths, node)]
    pids = [pid for pid in processes_in(namespaces) if runs_verb(_arguments(pid), verb)]
    if not pids:
        raise FaultError(f"no {verb} runs there")
    return pids


def runs_verb(arguments: Sequence[str], verb: str) -> bool:
    """Tell whether a command line is that of `baremetal-lb VERB`."""
    return verb in arguments and any(name in argument for argument in arguments for name in _OUR_NAMES)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        send(pid, number)


def _kill_api(scene: Scene, _target: str) -> None:
    _kill_process(scene, _API_SERVER)


def _start_api(scene: Scene, _target: str) -> None:
    _restart(scene, _API_SERVER)
    wait_until_ready(scene.paths, read_record(scene.paths).process(_API_SERVER), lambda: api_is_ready(scene.paths))


def _freeze_api(scene: Scene, _target: str) -> None:
    kill([scene.record.process(_API_SERVER)], signal.SIGSTOP)


def _thaw_api(scene: Scene, _target: str) -> None:
    kill([scene.record.process(_API_SERVER)], signal.SIGCONT)


def _kill_kubelet(scene: Scene, target: str) -> None:
    _kill_process(scene, controlplane.kubelet_name(scene.node(target).name))


def _start_kubelet(scene: Scene, target: str) -> None:
    _restart(scene, controlplane.kubelet_name(target))


def _kill_process(scene: Scene, name: str) -> None:
    process = scene.record.process(name)
    kill([process])
    wait_until_gone([process])


def _restart(scene: Scene, name: str) -> None:
    process = scene.record.process(name)
    if not is_alive(process):
        start_process(scene.paths, process.command)


def _partition(scene: Scene, target: str) -> None:
    """Let the control plane's host and a node with its Pods hear nothing of each other; everybody else does."""
    table = _table("partition", target)
    _run(scene.paths, CONTROL_PLANE, ["nft", "-f", "-"], render_partition(scene.node(target), table))


def _rejoin(scene: Scene, target: str) -> None:
    _run(scene.paths, CONTROL_PLANE, ["nft", "delete", "table", "inet", _table("partition", target)])


def _split(scene: Scene, target: str) -> None:
    rules = render_split(_hosts(scene, target), [CONTROL_PLANE], _table("split", target))
    _run(scene.paths, FABRIC, ["nft", "-f", "-"], rules)


def _isolate(scene: Scene, target: str) -> None:
    _run(scene.paths, FABRIC, ["nft", "-f", "-"], render_split(_hosts(scene, target), [], _table("isolated", target)))


def _block_beats(scene: Scene, target: str) -> None:
    rules = render_beat_block(scene.node(target).name, _table("beats-blocked", target))
    _run(scene.paths, FABRIC, ["nft", "-f", "-"], rules)


def _lift(kind: str) -> Action:
    """Write the action that removes the rules of a fault from the fabric."""
    return lambda scene, target: _run(scene.paths, FABRIC, ["nft", "delete", "table", "bridge", _table(kind, target)])


def _hosts(scene: Scene, target: str) -> list[str]:
    """Read several hosts with a comma between them, which go on hearing each other; raise TopologyError."""
    return [scene.topology.host(name).name for name in target.split(",")]


def _table(kind: str, target: str) -> str:
    return f"{kind}-{target.replace(',', '_')}"


def _take_address(scene: Scene, target: str) -> None:
    """Give a host an address that is not its own, and say so to its segment as a host does that just came up."""
    host, address = _squatter(scene, target)
    nodad = [] if address.version == 4 else ["nodad"]
    _run(scene.paths, host.name, ["ip", "address", "add", str(address), "dev", "eth0", *nodad])
    frame = claim_to_all(bytes.fromhex(host.mac(host.segments[0]).replace(":", "")), address)
    inside(scene.paths.namespace(host.name), lambda: _send_frame(frame))


def _give_address_up(scene: Scene, target: str) -> None:
    host, address = _squatter(scene, target)
    _run(scene.paths, host.name, ["ip", "address", "del", str(address), "dev", "eth0"])


def _squatter(scene: Scene, target: str) -> tuple[Host, Address]:
    """Read HOST=ADDRESS; raise FaultError or TopologyError."""
    name, _, text = target.partition("=")
    try:
        return scene.topology.host(name), parse_address(text)
    except ValueError as error:
        raise FaultError(f"{target!r} is not of the form HOST=ADDRESS") from error


def _send_frame(frame: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        wire.send(frame)


def _run(paths: LabPaths, host: str, command: Sequence[str], text: str = "") -> None:
    """Run a command in a host's namespace; raise FaultError with its complaint."""
    argv = ["ip", "netns", "exec", paths.namespace(host), *command]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FaultError(f"{' '.join(command)} on {host}: {done.stderr.strip()}")


FAULTS: dict[str, Fault] = {
    "link": Fault("the cable of a host", _cut_link, _join_link),
    "node": Fault("the power of a node", _power_off, _power_on),
    "node-frozen": Fault("all processes of a node stand still", _freeze_node, _thaw_node),
    "speaker": Fault("the speaker on a node is killed", _kill_speaker),
    "speaker-frozen": Fault("the speaker on a node stands still", _freeze_speaker, _thaw_speaker),
    "controller": Fault("the controllers are killed, or the one on a node", _kill_controller),
    "controller-frozen": Fault("the controller on a node stands still", _freeze_controller, _thaw_controller),
    "api": Fault("the API server is down", _kill_api, _start_api),
    "api-frozen": Fault("the API server takes connections and does not answer", _freeze_api, _thaw_api),
    "partition": Fault("a node and its Pods do not reach the API server", _partition, _rejoin),
    "split": Fault(
        "hosts (HOST,HOST) hear on their segment only each other and the control plane", _split, _lift("split")
    ),
    "isolated": Fault("hosts (HOST,HOST) hear on their segment only each other", _isolate, _lift("isolated")),
    "beats-blocked": Fault("the beats of a node are lost, and those to it", _block_beats, _lift("beats-blocked")),
    "squatter": Fault("a host takes an address (HOST=ADDRESS)", _take_address, _give_address_up),
    "kubelet": Fault("the kubelet of a node is down", _kill_kubelet, _start_kubelet),
}
