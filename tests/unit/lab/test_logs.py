"""Logs are found by what a person would type."""

from pathlib import Path

import pytest

from baremetal_lb.lab import names
from baremetal_lb.lab.logs import NoSuchLogError, find_logs
from baremetal_lb.lab.names import LabPaths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    """A lab with two processes and three Pods, one of them with two containers."""
    monkeypatch.setattr(names, "STATE_ROOT", tmp_path)
    paths = LabPaths.of("one")
    logs = [paths.log("etcd"), paths.log("kubelet-node1")]
    logs += [paths.pods("node1") / "default_web-1_uid1" / f"{container}.log" for container in ("main", "side")]
    logs += [
        paths.pods("node2") / "other_web-2_uid2" / "main.log",
        paths.pods("node2") / "default_db_uid3" / "main.log",
    ]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("line\n")
    return paths


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("etcd", ["etcd.log"], id="a process by its name"),
        pytest.param("web-1", ["main.log", "side.log"], id="a Pod with all its containers"),
        pytest.param("web", ["main.log", "side.log", "main.log"], id="all Pods that start so"),
        pytest.param("other/web", ["main.log"], id="a Pod in one namespace"),
    ],
)
def test_names(paths: LabPaths, name: str, found: list[str]) -> None:
    assert [log.name for log in find_logs(paths, name)] == found


@pytest.mark.parametrize("name", ["nothing", "other/db", "eb-1"])
def test_what_writes_no_log_is_answered_with_what_does(paths: LabPaths, name: str) -> None:
    with pytest.raises(NoSuchLogError, match=r"etcd, kubelet-node1; Pods: default/db, default/web-1, other/web-2"):
        find_logs(paths, name)
