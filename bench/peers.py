"""Many nodes in one process: the real machines of the peers of one node, each at an address of its own.

Arguments: the node, and for each peer its name and address, and whether it watches the node: `name=address=watches`.
The beat process of the node finds in them what a large cluster would send it. Runs until stdin is closed.
"""

import os
import select
import socket
import sys
import time

from baremetal_lb.election.beats import Beats, Effect, SendBeat
from baremetal_lb.election.messages import SIZE, RefusedBeat
from bench.beater import PORT, RHYTHM

KEYS = {1: bytes.fromhex("17" * 32)}


class Peer:
    """One machine at one address; it is always well."""

    def __init__(self, name: str, address: str, watched: dict[str, str]) -> None:
        now = time.monotonic()
        self.machine = Beats(name, _draw_number(), RHYTHM, _draw_number, now)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((address, PORT))
        self.perform(self.machine.set_keys(KEYS, now))
        self.perform(self.machine.set_peers(watched, now))

    def turn(self) -> None:
        """Read all that waits, then let the machine judge."""
        self.perform(self.machine.speaker_is_well(time.monotonic()))
        while True:
            try:
                data, (sender, _) = self.socket.recvfrom(SIZE + 1)
                self.perform(self.machine.beat_received(data, sender, time.monotonic()))
            except BlockingIOError:
                break
            except RefusedBeat:
                continue
        self.perform(self.machine.tick(time.monotonic()))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendBeat):
                self.socket.sendto(effect.data, (effect.address, PORT))


def main(node_address: str, node: str, *texts: str) -> None:
    peers = []
    for text in texts:
        name, address, watches = text.split("=")
        peers.append(Peer(name, address, {node: node_address} if watches == "yes" else {}))
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    by_descriptor = {peer.socket.fileno(): peer for peer in peers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    while True:
        seconds = min(peer.machine.next_deadline() for peer in peers) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
        if sys.stdin.fileno() in ready:
            return
        now = time.monotonic()
        for descriptor, peer in by_descriptor.items():
            if descriptor in ready or peer.machine.next_deadline() <= now:
                peer.turn()


def _draw_number() -> int:
    return int.from_bytes(os.urandom(8), "big") or 1


if __name__ == "__main__":
    main(*sys.argv[1:])
