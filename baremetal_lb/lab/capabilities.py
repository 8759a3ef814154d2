"""Linux capabilities as Kubernetes names them, and which of them a container gets."""

from collections.abc import Iterable

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the kernel's order: a name's position is its number."""

RUNTIME_DEFAULT = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})  # fmt: skip
"""What containerd and runc leave a container that asks for nothing."""


def granted(*, add: Iterable[str], drop: Iterable[str], privileged: bool) -> frozenset[int]:
    """Tell the bounding set as numbers, as containerd does: ALL first (a drop of ALL last), then single names.

    Raises ValueError for a name that the kernel doesn't have.
    """
    if privileged:
        return frozenset(range(len(NAMES)))
    added, dropped = {_plain(name) for name in add}, {_plain(name) for name in drop}
    base = frozenset(NAMES) if "ALL" in added else RUNTIME_DEFAULT
    base = frozenset() if "ALL" in dropped else base
    return frozenset(_number(name) for name in (base | (added - {"ALL"})) - (dropped - {"ALL"}))


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _number(name: str) -> int:
    if name not in NAMES:
        raise ValueError(f"unknown capability {name!r}")
    return NAMES.index(name)
