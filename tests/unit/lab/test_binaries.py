"""Kubernetes' programs are taken from the first place that has them in our version, and built once where none has."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from baremetal_lb.lab import binaries
from baremetal_lb.lab.binaries import PROGRAMS, cache_root, find_binaries, is_wanted, locate, version_of
from baremetal_lb.lab.gobuild import BuildError

SAYS = {
    "etcd": "etcd Version: {}",
    "kubectl": "Client Version: v{}",
    "kube-apiserver": "Kubernetes v{}",
    "kube-controller-manager": "Kubernetes v{}",
    "kube-scheduler": "Kubernetes v{}",
    "kube-proxy": "Kubernetes v{}",
}
ETCD, KUBERNETES = "3.7.0", "1.37.9"


def put(directory: Path, versions: Mapping[str, str]) -> Path:
    """Write programs that tell a version and do nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    for program, version in versions.items():
        path = directory / program
        path.write_text(f"#!/bin/sh\necho '{SAYS[program].format(version)}'\n")
        path.chmod(0o755)
    return directory


def whole_set() -> dict[str, str]:
    return {program: ETCD if program == "etcd" else KUBERNETES for program in PROGRAMS}


class Machine:
    """A machine with an assets directory, a PATH and a cache, all of them empty at first."""

    def __init__(self, root: Path) -> None:
        self.assets, self.path, self.cache = root / "assets", root / "bin", root / "cache" / "baremetal-lb"
        self.built = self.cache / f"kubernetes-v{binaries.KUBERNETES_VERSION}"
        self.environment = {
            "KUBEBUILDER_ASSETS": str(self.assets),
            "PATH": str(self.path),
            "XDG_CACHE_HOME": str(root / "cache"),
        }
        self.reports: list[str] = []

    def locate(self) -> dict[str, Path]:
        return locate(self.environment, self.built, self.reports.append)

    def find(self) -> binaries.Binaries:
        return find_binaries(self.environment, self.reports.append)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_assets_count_before_the_cache_and_the_cache_before_path(machine: Machine) -> None:
    put(machine.assets, {"etcd": ETCD, "kubectl": KUBERNETES})
    put(machine.path, whole_set())
    assert {path.parent for path in machine.locate().values()} == {machine.assets, machine.path}
    put(machine.built, whole_set())
    found = machine.locate()
    assert found["kubectl"].parent == machine.assets
    assert found["kube-proxy"].parent == machine.built


@pytest.mark.parametrize("place", ["assets", "path"])
def test_another_version_is_passed_over_and_said(machine: Machine, place: str) -> None:
    put(getattr(machine, place), {"kubectl": "1.32.4"})
    assert machine.locate() == {}
    assert [report for report in machine.reports if "kubectl is not used: version 1.32" in report]


def test_other_files_among_the_assets_are_left_alone(machine: Machine) -> None:
    put(machine.assets, {"etcd": ETCD})
    (machine.assets / "README").write_text("read me")
    assert set(machine.locate()) == {"etcd"}
    assert machine.reports == []


@pytest.mark.parametrize(
    ("program", "version", "wanted"),
    [
        pytest.param("kubectl", (1, 37), True, id="our minor version is wanted"),
        pytest.param("kubectl", (1, 36), False, id="an older one is not"),
        pytest.param("kube-apiserver", (1, 38), False, id="nor a newer one"),
        pytest.param("kube-apiserver", None, False, id="nor one that does not say"),
        pytest.param("etcd", (3, 6), True, id="etcd may be any that Kubernetes knows"),
        pytest.param("etcd", (3, 5), False, id="but not an older one"),
    ],
)
def test_versions(program: str, version: tuple[int, int] | None, wanted: bool) -> None:
    assert is_wanted(program, version) is wanted


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "no program\n"])
def test_what_tells_no_version_has_none(tmp_path: Path, text: str) -> None:
    program = tmp_path / "kubectl"
    program.write_text(text)
    program.chmod(0o755)
    assert version_of(program) is None


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        pytest.param({"XDG_CACHE_HOME": "/x", "HOME": "/home/a"}, "/x/baremetal-lb", id="XDG_CACHE_HOME is honoured"),
        pytest.param({"HOME": "/home/a"}, "/home/a/.cache/baremetal-lb", id="else it is ~/.cache"),
        pytest.param({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/baremetal-lb", id="an empty one counts as none"),
    ],
)
def test_the_cache_is_the_users(environment: dict[str, str], root: str) -> None:
    assert cache_root(environment) == Path(root)


class Builder:
    """Stands in for Go: makes a whole set, or stops half-way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> None:
        self.runs = 0
        self._fails = fails
        monkeypatch.setattr(binaries, "build", self.build)

    def build(self, output: Path, _version: str, _environment: Mapping[str, str], _report: binaries.Report) -> None:
        self.runs += 1
        put(output, {"etcd": ETCD})
        if self._fails:
            raise BuildError("out of disk")
        put(output, whole_set())


def test_what_is_missing_is_built_and_kept(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder(monkeypatch)
    put(machine.assets, {"etcd": ETCD})
    found = machine.find()
    assert Path(found["kube-proxy"]) == machine.built / "kube-proxy"
    assert Path(found["etcd"]) == machine.assets / "etcd"
    machine.find()
    assert builder.runs == 1


def test_an_interrupted_build_is_not_taken_as_good(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    Builder(monkeypatch, fails=True)
    with pytest.raises(BuildError):
        machine.find()
    assert [path.name for path in machine.cache.iterdir()] == ["build.lock"]
    assert Builder(monkeypatch).runs == 0
    machine.find()
    assert machine.built.is_dir()


def test_what_a_killed_build_left_is_cleared_by_the_next(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine.cache / f".{machine.built.name}.4711", {"etcd": ETCD})
    Builder(monkeypatch)
    machine.find()
    assert sorted(path.name for path in machine.cache.iterdir()) == ["build.lock", machine.built.name]


def test_two_labs_build_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and then finds its build."""
    builder = Builder(monkeypatch)
    whole, second_waits = builder.build, threading.Event()
    other: list[threading.Thread] = []

    def report(line: str) -> None:
        if "waiting" in line:
            second_waits.set()

    def build_slowly(*arguments: object) -> None:
        other.append(threading.Thread(target=find_binaries, args=(machine.environment, report)))
        other[0].start()
        assert second_waits.wait(10)
        whole(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(binaries, "build", build_slowly)
    machine.find()
    other[0].join(10)
    assert builder.runs == 1
