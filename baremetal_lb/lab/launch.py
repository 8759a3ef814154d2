"""Becomes a container, or enters one: run by path, isolated and without site-packages, so it starts in 30 ms.

`launch.py run SPEC` stays as the container's keeper: it enters the network namespace, forks PID 1 of a new PID
namespace into a root of its own, copies its output into a bounded log, and writes down how it ended. The keeper is a
session of its own, so containers outlive the kubelet. `launch.py exec SPEC` runs one more command in a container.

PID 1's root is an overlay over the machine's `/`, its changes in memory: all programs of the machine are the image.
"""

import ctypes
import json
import os
import pwd
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPABILITY_VERSION_3 = 0x20080522

LOG_BYTES = 4 * 1024 * 1024
"""A log that reaches this becomes LOG.1, and the one before that is gone."""

SCRATCH_SIZE = "256m"
HIDDEN_FOLDERS = {"/run": 0o755, "/tmp": 0o1777, "/root": 0o755, "/home": 0o755}
"""What is the machine's or its users' own; an image would not have it. Program trees below are put back."""

READ_ONLY_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}

START_FAILED, NOT_RUNNING = 128, 126

libc = ctypes.CDLL(None, use_errno=True)


def run(spec: dict[str, Any]) -> int:
    """Keep one container: tell on stdout whether it started, then stay until it has ended."""
    directory = Path(spec["directory"])
    if spec["network_namespace"]:
        _enter_namespace(spec["network_namespace"], CLONE_NEWNET)
    output, output_write = os.pipe()
    failure, failure_write = os.pipe()
    os.fchown(output_write, spec["user"], spec["group"])
    _check(libc.unshare(CLONE_NEWPID))
    pid = os.fork()
    if pid == 0:
        _become_container(spec, output_write, failure_write)
    os.close(output_write)
    os.close(failure_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    problem = _read_all(failure)
    record = _process_record(pid)
    _write_json(directory / "state.json", record)
    _report(problem)
    _copy_log(output, Path(spec["log"]))
    _, status = os.waitpid(pid, 0)
    end = {"code": _exit_code(status), "started_at": record["started_at"], "at": time.time()}
    _write_json(directory / "exit.json", end)
    return 0


def execute(spec: dict[str, Any]) -> int:
    """Run one command in a running container and answer its exit code."""
    everything = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    try:
        _check(libc.setns(os.pidfd_open(spec["pid"]), everything))
    except ProcessLookupError:
        os.write(2, b"the container is not running\n")
        return NOT_RUNNING
    pid = os.fork()
    if pid == 0:
        try:
            _run_program(spec)
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(NOT_RUNNING)
    _, status = os.waitpid(pid, 0)
    return _exit_code(status)


def _become_container(spec: dict[str, Any], output: int, failure: int) -> NoReturn:
    """Turn this process (PID 1 of its namespace) into the container's program, or say why it can't be."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        namespaces = CLONE_NEWNS | CLONE_NEWIPC | (CLONE_NEWUTS if spec["hostname"] else 0)
        _check(libc.unshare(namespaces))
        if spec["hostname"]:
            name = spec["hostname"].encode()
            _check(libc.sethostname(name, len(name)))
        _enter_root(spec)
        _run_program(spec)
    except OSError as error:
        os.write(failure, str(error).encode())
    os._exit(START_FAILED)


def _enter_root(spec: dict[str, Any]) -> None:
    """Build the overlay root with its volumes, make it `/` and let the machine's own go."""
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    scratch = f"{spec['directory']}/root"
    Path(scratch).mkdir(exist_ok=True)
    _mount("tmpfs", scratch, "tmpfs", 0, f"size={SCRATCH_SIZE},mode=0755")
    root = f"{scratch}/merged"
    _overlay("/", f"{scratch}/layer", root, HIDDEN_FOLDERS)
    exposed = [tree for tree in spec["trees"] if _expose_tree(tree, scratch, root)]
    sources = [os.open(mount["source"], os.O_PATH) for mount in spec["mounts"]]
    devices = os.open("/dev", os.O_PATH)
    old_root = os.open("/", os.O_RDONLY)
    os.chdir(root)
    _check(libc.pivot_root(b".", b"."), "pivot_root")
    _mount_system(devices, privileged=spec["privileged"])
    for path, text in spec["files"].items():
        _write_file(path, text)
    for mount, source in zip(spec["mounts"], sources, strict=True):
        _bind(source, mount["target"], read_only=mount["read_only"])
    Path(spec["working_directory"]).mkdir(parents=True, exist_ok=True)
    os.fchdir(old_root)
    _mount("none", ".", "", MS_REC | MS_SLAVE)
    _check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")
    if spec["read_only_root"]:
        for path in ("/", *exposed):
            _mount("none", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY)


def _overlay(lower: str, scratch: str, target: str, hidden: dict[str, int]) -> None:
    """Mount a writable view of `lower` at `target`, in which the hidden folders are empty."""
    upper, work = Path(scratch, "upper"), Path(scratch, "work")
    for folder in (upper, work, Path(target)):
        folder.mkdir(parents=True, exist_ok=True)
    upper.chmod(0o755)
    for name, mode in hidden.items():
        if Path(name).is_dir():
            folder = Path(f"{upper}{name}")
            folder.mkdir()
            folder.chmod(mode)
            os.setxattr(folder, "trusted.overlay.opaque", b"y")
    _mount("overlay", target, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")


def _expose_tree(tree: str, scratch: str, root: str) -> bool:
    """Let every user reach a program tree that is hidden, on another filesystem, or behind a private folder.

    Modes change in the overlay only; the machine's own stay. Tells whether the tree became a mount of its own.
    """
    target = Path(f"{root}{tree}")
    hidden = any(tree.startswith(f"{folder}/") for folder in HIDDEN_FOLDERS)
    is_mount = hidden or Path(tree).stat().st_dev != Path("/").stat().st_dev
    if is_mount:
        _overlay(tree, f"{scratch}/{tree.replace('/', '-')}", str(target), {})
    while str(target) != root:
        target.chmod(stat.S_IMODE(target.stat().st_mode) | 0o555)
        target = target.parent
    return is_mount


def _mount_system(devices: int, *, privileged: bool) -> None:
    """Give the new root its /proc, /sys and /dev; a privileged container gets the machine's devices."""
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | (0 if privileged else MS_RDONLY))
    if privileged:
        _mount(f"/proc/self/fd/{devices}", "/dev", "", MS_BIND | MS_REC)
        return
    for path in filter(os.path.exists, READ_ONLY_PROC):
        _mount(path, path, "", MS_BIND | MS_REC)
        _mount("none", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "size=64k,mode=0755")
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"/dev/{name}", stat.S_IFCHR, os.makedev(major, minor))
        Path("/dev", name).chmod(0o666)
    for name, target in DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", "size=16m,mode=1777"),
    ):
        Path("/dev", name).mkdir()
        _mount(kind, f"/dev/{name}", kind, MS_NOSUID | MS_NOEXEC, options)


def _bind(source: int, target: str, *, read_only: bool) -> None:
    """Mount what a descriptor holds at a path of the new root (whose links then lead nowhere else)."""
    path = Path(target)
    if stat.S_ISDIR(os.fstat(source).st_mode):
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    _mount(f"/proc/self/fd/{source}", target, "", MS_BIND | MS_REC)
    if read_only:
        _mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY)


def _write_file(path: str, text: str) -> None:
    """Replace a file of the image; a link there is replaced, not followed."""
    file = Path(path)
    file.unlink(missing_ok=True)
    file.write_text(text)
    file.chmod(0o755 if text.startswith("#!") else 0o644)


def _run_program(spec: dict[str, Any]) -> NoReturn:
    """Give up what the container may not have, and become its program."""
    os.umask(0o022)
    _limit_bounding_set(set(spec["capabilities"]))
    os.setgroups(spec["groups"])
    os.setresgid(spec["group"], spec["group"], spec["group"])
    os.setresuid(spec["user"], spec["user"], spec["user"])
    if spec["user"] == 0:
        _set_capabilities(spec["capabilities"])
    if spec["no_new_privileges"]:
        _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent death signal")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.chdir(spec["working_directory"])
    program, environment = spec["arguments"][0], {"HOME": _home(spec["user"]), **spec["environment"]}
    try:
        os.execvpe(program, spec["arguments"], environment)
    except FileNotFoundError as error:
        raise OSError(f"{program}: not found in {environment.get('PATH', 'an empty PATH')}") from error


def _home(user: int) -> str:
    """Tell the user's home as the image's /etc/passwd has it; `/` for one that is not there, as with runc."""
    try:
        return pwd.getpwuid(user).pw_dir
    except KeyError:
        return "/"


def _limit_bounding_set(kept: set[int]) -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in set(range(last + 1)) - kept:
        _check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "bounding set")


def _set_capabilities(wanted: list[int]) -> None:
    """Hold exactly these (as far as this machine's root has them); nothing is inheritable, as with runc."""
    mask = sum(1 << number for number in wanted) & _own_capabilities()
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    _check(libc.capset(header, data), "capset")


def _own_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    raise OSError("/proc/self/status names no capabilities")


def _enter_namespace(path: str, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    _check(libc.setns(descriptor, kind), path)
    os.close(descriptor)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _check(result, f"mount of {kind or source} at {target}")


def _check(result: int, what: str = "") -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read().decode(errors="replace")


def _report(problem: str) -> None:
    """Answer the kubelet once; afterwards nothing of ours holds its pipe."""
    os.write(1, (problem or "started").encode())
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _copy_log(source: int, log: Path) -> None:
    """Append all output to the log until the last writer is gone, at most two files of LOG_BYTES."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    while chunk := os.read(source, 65536):
        if size + len(chunk) > LOG_BYTES:
            os.close(file)
            log.rename(f"{log}.1")
            file, size = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 0
        os.write(file, chunk)
        size += len(chunk)


def _process_record(pid: int) -> dict[str, Any]:
    """Name both processes so that a later kubelet knows them again (a PID alone may be another's by then)."""
    return {
        "keeper": os.getpid(),
        "keeper_start": _start_ticks(os.getpid()),
        "pid": pid,
        "started_at": time.time(),
    }


def _start_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.rename(path)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit({"run": run, "exec": execute}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text())))
