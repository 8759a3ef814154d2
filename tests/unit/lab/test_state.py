"""What a lab remembers survives the way to disk and back, and two commands do not lose each other's changes."""

import threading
from pathlib import Path

import pytest

from baremetal_lb.lab import names, state
from baremetal_lb.lab.names import LabNameError, LabPaths
from baremetal_lb.lab.processes import Command, Started
from baremetal_lb.lab.state import (
    NoSuchLabError,
    NoSuchProcessError,
    Options,
    ProxyMode,
    Record,
    change_record,
    lab_names,
    read_record,
    write_record,
)

OPTIONS = Options(nodes=2, routers=1, proxy_mode=ProxyMode.IPTABLES, node_labels={"node1": {"rack": "a"}})


def process(name: str, pid: int = 7) -> Started:
    return Started(Command(name, "cp", ("/bin/true", "--a=b"), {"A": "b"}), pid, 99)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setattr(names, "STATE_ROOT", tmp_path)
    monkeypatch.setattr(state, "STATE_ROOT", tmp_path)
    return LabPaths.of("one")


def test_a_record_comes_back_as_it_was(paths: LabPaths) -> None:
    record = Record(OPTIONS, ready=True, processes=(process("etcd"),), faults=(("link", "node1"), ("api", "")))
    write_record(paths, record)
    assert read_record(paths) == record


def test_a_process_that_was_started_again_replaces_the_first() -> None:
    record = (
        Record(OPTIONS)
        .with_process(process("etcd", 1))
        .with_process(process("api", 2))
        .with_process(process("etcd", 3))
    )
    assert [(one.command.name, one.pid) for one in record.processes] == [("api", 2), ("etcd", 3)]
    assert record.process("etcd").pid == 3


def test_an_unknown_process_is_answered_with_those_there_are() -> None:
    with pytest.raises(NoSuchProcessError, match="there are etcd"):
        Record(OPTIONS).with_process(process("etcd")).process("scheduler")


def test_changes_at_the_same_time_all_count(paths: LabPaths) -> None:
    write_record(paths, Record(OPTIONS))
    threads = [
        threading.Thread(target=change_record, args=(paths, lambda record, n=n: record.with_process(process(f"p{n}"))))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_record(paths).processes) == 20


@pytest.mark.parametrize("ask", [read_record, lambda paths: change_record(paths, lambda record: record)])
def test_a_lab_that_is_not_there_is_said_with_those_there_are(paths: LabPaths, ask) -> None:  # type: ignore[no-untyped-def]
    write_record(LabPaths.of("other"), Record(OPTIONS))
    with pytest.raises(NoSuchLabError, match="there is other"):
        ask(paths)
    assert lab_names() == ["other"]


@pytest.mark.parametrize("name", ["", "a-b", "A", "1a", "a" * 21, "a/b", "a_b"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(LabNameError):
        LabPaths.of(name)


def test_namespaces_of_labs_do_not_share_a_prefix() -> None:
    one, other = LabPaths.of("lab"), LabPaths.of("lab2")
    assert not other.namespace("node1").startswith(one.prefix)


def test_a_pods_namespace_is_named_by_its_uid() -> None:
    assert LabPaths.of("lab").pod_namespace("0a1b2c3d-4e5f-6789") == "bmlb-lab-pod-0a1b2c3d"
