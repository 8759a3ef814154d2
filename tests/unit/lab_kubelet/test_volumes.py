"""Volumes made from objects: which files, and how they change under a reader."""

from pathlib import Path
from typing import Any

import pytest

from baremetal_lb.lab.kubelet.environment import ConfigError
from baremetal_lb.lab.kubelet.volumes import File, data_files, write_payload

DATA = {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({}, {"a": File(b"1", 0o640), "b": File(b"2", 0o640)}, id="every key is a file"),
        pytest.param(
            {"items": [{"key": "a", "path": "x/y", "mode": 0o400}]}, {"x/y": File(b"1", 0o400)}, id="chosen keys"
        ),
        pytest.param(
            {"items": [{"key": "c", "path": "c"}], "optional": True}, {}, id="an optional key that is not there"
        ),
    ],
)
def test_files_of_an_object(source: dict[str, Any], expected: dict[str, File]) -> None:
    assert data_files(DATA, source, 0o640) == expected


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        pytest.param({"key": "c", "path": "c"}, "non-existent config key: c", id="a key that is not there"),
        pytest.param({"key": "a", "path": "../etc/passwd"}, "leaves its volume", id="a path upwards"),
        pytest.param({"key": "a", "path": "/etc/passwd"}, "leaves its volume", id="an absolute path"),
    ],
)
def test_refused_items(item: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        data_files(DATA, {"items": [item]}, 0o644)


def read(folder: Path) -> dict[str, str]:
    """What a container sees, but for the machinery; a link that leads nowhere fails."""
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def test_files_follow_the_object(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": File(b"1"), "b": File(b"2")}, None)
    assert read(tmp_path) == {"a": "1", "b": "2"}
    write_payload(tmp_path, {"b": File(b"3"), "c": File(b"4")}, None)
    assert read(tmp_path) == {"b": "3", "c": "4"}


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": File(b"1")}, None)
    before = (tmp_path / "..data").readlink()
    write_payload(tmp_path, {"a": File(b"1")}, None)
    assert (tmp_path / "..data").readlink() == before


def test_one_generation_is_left(tmp_path: Path) -> None:
    for text in (b"1", b"2", b"3"):
        write_payload(tmp_path, {"a": File(text)}, None)
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_modes_are_those_asked_for(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": File(b"1", 0o400)}, None)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400


def test_an_empty_object_is_an_empty_volume(tmp_path: Path) -> None:
    write_payload(tmp_path / "volume", {}, None)
    assert read(tmp_path / "volume") == {}
