"""Read from a socket that may have nothing to say."""

import errno
import socket

_NOTHING_TO_READ = {errno.ENETDOWN, errno.ENOBUFS}  # the interface went down; link events were lost


def read(source: socket.socket, size: int) -> bytes:
    """Read one frame or message; empty if there is none."""
    try:
        return source.recv(size)
    except BlockingIOError:
        return b""
    except OSError as error:
        if error.errno not in _NOTHING_TO_READ:
            raise
        return b""
