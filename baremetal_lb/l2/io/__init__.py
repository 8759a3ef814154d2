"""All I/O of layer 2: the driver of the responder, its packet sockets, the kernel's list of links."""

from baremetal_lb.l2.io.driver import FrameCounts, L2Driver

__all__ = ["FrameCounts", "L2Driver"]
