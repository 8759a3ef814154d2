"""The Secret of the beats: what of it is a key, and who fills it."""

import asyncio
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest

from baremetal_lb.speaker.beat_keys import KEY_BYTES, parse_keys

if TYPE_CHECKING:
    from tests.unit.speaker.conftest import Cluster

PATH = "/api/v1/namespaces/baremetal-lb-system/secrets/speaker-beats"
KEY = bytes(range(32))


def secret(**data: bytes) -> dict[str, Any]:
    encoded = {name.removeprefix("_"): b64encode(key).decode() for name, key in data.items()}
    return {"metadata": {"name": "speaker-beats", "resourceVersion": "7"}, "data": encoded}


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        pytest.param({"_1": KEY}, {1: KEY}, id="a number"),
        pytest.param({"_1": KEY, "_22": KEY[::-1]}, {1: KEY, 22: KEY[::-1]}, id="two, while they are changed"),
        pytest.param({"name": KEY}, {}, id="no number"),
        pytest.param({"_4294967296": KEY}, {}, id="a number that no beat can carry"),
        pytest.param({"_1": KEY[:15]}, {}, id="too short to be random"),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_what_is_a_key(data: dict[str, bytes], keys: dict[int, bytes]) -> None:
    assert parse_keys(secret(**data)).keys == keys
    assert parse_keys(secret(**data)).version == "7"


def test_a_secret_without_data_has_none() -> None:
    assert parse_keys({"metadata": {"resourceVersion": "7"}}).keys == {}


def test_a_view_does_not_show_its_keys() -> None:
    assert "\\x01" not in repr(parse_keys(secret(_1=KEY)))


async def test_the_first_speaker_makes_one_key_for_all(running: "Cluster") -> None:
    (key,) = running.server.objects[PATH]["data"].values()
    assert len(b64decode(key)) == KEY_BYTES
    assert {tuple(member.beats.keys.items()) for member in running.members.values()} == {((1, b64decode(key)),)}


async def test_keys_are_changed_by_adding_one_and_removing_the_other(running: "Cluster") -> None:
    """Nobody falls silent meanwhile."""
    history = list(running.segment.history)
    old = running.server.objects[PATH]["data"]["1"]
    for data in ({"1": old, "2": b64encode(KEY).decode()}, {"2": b64encode(KEY).decode()}):
        await running.server.put(PATH, {"metadata": {"name": "speaker-beats"}, "data": data})
        await asyncio.sleep(5)
    assert all(member.beats.keys == {2: KEY} for member in running.members.values())
    assert running.segment.history == history


async def test_an_emptied_secret_is_filled_again(running: "Cluster") -> None:
    history = list(running.segment.history)
    await running.server.put(PATH, {"metadata": {"name": "speaker-beats"}})
    await asyncio.sleep(1)
    assert set(running.server.objects[PATH]["data"]) == {"1"}
    assert running.segment.history == history


async def test_speakers_without_the_right_to_read_it_do_without_beats(cluster: "Cluster") -> None:
    for node in ("node1", "node2", "node3"):
        cluster.start(node).connection.refuses = lambda _, path: "secrets" in path
    await asyncio.sleep(5.3)
    assert all(member.speaker.health().is_ready for member in cluster.members.values())
    assert all(len(nodes) == 1 for nodes in cluster.segment.holders.values())
