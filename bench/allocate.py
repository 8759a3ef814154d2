"""How long one decision takes, by the size of the pool, by how full it is and by the order in which it gives addresses.

A turn is what the controller does for a new Service: it decides on an address, holds it, and lets go of it once the
Service is deleted. Nothing is sent anywhere; this needs neither a lab nor root.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.allocator.allocate import Allocation, allocate
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant
from baremetal_lb.allocator.request import ADDRESSES_MAX, AllocationRequest
from baremetal_lb.api.pool import AllocationOrder
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import Config, Pool
from bench.figures import report

SMALL, LARGE = 2**16, 2**20
RANGES = {SMALL: "10.0.0.0/16", LARGE: "10.0.0.0/12"}
EMPTY, HALF, FULL = 0.0, 0.5, 0.999
TURNS = 1_000
ROUNDS = 7
SEED = 1

APPLICANTS = [
    Applicant(
        AllocationRequest(ServiceKey("bench", f"s{number}"), (Family.IPV4,), uid=str(number)), NamespaceView("bench")
    )
    for number in range(TURNS)
]


@dataclass(frozen=True)
class Case:
    """One pool to decide on."""

    size: int
    fill: float
    order: AllocationOrder


def main() -> None:
    times = dict(measure_pool(SMALL)) | dict(measure_pool(LARGE))
    for case, microseconds in times.items():
        print(f"{case.order:10} {case.size:9,} addresses, {case.fill:6.1%} full: {microseconds:6.1f} us")
    full, empty, small = (
        {order: times[Case(size, fill, order)] for order in AllocationOrder}
        for size, fill in ((LARGE, FULL), (LARGE, EMPTY), (SMALL, FULL))
    )
    report("allocate_us_2e20_999_full", max(full.values()), "us", goal=50, limit=100)
    to_empty, to_small = (max(full[order] / other[order] for order in AllocationOrder) for other in (empty, small))
    report("allocate_ratio_full_to_empty", to_empty, "", goal=1.2, limit=2)
    report("allocate_ratio_2e20_to_2e16", to_small, "", goal=1.2, limit=2)


def measure_pool(size: int) -> Iterator[tuple[Case, float]]:
    """Fill a pool bit by bit, in no order, and measure on the way."""
    pool = Pool("bench", (AddressRange.parse(RANGES[size]),))
    ledger = Ledger()
    waiting = fillers(pool)
    filled = 0
    for fill in (EMPTY, HALF, FULL):
        for service, addresses in islice(waiting, int(size * fill) // ADDRESSES_MAX - filled):
            ledger.hold(service, addresses)
            filled += 1
        for order in AllocationOrder:
            ledger.configure(Config(pools=(replace(pool, order=order),)))
            yield Case(size, fill, order), microseconds_per_turn(ledger)


def fillers(pool: Pool) -> Iterator[tuple[ServiceKey, list[Address]]]:
    """Services that hold as many addresses as one may, until the pool has none left."""
    addresses = list(pool.ranges[0].addresses())
    Random(SEED).shuffle(addresses)
    for start in range(0, len(addresses), ADDRESSES_MAX):
        yield ServiceKey("filler", f"s{start}"), addresses[start : start + ADDRESSES_MAX]


def microseconds_per_turn(ledger: Ledger) -> float:
    """The best of several rounds: whatever else the machine does only adds to it."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for applicant in APPLICANTS:
            take_turn(ledger, applicant)
        rounds.append(time.perf_counter() - began)
    return min(rounds) / TURNS * 1e6


def take_turn(ledger: Ledger, applicant: Applicant) -> None:
    outcome = allocate(applicant, {}, ledger)
    assert isinstance(outcome, Allocation), outcome
    service = applicant.request.service
    ledger.hold(service, outcome.addresses, applicant.request.sharing)
    ledger.hold(service, ())
