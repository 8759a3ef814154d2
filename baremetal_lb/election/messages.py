"""The datagram of a beat: always of one size, readable by everybody, made only by those who have a key.

```text
 0  magic "BMLB"     6  id of the key that signs      14  receiver    30  sequence   46  echo
 4  version          10 newest key id of the sender   22  incarnation 38  nonce      54  length of the name, name
 5  flags                                                                            308 HMAC-SHA256, its first 16 bytes
```

Numbers are in network order. The receiver is a fingerprint of its node's name, so that a beat that arrives where an
address has changed hands is told from a forged one. The values are named tuples, here and in `beats.py`: dataclasses
would cost the process that sends the beats a tenth of its memory.
"""

import hmac
import struct
from collections.abc import Mapping
from enum import IntFlag, StrEnum
from hashlib import sha256
from typing import NamedTuple

MAGIC = b"BMLB"
VERSION = 1
LONGEST_NAME = 253
"""Of a Node, as of every DNS subdomain."""

_BODY = struct.Struct(f"!4sBBII8sQQQQB{LONGEST_NAME}s")
_SIGNATURE_SIZE = 16
SIZE = _BODY.size + _SIGNATURE_SIZE


class Flag(IntFlag):
    """What a beat says of its sender."""

    WATCHING = 1
    """The sender watches the receiver, and wants beats."""

    LEAVING = 2
    """It is about to stop, on purpose."""

    UNHEALTHY = 4
    """The node is up, its speaker is not."""

    STEADY = 8
    """The sender will go on beating to the receiver for a while, even if it hears nothing."""


NO_FLAG = Flag(0)
_ALL_FLAGS = int(Flag.WATCHING | Flag.LEAVING | Flag.UNHEALTHY | Flag.STEADY)


class Refused(StrEnum):
    """Why a beat counts for nothing; the label of a metric."""

    WRONG_SIZE = "WrongSize"
    WRONG_MAGIC = "WrongMagic"
    UNKNOWN_VERSION = "UnknownVersion"
    UNKNOWN_KEY = "UnknownKey"
    BAD_SIGNATURE = "BadSignature"
    BAD_FLAGS = "BadFlags"
    BAD_NAME = "BadName"
    FOR_ANOTHER_NODE = "ForAnotherNode"
    OWN = "Own"
    OLD = "Old"
    TOO_MANY_PEERS = "TooManyPeers"


class RefusedBeat(Exception):  # noqa: N818 - it is a beat's state, as MalformedPacket is a packet's
    """A datagram is no beat for us; nothing else is ever raised for bytes from the wire."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Beat(NamedTuple):
    """What one node says to another. `echo` is the newest nonce that the sender has of the receiver; 0 for none."""

    sender: str
    receiver: bytes
    flags: Flag
    newest_key: int
    incarnation: int
    sequence: int
    nonce: int
    echo: int


def fingerprint(node: str) -> bytes:
    """Name a node in eight bytes."""
    return sha256(node.encode()).digest()[:8]


def build_beat(beat: Beat, key_id: int, key: bytes) -> bytes:
    """Write a beat and sign it."""
    name = beat.sender.encode()
    assert 0 < len(name) <= LONGEST_NAME
    numbers = (beat.incarnation, beat.sequence, beat.nonce, beat.echo)
    header = (MAGIC, VERSION, beat.flags, key_id, beat.newest_key, beat.receiver)
    body = _BODY.pack(*header, *numbers, len(name), name)
    return body + _signature(key, body)


def parse_beat(data: bytes, keys: Mapping[int, bytes]) -> Beat:
    """Read a beat that one of the keys has signed; raise RefusedBeat."""
    if len(data) != SIZE:
        raise RefusedBeat(Refused.WRONG_SIZE)
    body = data[: _BODY.size]
    magic, version, flags, key_id, newest_key, receiver, *numbers, length, name = _BODY.unpack(body)
    if magic != MAGIC:
        raise RefusedBeat(Refused.WRONG_MAGIC)
    if version != VERSION:
        raise RefusedBeat(Refused.UNKNOWN_VERSION)
    if key_id not in keys:
        raise RefusedBeat(Refused.UNKNOWN_KEY)
    if not hmac.compare_digest(_signature(keys[key_id], body), data[_BODY.size :]):
        raise RefusedBeat(Refused.BAD_SIGNATURE)
    if flags & ~_ALL_FLAGS:
        raise RefusedBeat(Refused.BAD_FLAGS)
    return Beat(_read_name(length, name), receiver, Flag(flags), newest_key, *numbers)


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_SIGNATURE_SIZE]


def _read_name(length: int, field: bytes) -> str:
    """Accept one spelling of each name: printable ASCII, padded with zeros."""
    name = field[:length]
    if not 0 < length <= LONGEST_NAME or any(field[length:]) or not name.isascii():
        raise RefusedBeat(Refused.BAD_NAME)
    text = name.decode("ascii")
    if not text.isprintable():
        raise RefusedBeat(Refused.BAD_NAME)
    return text
