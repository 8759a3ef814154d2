"""Beats as bytes: what is written is read, and nothing else is."""

import pytest

from baremetal_lb.election.messages import (
    LONGEST_NAME,
    NO_FLAG,
    SIZE,
    Beat,
    Flag,
    Refused,
    RefusedBeat,
    _signature,
    build_beat,
    fingerprint,
    parse_beat,
)

KEYS = {7: b"k" * 32, 8: b"l" * 32}
BEAT = Beat(
    sender="node-1.example",
    receiver=fingerprint("node-2"),
    flags=Flag.WATCHING | Flag.LEAVING,
    newest_key=8,
    incarnation=0x0102030405060708,
    sequence=9,
    nonce=0xFFFFFFFFFFFFFFFF,
    echo=0,
)
DATA = build_beat(BEAT, 7, KEYS[7])
NAME_AT = 54


def signed(body: bytes) -> bytes:
    """Sign what nobody of ours would write."""
    return body + _signature(KEYS[7], body)


def changed(at: int, *octets: int) -> bytes:
    body = DATA[:-16]
    return signed(body[:at] + bytes(octets) + body[at + len(octets) :])


def reason_for(data: bytes) -> Refused:
    with pytest.raises(RefusedBeat) as raised:
        parse_beat(data, KEYS)
    return raised.value.reason


def test_the_bytes_are_these() -> None:
    """A rolling upgrade has both versions on the wire: whoever changes this raises VERSION."""
    name = b"node-1.example"
    body = (
        b"BMLB\x01\x03"
        + bytes.fromhex("00000007 00000008")
        + fingerprint("node-2")
        + bytes.fromhex("0102030405060708 0000000000000009 ffffffffffffffff 0000000000000000")
        + bytes([len(name)])
        + name.ljust(LONGEST_NAME, b"\0")
    )
    assert DATA[:-16] == body
    assert DATA[-16:].hex() == "caf2154fd98dd2ead814500d2637f935"
    assert fingerprint("node-2").hex() == "1779f59f4df251f6"


@pytest.mark.parametrize(
    "beat",
    [
        pytest.param(BEAT, id="as it is"),
        pytest.param(BEAT._replace(flags=NO_FLAG), id="no flag"),
        pytest.param(BEAT._replace(flags=Flag(15)), id="every flag"),
        pytest.param(BEAT._replace(sender="n" * LONGEST_NAME), id="the longest name"),
        pytest.param(BEAT._replace(sender="n"), id="the shortest name"),
        pytest.param(BEAT._replace(newest_key=2**32 - 1, sequence=2**64 - 1, echo=2**64 - 1), id="largest numbers"),
    ],
)
@pytest.mark.parametrize("key_id", KEYS)
def test_what_is_written_is_read(beat: Beat, key_id: int) -> None:
    data = build_beat(beat, key_id, KEYS[key_id])
    assert len(data) == SIZE
    assert parse_beat(data, KEYS) == beat


def test_every_other_length_is_refused() -> None:
    for length in range(SIZE):
        assert reason_for(DATA[:length]) is Refused.WRONG_SIZE
    assert reason_for(DATA + b"\0") is Refused.WRONG_SIZE


def test_every_flipped_bit_is_refused() -> None:
    for position in range(8 * SIZE):
        flipped = bytearray(DATA)
        flipped[position // 8] ^= 1 << position % 8
        reason_for(bytes(flipped))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(changed(0, ord("b")), Refused.WRONG_MAGIC, id="another protocol"),
        pytest.param(changed(4, 2), Refused.UNKNOWN_VERSION, id="another version"),
        pytest.param(changed(9, 9), Refused.UNKNOWN_KEY, id="a key that we don't have"),
        pytest.param(changed(9, 8), Refused.BAD_SIGNATURE, id="signed with another key than it says"),
        pytest.param(DATA[:-1] + b"\0", Refused.BAD_SIGNATURE, id="a signature that is wrong at its end"),
        pytest.param(changed(5, 16), Refused.BAD_FLAGS, id="a flag that does not exist"),
        pytest.param(changed(NAME_AT, 0), Refused.BAD_NAME, id="no name"),
        pytest.param(changed(NAME_AT, 254), Refused.BAD_NAME, id="a name longer than its field"),
        pytest.param(changed(NAME_AT, 13), Refused.BAD_NAME, id="something behind the name"),
        pytest.param(changed(NAME_AT, 15), Refused.BAD_NAME, id="a zero within the name"),
        pytest.param(changed(NAME_AT + 1, 0xC3), Refused.BAD_NAME, id="a name that is not ASCII"),
        pytest.param(changed(NAME_AT + 1, 0x1B), Refused.BAD_NAME, id="a name with control characters"),
    ],
)
def test_what_breaks_the_rules_is_refused_with_its_reason(data: bytes, reason: Refused) -> None:
    assert reason_for(data) is reason


def test_without_a_key_everything_is_refused() -> None:
    with pytest.raises(RefusedBeat, match="UnknownKey"):
        parse_beat(DATA, {})
