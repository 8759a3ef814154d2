"""Find Kubernetes' programs, or build them.

In this order: KUBEBUILDER_ASSETS (the convention of envtest, whose sets hold some of the programs only), what an
earlier build left in the user's cache, PATH, and at last a build from the pinned `go.mod` next to this file. Only
programs of our Kubernetes version count. A build is made aside and renamed when it is whole, under a lock.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from baremetal_lb.lab.gobuild import build

KUBERNETES_VERSION = "1.37.2"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl")

_VERSION_ARGUMENTS = {"kubectl": ("version", "--client")}
_VERSION_TIMEOUT_SECONDS = 20
_FOUND_VERSION = re.compile(r"(?:etcd Version: |Kubernetes v|Client Version: v)(\d+)\.(\d+)")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each program is."""

    paths: Mapping[str, Path]

    def __getitem__(self, program: str) -> str:
        return str(self.paths[program])


def cache_root(environment: Mapping[str, str]) -> Path:
    """Name the directory for everything that can be made again."""
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/root")) / ".cache")
    return Path(base) / "baremetal-lb"


def find_binaries(environment: Mapping[str, str], report: Report) -> Binaries:
    """Find every program, building them all if one is missing; `report` gets a line for each thing worth knowing."""
    cache = cache_root(environment) / f"kubernetes-v{KUBERNETES_VERSION}"
    found = locate(environment, cache, report)
    if missing := [program for program in PROGRAMS if program not in found]:
        report(
            f"no {', '.join(missing)} of Kubernetes {KUBERNETES_VERSION} found: building all, once, in about 10 minutes"
        )
        _build_once(cache, environment, report)
        found = {program: cache / program for program in PROGRAMS} | found
    return Binaries(found)


def locate(environment: Mapping[str, str], cache: Path, report: Report) -> dict[str, Path]:
    """Look in each place in turn; the first program of the right version counts."""
    assets = environment.get("KUBEBUILDER_ASSETS")
    found = _matching(Path(assets).glob("*"), report) if assets else {}
    if cache.is_dir():
        found = {program: cache / program for program in PROGRAMS} | found
    candidates = (shutil.which(program, path=environment.get("PATH")) for program in PROGRAMS if program not in found)
    return _matching((Path(one) for one in candidates if one), report) | found


def _matching(candidates: Iterator[Path], report: Report) -> dict[str, Path]:
    found = {}
    for path in candidates:
        if path.name not in PROGRAMS:
            continue
        version = version_of(path)
        if is_wanted(path.name, version):
            found[path.name] = path
        else:
            report(f"{path} is not used: version {'.'.join(map(str, version or ('unknown',)))}")
    return found


def is_wanted(program: str, version: tuple[int, int] | None) -> bool:
    """Tell whether a program of this version can be part of the lab."""
    if version is None:
        return False
    if program == "etcd":
        return version >= (3, 6)
    major, minor, _ = KUBERNETES_VERSION.split(".")
    return version == (int(major), int(minor))


def version_of(path: Path) -> tuple[int, int] | None:
    """Ask a program for its version; None when it does not say."""
    arguments = _VERSION_ARGUMENTS.get(path.name, ("--version",))
    try:
        answer = subprocess.run(
            [str(path), *arguments], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _FOUND_VERSION.search(answer.stdout)
    return (int(match[1]), int(match[2])) if match else None


def _build_once(cache: Path, environment: Mapping[str, str], report: Report) -> None:
    with _build_lock(cache.parent, report):
        if cache.is_dir():
            return
        for leftover in cache.parent.glob(f".{cache.name}.*"):
            shutil.rmtree(leftover)
        draft = cache.with_name(f".{cache.name}.{os.getpid()}")
        try:
            build(draft, KUBERNETES_VERSION, environment, report)
            draft.rename(cache)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _build_lock(directory: Path, report: Report) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
