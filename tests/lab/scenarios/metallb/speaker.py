"""Stands in for MetalLB's speaker: answers ARP and NDP for the addresses on its command line until it is stopped.

speaker.py INTERFACE ADDRESS...
"""

import socket
import sys
from collections.abc import Iterable

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.l2.packets import MalformedPacket, Question, frames_for, parse_heard
from baremetal_lb.l2.templates import build_templates

EVERY_PROTOCOL = 0x0003


def answer(interface: str, addresses: Iterable[Address]) -> None:
    """Say once where the addresses are, then answer everybody who asks."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    wire.bind((interface, EVERY_PROTOCOL))
    mac, templates = wire.getsockname()[4], build_templates()
    frames = {address.packed: frames_for(templates, mac, address) for address in addresses}
    for one in frames.values():
        for frame in one.gratuitous():
            wire.send(frame)
    while True:
        try:
            question = parse_heard(wire.recv(2048))
        except MalformedPacket:
            continue
        if isinstance(question, Question) and question.target in frames:
            wire.send(frames[question.target].answer(question))


if __name__ == "__main__":
    answer(sys.argv[1], [parse_address(text) for text in sys.argv[2:]])
