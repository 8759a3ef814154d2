"""The beats of one node alone in a process, driven by lines of JSON: what lab tests and benches of liveness run.

stdin:  {"peers": {"b": "192.0.2.12"}, "keys": {"1": "00ff…"}, "flags": 0} is all that the beat process is told;
        {"well": false} lets us say no more that we are well; {"report": true} asks for what was counted.
stdout: {"ready": <pid of the beat process>}; {"changed": {"b": "alive"}, "at": <monotonic time>}; {"report": {...}}.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from baremetal_lb.addresses import parse_address
from baremetal_lb.election.beats import Rhythm
from baremetal_lb.election.io.driver import BeatProcess
from baremetal_lb.election.messages import Flag
from bench.announcer import commands, print_event

PORT = 7474
RHYTHM = Rhythm(interval_seconds=0.1, misses=3, speaker_seconds=0.3)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


async def main(node: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    is_well = True

    def changed(nodes: frozenset[str]) -> None:
        states = {one: process.view_of(one).state for one in nodes}
        print(json.dumps({"changed": states, "at": time.monotonic()}), flush=True)

    process = BeatProcess(node, PORT, RHYTHM, on_change=changed, is_well=lambda: is_well)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(0)
    print_event("ready", process.pid)
    async for command in commands():
        if "peers" in command:
            tell(process, command)
        elif "well" in command:
            is_well = command["well"]
        else:
            print_event("report", report(process))
    running.cancel()
    await asyncio.wait([running])


def tell(process: BeatProcess, command: dict[str, Any]) -> None:
    peers = {node: parse_address(text) for node, text in command["peers"].items()}
    keys = {int(key_id): bytes.fromhex(text) for key_id, text in command["keys"].items()}
    process.tell(peers, keys, Flag(command["flags"]))


def report(process: BeatProcess) -> dict[str, Any]:
    """What the beat process has done and what it costs."""
    proc = Path(f"/proc/{process.pid}")
    times = proc.joinpath("stat").read_text().rpartition(")")[2].split()
    sizes = dict(line.split(":") for line in proc.joinpath("smaps_rollup").read_text().splitlines()[1:])
    return {
        "pid": process.pid,
        "restarts": process.restarts,
        "counts": process.counts,
        "cpu_seconds": [int(ticks) / TICKS_PER_SECOND for ticks in times[11:13]],
        "rss_mb": int(sizes["Rss"].split()[0]) / 1024,
        "private_mb": int(sizes["Pss_Anon"].split()[0]) / 1024,
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
