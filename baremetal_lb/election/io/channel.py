"""What a speaker and its beat process say to each other: JSON, one document a message, over a SOCK_SEQPACKET pair.

The speaker says what is to be done as a whole, and again and again whether it is well. The process answers
with reports of all that it knows. So neither minds a message that got lost.
"""

import json
import socket
from typing import Any

LARGEST_MESSAGE = 196_608
"""What the kernel takes by default for one message, less some: over a thousand watched nodes."""


def say(channel: socket.socket, document: dict[str, Any]) -> bool:
    """Tell whether it could be sent: the other side may be stuck, or gone."""
    data = json.dumps(document).encode()
    assert len(data) <= LARGEST_MESSAGE
    try:
        channel.send(data)
    except (BlockingIOError, ConnectionError):
        return False
    return True


def hear(channel: socket.socket) -> dict[str, Any] | None:
    """Give the next message, None where none waits; raise EOFError where the other side is gone."""
    try:
        data = channel.recv(LARGEST_MESSAGE)
    except BlockingIOError:
        return None
    except ConnectionError as error:
        raise EOFError from error
    if not data:
        raise EOFError
    return read_message(data)


def read_message(data: bytes) -> dict[str, Any]:
    """Read one message."""
    document: dict[str, Any] = json.loads(data)
    return document
