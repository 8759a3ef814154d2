"""Bring a lab up: network, credentials, control plane, nodes; each as soon as what it needs is there."""

import http.client
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from baremetal_lb.cluster.conditions import condition_of
from baremetal_lb.lab import controlplane
from baremetal_lb.lab.api import RequestError, request
from baremetal_lb.lab.binaries import Binaries, find_binaries
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import build_network, inside, namespaces_of
from baremetal_lb.lab.processes import Command, Started, is_alive, start
from baremetal_lb.lab.requirements import check_machine, extend_path
from baremetal_lb.lab.state import Options, Record, change_record, read_record, write_record
from baremetal_lb.lab.teardown import tear_down
from baremetal_lb.lab.topology import API_PORT, CONTROL_PLANE, Topology, plan_network
from baremetal_lb.lab.waiting import NeverSeenError, wait_for

READY_SECONDS = 120.0
_LOG_LINES_IN_ERROR = 15

Report = Callable[[str], None]


class LabExistsError(LabError):
    """A lab of this name is there already."""


class LabStartError(LabError):
    """A process of the lab ended or did not become ready, with the end of its log."""


def bring_up(paths: LabPaths, options: Options, report: Report) -> Record:
    """Bring a lab up and answer its record; on failure nothing is left, and the error carries the log's end."""
    topology = options.topology
    extend_path()
    check_machine(options)
    binaries = find_binaries(os.environ, report)
    _reserve(paths, options)
    try:
        return _Bringup(paths, options, topology, binaries, report).run()
    except BaseException:
        tear_down(paths)
        raise


def _reserve(paths: LabPaths, options: Options) -> None:
    try:
        paths.state.mkdir(parents=True)
    except FileExistsError:
        raise LabExistsError(
            f"lab {paths.name!r} is up, or was not taken down: `baremetal-lb lab down --name {paths.name}`"
        ) from None
    if namespaces_of(paths):
        tear_down(paths)
    write_record(paths, Record(options))


@dataclass(frozen=True, slots=True)
class _Bringup:
    paths: LabPaths
    options: Options
    topology: Topology
    binaries: Binaries
    report: Report

    def run(self) -> Record:
        started_at = time.monotonic()
        self._make_network()
        self._start_control_plane()
        self.report(f"control plane ready after {time.monotonic() - started_at:.1f} s")
        self._start_nodes()
        self.report(f"{len(self.topology.nodes)} nodes ready after {time.monotonic() - started_at:.1f} s")
        return change_record(self.paths, Record.as_ready)

    def _make_network(self) -> None:
        # Imported here: certificates need a tenth of a second that commands on a running lab should not pay.
        from baremetal_lb.lab.certificates import write_credentials

        build_network(self.paths, plan_network(self.topology))
        control_plane = self.topology.host(CONTROL_PLANE)
        api_url = f"https://{control_plane.addresses[0]}:{API_PORT}"
        nodes = [node.name for node in self.topology.nodes]
        write_credentials(self.paths, api_url, control_plane.addresses, nodes)

    def _start_control_plane(self) -> None:
        (self.paths.state / controlplane.AUDIT_POLICY_FILE).write_text(controlplane.AUDIT_POLICY)
        etcd = self._start(controlplane.etcd(self.paths, self.binaries))
        self._wait(etcd, lambda: answers_ok(self.paths, CONTROL_PLANE, controlplane.ETCD_PORT, "/health"))
        command = controlplane.api_server(
            self.paths, self.binaries, self.topology.host(CONTROL_PLANE), audit=self.options.audit
        )
        self._wait(self._start(command), lambda: api_is_ready(self.paths))
        self._start(controlplane.controller_manager(self.paths, self.binaries, self.options))
        self._start(controlplane.scheduler(self.paths, self.binaries))

    def _start_nodes(self) -> None:
        nodes = self.topology.nodes
        kubelets = [self._start(controlplane.kubelet(self.paths, node, self.options)) for node in nodes]
        mode = self.options.proxy_mode
        proxies = [self._start(controlplane.proxy(self.paths, self.binaries, node, mode)) for node in nodes]
        for node, kubelet, proxy in zip(nodes, kubelets, proxies, strict=True):
            self._wait(kubelet, partial(node_is_ready, self.paths, node.name))
            self._wait(proxy, partial(proxy_is_ready, self.paths, node.name))
        self._wait_for_controllers()

    def _wait_for_controllers(self) -> None:
        """Wait until Pods can be created: that needs the service account which the controller manager makes."""
        manager = read_record(self.paths).process("kube-controller-manager")
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(manager, lambda: exists(self.paths, path))

    def _start(self, command: Command) -> Started:
        return start_process(self.paths, command)

    def _wait(self, process: Started, ready: Callable[[], bool]) -> None:
        wait_until_ready(self.paths, process, ready)


def start_process(paths: LabPaths, command: Command) -> Started:
    """Start a process of a lab and remember it."""
    started = start(command, paths.namespace(command.host), paths.log(command.name))
    change_record(paths, lambda record: record.with_process(started))
    return started


def wait_until_ready(paths: LabPaths, process: Started, ready: Callable[[], bool]) -> None:
    """Wait until a process does its work; raise LabStartError as soon as it is seen to have ended."""
    name = process.command.name
    try:
        wait_for(f"{name} is ready", lambda: not is_alive(process) or ready(), within=READY_SECONDS)
    except NeverSeenError as error:
        raise LabStartError(f"{error}\n{_log_tail(paths, name)}") from error
    if not is_alive(process):
        raise LabStartError(f"{name} ended\n{_log_tail(paths, name)}")


def api_is_ready(paths: LabPaths) -> bool:
    """Tell whether the API server is done starting."""
    return exists(paths, "/readyz")


def node_is_ready(paths: LabPaths, node: str) -> bool:
    """Tell whether a Node is there and Ready."""
    try:
        return is_ready(request(paths, "GET", f"/api/v1/nodes/{node}"))
    except RequestError:
        return False


def is_ready(node_or_pod: Mapping[str, Any]) -> bool:
    """Tell whether a Node or a Pod has the Ready condition."""
    return condition_of(node_or_pod, "Ready").get("status") == "True"


def proxy_is_ready(paths: LabPaths, node: str) -> bool:
    """Tell whether a node's kube-proxy has written its first rules."""
    return answers_ok(paths, node, controlplane.PROXY_HEALTH_PORT, "/healthz")


def exists(paths: LabPaths, path: str) -> bool:
    """Tell whether the API server has something at a path."""
    try:
        request(paths, "GET", path)
    except RequestError:
        return False
    return True


def answers_ok(paths: LabPaths, host: str, port: int, path: str) -> bool:
    """Tell whether a host answers 200 on its own loopback."""
    return inside(paths.namespace(host), lambda: _answers_ok(port, path))


def _answers_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log_tail(paths: LabPaths, process: str) -> str:
    log = paths.log(process)
    lines: Iterable[str] = log.read_text(errors="replace").splitlines() if log.exists() else ()
    return "\n".join(list(lines)[-_LOG_LINES_IN_ERROR:])
