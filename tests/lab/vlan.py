"""A VLAN on the cable of two hosts for a kernel that knows none: a tap device on each side, and a thread that tags.

What a VLAN interface is to its host holds of it: a link of its own with a MAC of its own, whose frames go over the
cable with the tag of IEEE 802.1Q.
"""

import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from baremetal_lb.lab.netns import inside
from bench.segment import Segment

EVERY_PROTOCOL = 3
_SET_INTERFACE = 0x400454CA
_TAP_WITHOUT_HEADER = 0x1002
_PACKET, _AUXILIARY_DATA = 263, 8
_TAG_IS_VALID = 1 << 4
_OUTGOING = 4


@contextmanager
def vlan(cable: Segment, number: int, macs: dict[str, str]) -> Iterator[str]:
    """Give each of these namespaces an interface in the VLAN, with this MAC; answer its name."""
    name = f"eth0.{number}"
    ends = [_End(cable, namespace, name, number) for namespace in macs]
    stopped = threading.Event()
    threads = [threading.Thread(target=end.carry, args=(stopped,)) for end in ends]
    try:
        for (namespace, mac), thread in zip(macs.items(), threads, strict=True):
            cable.run(namespace, "ip", "link", "set", name, "address", mac, "up")
            thread.start()
        yield name
    finally:
        stopped.set()
        for end, thread in zip(ends, threads, strict=True):
            thread.join()
            end.close()


class _End:
    """One host's end: what leaves by the tap is tagged and sent over the cable, what is tagged comes in by the tap."""

    def __init__(self, cable: Segment, namespace: str, name: str, number: int) -> None:
        self._number = number
        self._tap = inside(namespace, lambda: os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
        request = struct.pack("16sH", name.encode(), _TAP_WITHOUT_HEADER)
        inside(namespace, lambda: fcntl.ioctl(self._tap, _SET_INTERFACE, request))
        self._cable = cable.packet_socket(namespace, EVERY_PROTOCOL)
        self._cable.setsockopt(_PACKET, _AUXILIARY_DATA, 1)

    def carry(self, stopped: threading.Event) -> None:
        """Carry frames until it is stopped."""
        while not stopped.is_set():
            ready, _, _ = select.select([self._tap, self._cable.fileno()], [], [], 0.1)
            if self._tap in ready:
                frame = os.read(self._tap, 2048)
                self._cable.send(frame[:12] + b"\x81\x00" + self._number.to_bytes(2) + frame[12:])
            if self._cable.fileno() in ready and (frame := self._received()):
                os.write(self._tap, frame)

    def close(self) -> None:
        """Take the interface away."""
        os.close(self._tap)
        self._cable.close()

    def _received(self) -> bytes:
        """Take a frame from the cable; empty if it is none of this VLAN. The kernel puts the tag beside the frame."""
        frame, extra, _, source = self._cable.recvmsg(2048, socket.CMSG_SPACE(20))
        for _, _, data in extra:
            status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", data)
            if status & _TAG_IS_VALID and tag & 0xFFF == self._number and source[2] != _OUTGOING:
                return frame
        return b""
