"""The beat process: sockets, a clock and dice for the machine in `beats.py`. It is started by `driver.py`, not by hand.

It is small, alone in its process and, where that is allowed, more urgent than the rest of the node, so that its beats
are punctual whatever the speaker does. It ends with its speaker, and the last thing it does is to say so to the others.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from baremetal_lb.election.beats import Beats, Effect, Rhythm, SendBeat
from baremetal_lb.election.io.channel import hear, say
from baremetal_lb.election.messages import SIZE, Flag, RefusedBeat

REPORT_SECONDS = 1.0
RECEIVE_BUFFER = 212_992
DATAGRAMS_PER_TURN = 1_024
"""More than the receive buffer holds: all that waited when a turn began is read, and a flood can't hold up the rest."""

_PR_SET_PDEATHSIG = 1
_IPV6_TCLASS = 67
_NETWORK_CONTROL = 0xC0
"""The traffic class of what keeps networks going (CS6, RFC 2474), so that a full link drops other packets first."""


def main() -> None:
    """Run until the speaker is gone. Arguments: the channel's file descriptor, node, port, and the rhythm."""
    descriptor, node, port, interval_seconds, misses, speaker_seconds = sys.argv[1:]
    rhythm = Rhythm(float(interval_seconds), int(misses), float(speaker_seconds))
    channel = socket.socket(fileno=int(descriptor))
    channel.setblocking(False)  # noqa: FBT003 - its only argument
    _hurry()
    machine = Beats(node, _draw_number(), rhythm, _draw_number, time.monotonic())
    process = BeatProcess(machine, channel, _open_sockets(int(port)), int(port))
    _die_with_parent(process)
    try:
        process.run()
    finally:
        process.last_words()


class BeatProcess:
    """The loop. Every turn reads all that waits before the machine may judge."""

    def __init__(self, machine: Beats, channel: socket.socket, sockets: dict[int, socket.socket], port: int) -> None:
        self._machine = machine
        self._channel = channel
        self._sockets = sockets
        self._receivers = {one.fileno(): one for one in sockets.values()}
        self._port = port
        self._counts: Counter[str] = Counter()
        self._report_at = 0.0
        self._is_stopped = False
        self._poll = select.poll()
        for one in (channel, *sockets.values()):
            self._poll.register(one, select.POLLIN)

    def run(self) -> None:
        """Turn until the speaker is gone."""
        with suppress(EOFError):
            while not self._is_stopped:
                for descriptor in self._wait():
                    if descriptor == self._channel.fileno():
                        self._listen_to_speaker()
                    else:
                        self._receive(descriptor)
                self._perform(self._machine.tick(time.monotonic()))
                self._report()

    def stop(self) -> None:
        """End with this turn."""
        self._is_stopped = True

    def last_words(self) -> None:
        """Tell the others that our speaker is gone; what can't be sent now isn't."""
        self._perform(self._machine.speaker_is_gone(time.monotonic()))

    def _wait(self) -> list[int]:
        """Answer what can be read, once there is something to read or to do."""
        seconds = self._machine.next_deadline() - time.monotonic()
        return [descriptor for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1_000)]

    def _listen_to_speaker(self) -> None:
        while (told := hear(self._channel)) is not None:
            now = time.monotonic()
            if told["well"]:
                self._perform(self._machine.speaker_is_well(now))
            if "peers" in told:
                keys = {int(key_id): bytes.fromhex(key) for key_id, key in told["keys"].items()}
                self._perform(self._machine.set_flags(Flag(told["flags"]), now))
                self._perform(self._machine.set_keys(keys, now))
                self._perform(self._machine.set_peers(told["peers"], now))
                self._report_at = 0.0

    def _receive(self, descriptor: int) -> None:
        one = self._receivers[descriptor]
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, sender = one.recvfrom(SIZE + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._counts[f"receive {_name(error)}"] += 1
                return
            self._counts["received"] += 1
            self._take(data, sender[0])

    def _take(self, data: bytes, sender: str) -> None:
        try:
            effects = self._machine.beat_received(data, sender, time.monotonic())
        except RefusedBeat as refused:
            self._counts[f"refused {refused.reason}"] += 1
            return
        self._perform(effects)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendBeat):
                self._send(effect)
            else:
                self._report_at = 0.0

    def _send(self, beat: SendBeat) -> None:
        family = socket.AF_INET6 if ":" in beat.address else socket.AF_INET
        one = self._sockets.get(family)
        if one is None:
            self._counts["send EAFNOSUPPORT"] += 1
            return
        try:
            one.sendto(beat.data, (beat.address, self._port))
        except OSError as error:
            self._counts[f"send {_name(error)}"] += 1
            return
        self._counts["sent"] += 1

    def _report(self) -> None:
        """Say all we know: at once where it has changed, and again where the speaker could not take it."""
        now = time.monotonic()
        if now < self._report_at:
            return
        if say(self._channel, {"states": self._machine.states, "counts": self._counts}):
            self._report_at = now + REPORT_SECONDS


def _draw_number() -> int:
    return int.from_bytes(os.urandom(8), "big") or 1


def _open_sockets(port: int) -> dict[int, socket.socket]:
    """Open one for each family that the kernel has."""
    sockets: dict[int, socket.socket] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            continue
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setsockopt(socket.IPPROTO_IPV6, _IPV6_TCLASS, _NETWORK_CONTROL)
        else:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _NETWORK_CONTROL)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        one.bind(("", port))
        sockets[family] = one
    return sockets


def _die_with_parent(process: BeatProcess) -> None:
    """Have the kernel stop us even where somebody else keeps the channel open. Ctrl-C is the speaker's to judge.

    The handler must not raise: the signal comes just when our last words are under way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.stop())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _hurry() -> None:
    """Go before all others, or at least before most, or at least not without a try: it takes CAP_SYS_NICE."""
    with suppress(PermissionError):
        os.nice(-10)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown")


if __name__ == "__main__":
    main()
