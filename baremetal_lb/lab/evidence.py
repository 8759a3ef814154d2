"""Keep what explains a failure: logs of all processes, neighbour tables of all hosts, the cluster's objects.

Every part is tried for itself: in a broken lab some questions have no answer, and then that is the evidence.
"""

import json
import shutil
import subprocess
from pathlib import Path

from baremetal_lb.lab import api
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.state import read_record
from baremetal_lb.lab.topology import FABRIC

_COMMAND_SECONDS = 10
_HOST_COMMANDS = {
    "neigh": ["ip", "neigh"],
    "addresses": ["ip", "address"],
    "routes": ["sh", "-c", "ip route; ip -6 route"],
    "nftables": ["nft", "list", "ruleset"],
    "processes": ["ss", "-tunlp"],
}
_FABRIC_COMMANDS = {"links": ["bridge", "link"], "forwarding": ["bridge", "fdb"]}
_OBJECTS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "events": "/api/v1/events",
    "leases": "/apis/coordination.k8s.io/v1/leases",
    "ipaddresspools": "/apis/baremetal-lb.io/v1/ipaddresspools",
    "l2advertisements": "/apis/baremetal-lb.io/v1/l2advertisements",
}


def collect(paths: LabPaths, directory: Path) -> None:
    """Copy everything that tells what happened into a directory, which may exist."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copytree(paths.logs, directory / "log", dirs_exist_ok=True)
    _copy_pod_logs(paths, directory / "pods")
    record = read_record(paths)
    for host in record.topology.hosts:
        _ask_host(paths, host.name, directory)
    for name, command in _FABRIC_COMMANDS.items():
        (directory / f"{FABRIC}.{name}.txt").write_text(_output(paths, FABRIC, command))
    for name, path in _OBJECTS.items():
        (directory / f"{name}.json").write_text(_objects(paths, path))


def _copy_pod_logs(paths: LabPaths, directory: Path) -> None:
    for log in paths.state.glob("node/*/pods/*/*.log*"):
        target = directory / log.parents[2].name / log.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, target)


def _ask_host(paths: LabPaths, host: str, directory: Path) -> None:
    for name, command in _HOST_COMMANDS.items():
        (directory / f"{host}.{name}.txt").write_text(_output(paths, host, command))


def _output(paths: LabPaths, host: str, command: list[str]) -> str:
    argv = ["ip", "netns", "exec", paths.namespace(host), *command]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"
    return done.stdout + done.stderr


def _objects(paths: LabPaths, path: str) -> str:
    try:
        return json.dumps(api.request(paths, "GET", path), indent=1)
    except api.RequestError as error:
        return f"{error}\n"
