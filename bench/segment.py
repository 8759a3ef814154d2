"""Two hosts on a cable: a network namespace for a speaker, one for whoever asks it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from baremetal_lb.lab.netns import inside

SPEAKER_MAC = "02:00:5e:00:53:01"
CLIENT_MAC = "02:00:5e:00:53:02"
CLIENT_IPV4 = "192.0.2.201"
CLIENT_IPV6 = "2001:db8:0:2::201"


@dataclass(frozen=True)
class Segment:
    """The names of the two namespaces; the cable ends in `eth0` on both sides."""

    speaker: str
    client: str

    def run(self, namespace: str, *command: str) -> str:
        """Run a command in a namespace and answer its output; raise if it fails."""
        return subprocess.run(
            ["ip", "netns", "exec", namespace, *command], check=True, capture_output=True, text=True
        ).stdout

    def connect(self) -> None:
        """Plug the cable in: at the start, and again after a test has thrown it away."""
        peer = ("peer", "name", "eth0", "address", CLIENT_MAC, "netns", self.client)
        self.run(self.speaker, "ip", "link", "add", "eth0", "address", SPEAKER_MAC, "type", "veth", *peer)
        for namespace in (self.speaker, self.client):
            self.run(namespace, "ip", "link", "set", "eth0", "up")
        self.run(self.client, "ip", "addr", "add", f"{CLIENT_IPV4}/24", "dev", "eth0")
        self.run(self.client, "ip", "addr", "add", f"{CLIENT_IPV6}/64", "dev", "eth0", "nodad")

    def packet_socket(self, namespace: str, ethertype: int, interface: str = "eth0") -> socket.socket:
        """Open a packet socket on an interface of a namespace."""
        opened = inside(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        opened.bind((interface, ethertype))
        return opened


@contextmanager
def segment() -> Iterator[Segment]:
    """Make the two hosts; the client has addresses, the speaker's side has none."""
    pair = Segment(f"bmlb-cable-{os.getpid()}-speaker", f"bmlb-cable-{os.getpid()}-client")
    try:
        for namespace in (pair.speaker, pair.client):
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            pair.run(namespace, "ip", "link", "set", "lo", "up")
        pair.connect()
        yield pair
    finally:
        for namespace in (pair.speaker, pair.client):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


class Announcer:
    """A process of `bench.announcer` in a namespace, run by way of another command if one is given."""

    def __init__(self, namespace: str, *prefix: str) -> None:
        program = [sys.executable, "-m", "bench.announcer"]
        self._command = ["ip", "netns", "exec", namespace, *prefix, *program]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._wait_for("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def announce(self, *addresses: str, **interfaces: list[str]) -> None:
        """Set all that is to be announced, on every interface or (by keyword) on those given."""
        self._command_line({"desired": {one: [] for one in addresses} | interfaces})

    def wish(self, wishes: dict[str, dict[str, Any]]) -> None:
        """Set all that is wished, with the words of `bench.announcer`."""
        self._command_line({"wishes": wishes})

    def want(self, **wishes: dict[str, Any]) -> None:
        """Set all that is wished, by address: an empty wish is to hold it, after asking for it."""
        self._command_line({"wishes": wishes})

    def know(self, speakers: dict[str, str]) -> None:
        """Tell it the names of the other speakers, by MAC."""
        self._command_line({"speakers": speakers})

    def respect(self, *nodes: str) -> None:
        """Let these and no others outrank it."""
        self._command_line({"better": nodes})

    def ask_again(self, *addresses: str) -> None:
        """Have it ask for these, or all, that it holds."""
        self._command_line({"ask_again": addresses})

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def report(self) -> dict[str, Any]:
        """Ask for what was counted."""
        self._command_line({"report": True})
        counted: dict[str, Any] = self._wait_for("report")
        return counted

    def wait(self) -> int:
        """Wait for the process to end of itself, and answer its exit code."""
        return self._process.wait(timeout=10)

    def _wait_for(self, kind: str) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if kind in event:
                return event[kind]
        raise RuntimeError(f"the announcer ended with exit code {self._process.wait()}")

    def _command_line(self, command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
