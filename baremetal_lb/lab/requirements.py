"""What the machine must have: one list of commands and the Debian packages that bring them, and the kernel's part."""

import os
import shutil
from pathlib import Path

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.state import Options, ProxyMode

DEBIAN_PACKAGES: dict[str, str] = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "arping": "iputils-arping",
    "ping": "iputils-ping",
    "ndisc6": "ndisc6",
    "tcpdump": "tcpdump",
    "curl": "curl",
    "nginx": "nginx-light",
    "ps": "procps",
    "nsenter": "util-linux",
}
NOT_ROOT = "a lab is made of network namespaces, which only root can make: run this with sudo"
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class MachineError(LabError):
    """The machine cannot run a lab."""


def missing_commands() -> list[str]:
    """List the commands that the lab uses and this machine does not have."""
    return [command for command in DEBIAN_PACKAGES if shutil.which(command) is None]


def all_packages() -> list[str]:
    """List the Debian packages that a lab uses."""
    return sorted(set(DEBIAN_PACKAGES.values()))


def complaints() -> list[str]:
    """Say everything that this machine lacks for a lab, and what to do about it."""
    found = [] if os.geteuid() == 0 else [NOT_ROOT]
    if missing := missing_commands():
        packages = sorted({DEBIAN_PACKAGES[command] for command in missing})
        line = f"apt-get install --no-install-recommends {' '.join(packages)}"
        found.append(f"missing commands: {', '.join(missing)}; on Debian: {line}")
    return found


def extend_path() -> None:
    """Add the directories of system commands to PATH, which `su` and some desktops leave out."""
    present = os.environ.get("PATH", "").split(os.pathsep)
    missing = [directory for directory in _SYSTEM_DIRECTORIES if directory not in present]
    os.environ["PATH"] = os.pathsep.join([*filter(None, present), *missing])


def check_machine(options: Options) -> None:
    """Raise MachineError, saying what to do, where a lab with these options cannot be."""
    found = complaints()
    if options.proxy_mode is ProxyMode.IPVS and not has_ipvs():
        found.append("proxy mode ipvs needs IP_VS, which this kernel does not have: take nftables or iptables")
    if found:
        raise MachineError("\n".join(found))


def has_ipvs() -> bool:
    """Tell whether the kernel has IP_VS, built in or as a module, without loading it."""
    if Path("/proc/net/ip_vs").exists():
        return True
    modules = Path("/lib/modules") / os.uname().release
    lists = (modules / "modules.builtin", modules / "modules.dep")
    return any("/ip_vs.ko" in one.read_text() for one in lists if one.exists())
