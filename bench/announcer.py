"""An L2 driver alone in a process, driven by lines of JSON: what benches and lab tests of packets run.

stdin:  {"desired": {"192.0.2.10": [], "2001:db8::10": ["eth0"]}} is the complete set of announcements, begun at once;
        {"wishes": {"192.0.2.10": {"stance": "hand_over", "on_conflict": "Yield"}}} is the same with all that a wish may
        say, and without "replacing" nothing is begun unasked; {"speakers": {"02:00:5e:00:53:01": "node"}};
        {"ask_again": []}; {"better": ["node"]} are those that outrank this one;
        {"report": true} asks for the state of things and what was counted.
stdout: {"ready": true} once it runs; {"report": {...}} in answer.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import structlog

from baremetal_lb.addresses import parse_address
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.l2.io import L2Driver
from baremetal_lb.l2.segment import SegmentEvent, Stance, Wish

TIMER_SECONDS = 0.1


class Lateness:
    """How late the event loop wakes a timer, at worst since it was last asked."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TIMER_SECONDS
            await asyncio.sleep(TIMER_SECONDS)
            self._worst = max(self._worst, loop.time() - due)

    def take_ms(self) -> float:
        worst, self._worst = self._worst, 0.0
        return worst * 1000


async def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    lateness = Lateness()
    better: set[str] = set()
    events: list[SegmentEvent] = []
    driver = L2Driver(on_segment=events.extend, outranks=lambda _, node: node in better)
    async with driver, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(lateness.watch())
        print_event("ready", value=True)
        async for command in commands():
            match command:
                case {"desired": desired}:
                    driver.set_wishes(
                        {
                            parse_address(text): Wish(frozenset(names), replacing=frozenset({"whoever has it"}))
                            for text, names in desired.items()
                        }
                    )
                case {"wishes": wishes}:
                    driver.set_wishes({parse_address(text): wish_of(**words) for text, words in wishes.items()})
                case {"speakers": speakers}:
                    driver.set_speakers({bytes.fromhex(mac.replace(":", "")): node for mac, node in speakers.items()})
                case {"ask_again": addresses}:
                    driver.ask_again([parse_address(text) for text in addresses] or None)
                case {"better": nodes}:
                    better.clear()
                    better.update(nodes)
                case _:
                    print_event("report", {**report(driver, lateness), "events": [words_of(event) for event in events]})
        watching.cancel()


def wish_of(
    interfaces: list[str] | None = None,
    stance: str = Stance.HOLD,
    replacing: list[str] | None = None,
    on_conflict: str = ConflictPolicy.DEFEND,
    *,
    answers_ping: bool = False,
) -> Wish:
    return Wish(
        interfaces=frozenset(interfaces or ()),
        stance=Stance(stance),
        replacing=frozenset(replacing or ()),
        on_conflict=ConflictPolicy(on_conflict),
        answers_ping=answers_ping,
    )


def words_of(event: SegmentEvent) -> list[str]:
    about = [getattr(event, name, None) for name in ("address", "node", "interface")]
    return [type(event).__name__, *(str(one) for one in about if one is not None)]


async def commands() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


def report(driver: L2Driver, lateness: Lateness) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text()
    return {
        "interfaces": {one.name: one.mac.hex(":") for one in driver.interfaces()},
        "networks": {one.name: [str(network) for network in one.networks] for one in driver.interfaces()},
        "replies": {f"{one.address}": one.replies for one in driver.holdings()},
        "announcements": {f"{one.address}": one.announcements for one in driver.holdings()},
        "received": driver.counts.received,
        "malformed": {reason.value: count for reason, count in driver.counts.malformed.items()},
        "send_failures": driver.counts.send_failures,
        "probes": driver.counts.probes,
        "lateness_ms": lateness.take_ms(),
        "rss_mb": int(status.partition("VmRSS:")[2].split()[0]) / 1024,
    }


def print_event(kind: str, value: object) -> None:
    print(json.dumps({kind: value}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
