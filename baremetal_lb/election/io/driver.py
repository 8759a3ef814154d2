"""The speaker's side of the beats: it keeps the beat process running, tells it what to do, and hears what it saw.

The beats have a process of their own since a stall of the speaker must not look like a dead node; see `process.py`.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog

import baremetal_lb
from baremetal_lb.addresses import Address
from baremetal_lb.election.beats import Rhythm
from baremetal_lb.election.io.channel import LARGEST_MESSAGE, read_message, say
from baremetal_lb.election.messages import NO_FLAG, Flag
from baremetal_lb.election.peer import PeerState

FIRST_BACKOFF_SECONDS = 0.02
"""Short: a process that beats again within a quarter of a second was hardly missed."""

LAST_BACKOFF_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""A process that ran for so long is started again after the shortest time."""

PINGS_UNANSWERED = 30
"""A process that has not reported for so many pings is stuck. Counted in pings, so that our own stalls are not its."""

LAST_WORDS_SECONDS = 1.0

log = structlog.get_logger()


class PeerView(NamedTuple):
    """What the beats say of a node. `heard_at` is on the clock of the event loop; None where it never was heard."""

    state: PeerState
    heard_at: float | None


UNKNOWN = PeerView(PeerState.UNKNOWN, None)


class BeatProcess:
    """Beats while `run` runs.

    `on_change` is called with the nodes whose state has changed. While the process is started anew all are UNKNOWN.
    `is_well` is asked before each ping; while it says no, the others are told that this speaker is unhealthy.
    """

    def __init__(
        self,
        node: str,
        port: int,
        rhythm: Rhythm,
        *,
        on_change: Callable[[frozenset[str]], None],
        is_well: Callable[[], bool] = lambda: True,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """What was sent, received and refused by the process that runs now."""
        self.restarts = 0
        self.has_reported = False
        """Whether any process has."""
        self.pid: int | None = None
        """Of the process that runs now; None between two of them."""
        self._arguments = [node, str(port), *map(str, rhythm)]
        self._ping_seconds = rhythm.speaker_seconds / 3
        self._on_change = on_change
        self._is_well = is_well
        self._told: dict[str, Any] = {"peers": {}, "keys": {}, "flags": NO_FLAG}
        self._views: dict[str, PeerView] = {}
        self._channel: socket.socket | None = None
        self._is_told = False
        self._unanswered = 0

    def tell(self, peers: Mapping[str, Address], keys: Mapping[int, bytes], flags: Flag = NO_FLAG) -> None:
        """Watch these other nodes, at these addresses, with these keys; say of ourselves what the flags say."""
        self._told = {
            "peers": {node: str(address) for node, address in peers.items()},
            "keys": {str(key_id): key.hex() for key_id, key in keys.items()},
            "flags": flags,
        }
        self._views = {node: view for node, view in self._views.items() if node in peers}
        self._is_told = False
        self._say()

    def view_of(self, node: str) -> PeerView:
        """Tell what the beats say of a node."""
        return self._views.get(node, UNKNOWN)

    async def run(self) -> None:
        """Keep the process running until cancelled; then it says to the others that this speaker is gone, and ends."""
        backoff_seconds = FIRST_BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            why = await self._run_once()
            self._show({})
            self.restarts += 1
            if loop.time() - started_at > STEADY_SECONDS:
                backoff_seconds = FIRST_BACKOFF_SECONDS
            log.warning("beat process ended", why=why, restart_seconds=backoff_seconds)
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, LAST_BACKOFF_SECONDS)

    async def _run_once(self) -> str:
        """Start the process and serve it to its end; tell how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - its only argument
        with ours:
            with theirs:
                try:
                    process = self._start(theirs)
                except OSError as error:
                    return str(error)
            try:
                await self._serve(ours, process)
            finally:
                self._channel = self.pid = None
                ours.close()
                await asyncio.to_thread(_reap, process)
        return f"exit code {process.returncode}"

    def _start(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        """Start it without `site`, which costs time and memory: it needs nothing but our own package."""
        descriptor = theirs.fileno()
        program = ["-S", "-P", "-m", "baremetal_lb.election.io.process"]
        return subprocess.Popen(  # asyncio's own would come with a thread to wait for it
            [sys.executable, *program, str(descriptor), *self._arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=[descriptor],
            env={**os.environ, "PYTHONPATH": str(Path(baremetal_lb.__file__).parents[1])},
        )

    async def _serve(self, channel: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        self._channel, self.pid, self._unanswered = channel, process.pid, 0
        self._is_told = False
        self._say()
        async with asyncio.TaskGroup() as tasks:
            pinging = tasks.create_task(self._ping(process))
            await self._listen(channel)
            pinging.cancel()

    async def _ping(self, process: "subprocess.Popen[bytes]") -> None:
        """Say how we are, as long as somebody listens."""
        while True:
            await asyncio.sleep(self._ping_seconds)
            self._unanswered += 1
            if self._unanswered > PINGS_UNANSWERED:
                process.kill()
            self._say()

    def _say(self) -> None:
        """Say how we are, and what is to be done where that is not known yet."""
        news = {} if self._is_told else self._told
        if self._channel is not None and say(self._channel, {"well": self._is_well(), **news}):
            self._is_told = True

    async def _listen(self, channel: socket.socket) -> None:
        """Hear reports until the process is gone."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(channel, LARGEST_MESSAGE):
                self._take(read_message(data))
        except ConnectionError:
            return

    def _take(self, report: dict[str, Any]) -> None:
        self._unanswered = 0
        self.has_reported = True
        self.counts = Counter(report["counts"])
        seen = {node: PeerView(PeerState(state), heard_at) for node, (state, heard_at) in report["states"].items()}
        self._show({node: view for node, view in seen.items() if node in self._told["peers"]})

    def _show(self, views: dict[str, PeerView]) -> None:
        before, self._views = self._views, views
        known = before.keys() | views.keys()
        changed = {node for node in known if before.get(node, UNKNOWN).state is not self.view_of(node).state}
        if changed:
            self._on_change(frozenset(changed))


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Let it have its last words, and no more."""
    try:
        process.wait(LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
