"""What belongs to which lab: the names of its network namespaces and the layout of its state directory."""

import re
from dataclasses import dataclass
from pathlib import Path

from baremetal_lb.lab.errors import LabError

STATE_ROOT = Path("/run/baremetal-lb")
NAMESPACE_ROOT = Path("/run/netns")

# No dash: the namespaces of a lab `a` must not look like those of a lab `a-b`.
_LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,19}")


class LabNameError(LabError):
    """A name that no lab can have."""


@dataclass(frozen=True, slots=True)
class LabPaths:
    """Where everything of one lab is."""

    name: str

    @classmethod
    def of(cls, name: str) -> "LabPaths":
        """Check the name and answer its paths; raise LabNameError."""
        if not _LAB_NAME.fullmatch(name):
            raise LabNameError(f"lab name {name!r}: 1 to 20 lower-case letters and digits, a letter first")
        return cls(name)

    @property
    def prefix(self) -> str:
        """What the name of every namespace of this lab starts with."""
        return f"bmlb-{self.name}-"

    def namespace(self, host: str) -> str:
        """Name the network namespace of a host."""
        return f"{self.prefix}{host}"

    def pod_namespace(self, uid: str) -> str:
        """Name the network namespace of a Pod by its uid."""
        return f"{self.prefix}pod-{uid.replace('-', '')[:8]}"

    @property
    def state(self) -> Path:
        """The state directory."""
        return STATE_ROOT / self.name

    @property
    def record(self) -> Path:
        """The file that says what was started."""
        return self.state / "lab.json"

    @property
    def pki(self) -> Path:
        """Keys, certificates and the token file."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.state / "log"

    def log(self, process: str) -> Path:
        """Name the log of a process."""
        return self.logs / f"{process}.log"

    def kubeconfig(self, user: str) -> Path:
        """Name the kubeconfig of a user: admin, kubelet-node1, proxy-node1 and so on."""
        return self.state / "kubeconfig" / user

    def pods(self, node: str) -> Path:
        """Name the directory that holds one directory per Pod of a node."""
        return self.state / "node" / node / "pods"
