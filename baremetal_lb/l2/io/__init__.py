"""All I/O of layer 2: the driver of the station, its packet sockets, the kernel's list of links."""

from baremetal_lb.l2.io.driver import L2Driver
from baremetal_lb.l2.station import FrameCounts

__all__ = ["FrameCounts", "L2Driver"]
