"""The lab as a Python object, for tests and benchmarks: `with Lab(nodes=3) as lab: lab.run("client1", "curl", url)`."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from baremetal_lb.lab import api, evidence, faults
from baremetal_lb.lab.binaries import find_binaries
from baremetal_lb.lab.bringup import bring_up
from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import inside
from baremetal_lb.lab.state import Options, ProxyMode, Record, read_record
from baremetal_lb.lab.teardown import tear_down
from baremetal_lb.lab.topology import CONTROL_PLANE, Topology
from baremetal_lb.lab.users import ADMIN
from baremetal_lb.lab.waiting import wait_for

COMMAND_SECONDS = 30.0
ROLLOUT_SECONDS = 120
MANIFESTS = Path(__file__).parents[2] / "manifests"
PRODUCT_NAMESPACE = "baremetal-lb-system"

Result = TypeVar("Result")
Report = Callable[[str], None]


class Wanted(TypedDict, total=False):
    """What `Lab(...)` takes: the fields of `Options`."""

    nodes: int
    clients: int
    routers: int
    remote_clients: int
    proxy_mode: ProxyMode
    node_monitor_grace_seconds: int
    node_labels: Mapping[str, Mapping[str, str]]
    audit: bool


class CommandError(LabError):
    """A command in the lab failed, with what it said."""


class Lab:
    """One lab: made on entering the `with`, taken down on leaving it."""

    def __init__(self, name: str = "lab", *, report: Report = lambda _line: None, **wanted: Unpack[Wanted]) -> None:
        self.paths = LabPaths.of(name)
        self.options = Options(**wanted)
        self._report = report
        self._kubectl = ""

    @classmethod
    def attach(cls, name: str = "lab") -> Self:
        """Take up a lab that is there; raise NoSuchLabError."""
        lab = cls(name)
        lab.options = read_record(lab.paths).options
        return lab

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Bring it up; on failure nothing is left."""
        bring_up(self.paths, self.options, self._report)

    def down(self) -> bool:
        """Take it down, whatever is left of it, and answer whether there was anything."""
        return tear_down(self.paths)

    @property
    def topology(self) -> Topology:
        """Its hosts and segments."""
        return self.options.topology

    @property
    def record(self) -> Record:
        """What is on disk about it now: processes and faults."""
        return read_record(self.paths)

    def command(self, host: str, *argv: str) -> list[str]:
        """Write the command line that runs a command on a host."""
        self.topology.host(host)
        return ["ip", "netns", "exec", self.paths.namespace(host), *argv]

    def run(
        self, host: str, *argv: str, timeout: float = COMMAND_SECONDS, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host and answer output and exit code, whatever that is."""
        return subprocess.run(
            self.command(host, *argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def inside(self, host: str, function: Callable[[], Result]) -> Result:
        """Call a function in a host's network namespace (an asyncio.run too); see `netns.inside`."""
        self.topology.host(host)
        return inside(self.paths.namespace(host), function)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = COMMAND_SECONDS) -> str:
        """Run kubectl as the administrator and answer its output; raise CommandError with its complaint."""
        argv = self.kubectl_command(*arguments)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise CommandError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def kubectl_command(self, *arguments: str) -> list[str]:
        """Write the command line of a kubectl that talks to this lab."""
        self._kubectl = self._kubectl or find_binaries(os.environ, self._report)["kubectl"]
        settings = (
            f"KUBECONFIG={self.paths.kubeconfig(ADMIN.kubeconfig)}",
            f"KUBECACHEDIR={self.paths.state / 'kubectl-cache'}",
        )
        # Only the network is the control plane's: files named on the command line are those of the caller.
        return [
            "nsenter",
            f"--net=/run/netns/{self.paths.namespace(CONTROL_PLANE)}",
            "env",
            *settings,
            self._kubectl,
            *arguments,
        ]

    def apply(self, yaml_text: str) -> str:
        """Apply manifests."""
        return self.kubectl("apply", "--filename=-", stdin=yaml_text)

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """Ask the API server as the administrator, without the cost of a kubectl; raise RequestError."""
        return api.request(self.paths, method, path, body, content_type=content_type)

    def get_json(self, path: str) -> Any:
        """Read an object or a list by its API path; raise RequestError."""
        return self.request("GET", path)

    def install(self, manifests: Path = MANIFESTS, *, timeout_seconds: int = ROLLOUT_SECONDS) -> None:
        """Install the product and wait until its processes are ready."""
        self.kubectl("apply", f"--kustomize={manifests}")
        for workload in ("deployment/controller", "daemonset/speaker"):
            arguments = ("rollout", "status", workload, f"--namespace={PRODUCT_NAMESPACE}")
            self.kubectl(*arguments, f"--timeout={timeout_seconds}s", timeout=timeout_seconds + COMMAND_SECONDS)

    def fail(self, kind: str, target: str = "") -> None:
        """Break something (see `faults.FAULTS`); raise FaultError."""
        faults.fail(self.paths, kind, target)

    def heal(self, kind: str, target: str = "") -> None:
        """Mend what was broken; raise FaultError."""
        faults.heal(self.paths, kind, target)

    def heal_all(self) -> None:
        """Mend everything that is broken now, what broke last first."""
        for kind, target in reversed(self.record.faults):
            faults.heal(self.paths, kind, target)

    def wait(self, predicate: Callable[[], Result], timeout: float, what: str) -> Result:
        """Wait until the predicate answers something true, and answer that; raise NeverSeenError."""
        return wait_for(what, predicate, within=timeout)

    def collect(self, directory: Path) -> None:
        """Keep logs, neighbour tables and objects in a directory."""
        evidence.collect(self.paths, directory)
