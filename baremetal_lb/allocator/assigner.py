"""The controller's state machine: every Service that concerns us, what was decided on it, and what to look at again.

Theory of operation. The shell reports what the watch shows (`service_changed`), the pools (`set_pools`) and the fate of
its own writes (`write_begun`, `write_ended`); each marks Services dirty. `decide` takes dirty Services in order of
creation and decides on each anew from all that is known. It changes the ledger at once, so the next decision builds
on it; the status follows.

Three rules keep two Services from ever showing one address:
- Whatever a status shows is held before anything is given out, also where another controller wrote it.
- An address stays held until a newer status without it has been seen, not just until we decided otherwise.
- Nothing is decided on a Service while a write to it is on its way, or before the watch has shown that write.

Waiting Services are looked at again when an address becomes free, in order of creation, and only as long as there is
something left for them: with thousands waiting for one address, each costs a look, not a decision.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from typing import Any

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.allocate import REASONS_THAT_END, Allocation, Outcome, allocate, could_serve, keep
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.request import AllocationRequest, Refusal, parse_request
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason

ASSIGNED_CONDITION = "baremetal-lb.io/AddressAssigned"
"""The condition by which we tell a Service's user what was decided; it also marks a status as written by us."""


@dataclass(slots=True)
class Entry:
    """One Service: what the API server says of it, and what we decided (None: nothing for us to say)."""

    view: ServiceView
    request: AllocationRequest | Refusal
    changed_at: float
    outcome: Outcome | None = None
    lost: Refusal | None = None
    """Why an address that its status shows can't stay; it goes with the next write."""
    writing: bool = False
    needs_version: int = 0
    """The resourceVersion that the view must reach before it tells us anything about our own writes."""
    yielded: bool = False
    """Another controller wrote over our address; we leave the Service to it."""

    @property
    def key(self) -> ServiceKey:
        """Namespace and name of the Service."""
        return self.view.key

    @property
    def is_settled(self) -> bool:
        """Whether the view shows everything that we wrote."""
        return not self.writing and version_of(self.view) >= self.needs_version

    @property
    def reason(self) -> Reason | None:
        """The reason of the present outcome."""
        return self.outcome.reason if self.outcome else None

    @property
    def awaits(self) -> tuple[Family, ...]:
        """The families for which an address that becomes free may be of use."""
        if isinstance(self.outcome, Allocation):
            return self.outcome.awaits
        if isinstance(self.request, Refusal) or self.reason not in REASONS_THAT_END:
            return ()
        return self.request.families

    @property
    def is_explicit(self) -> bool:
        """Whether the user named an address or a pool that we can read."""
        return isinstance(self.request, AllocationRequest) and self.request.is_explicit

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses decided on."""
        return self.outcome.addresses if isinstance(self.outcome, Allocation) else ()


def version_of(view: ServiceView) -> int:
    """The resourceVersion as a number: Kubernetes promises that it grows (KEP-5504)."""
    return int(view.resource_version or 0)


class Assigner:
    """Decides on Services; owns the ledger."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.entries: dict[ServiceKey, Entry] = {}
        self._dirty: set[ServiceKey] = set()
        self._woken: set[ServiceKey] = set()
        self._order: list[tuple[datetime, ServiceKey]] = []
        self._waiting: set[ServiceKey] = set()
        self._started = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to decide."""
        return not self._dirty and not self._woken

    def start(self, pools: Iterable[Pool]) -> None:
        """Begin to decide: every Service and every pool is known now.

        Where two statuses show one address, the older Service keeps it.
        """
        assert not self._started
        self._started = True
        self.ledger.set_pools(pools)
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.view.created_at, entry.key)):
            self._hold(entry)
            self._mark(entry.key, self._dirty)

    def set_pools(self, pools: Iterable[Pool]) -> None:
        """Work with other pools: everything is decided anew."""
        assert self._started
        self.ledger.set_pools(pools)
        for key in self.entries:
            self._mark(key, self._dirty)

    def service_changed(self, key: ServiceKey, view: ServiceView | None, now: float) -> None:
        """Take in what the watch shows of a Service (None: it is gone)."""
        entry = self.entries.get(key)
        if entry is not None and (view is None or view.uid != entry.view.uid):
            self._forget(entry)
            entry = None
        if view is None or (entry is None and not _concerns_us(view)):
            return
        if entry is None:
            entry = self.entries[key] = Entry(view, parse_request(view), now)
        else:
            self._refresh(entry, view, now)
        if self._started:
            self._hold(entry)
            self._mark(key, self._dirty)

    def decide(self, limit: int) -> list[Entry]:
        """Decide on up to `limit` Services that need it; return them."""
        decided: list[Entry] = []
        while self._order and len(decided) < limit:
            _, key = heappop(self._order)
            entry = self.entries.get(key)
            if entry is not None and self._is_due(entry):
                self._decide(entry)
                decided.append(entry)
        return decided

    def write_begun(self, entry: Entry) -> None:
        """Take note that the entry's outcome is on its way to the API server."""
        entry.writing = True

    def write_ended(self, entry: Entry, needs_version: int = 0) -> None:
        """Take note that the write is over; the view says nothing new before `needs_version`."""
        entry.writing = False
        entry.needs_version = max(entry.needs_version, needs_version)
        if self.entries.get(entry.key) is entry:
            self._hold(entry)
            self._mark(entry.key, self._dirty)

    def count_reasons(self) -> Counter[Reason]:
        """Count our Services by what was decided on them."""
        return Counter(entry.outcome.reason for entry in self.entries.values() if entry.outcome)

    def check_invariants(self) -> None:
        """Assert what must hold between any two calls."""
        self.ledger.check_invariants()
        assert self._waiting <= self.entries.keys()
        assert {key for _, key in self._order} >= self._dirty | self._woken
        for key, entry in self.entries.items():
            assert set(entry.addresses) <= self.ledger.held_by(key)

    def _refresh(self, entry: Entry, view: ServiceView, now: float) -> None:
        ours = set(entry.addresses)
        was_shown = entry.is_settled and ours and ours <= set(entry.view.ingress)
        entry.view, entry.request, entry.changed_at = view, parse_request(view), now
        if not self._is_outside_pools(view):
            entry.yielded = False
        elif was_shown and not ours <= set(view.ingress):
            entry.yielded = True

    def _forget(self, entry: Entry) -> None:
        del self.entries[entry.key]
        for keys in (self._dirty, self._woken, self._waiting):
            keys.discard(entry.key)
        if self.ledger.hold(entry.key, ()):
            self._wake_waiting()

    def _mark(self, key: ServiceKey, marked: set[ServiceKey]) -> None:
        if key not in self._dirty and key not in self._woken:
            heappush(self._order, (self.entries[key].view.created_at, key))
        marked.add(key)

    def _wake_waiting(self) -> None:
        for key in self._waiting:
            self._mark(key, self._woken)

    def _is_due(self, entry: Entry) -> bool:
        """Take the entry's marks away; tell whether a decision is needed and can be made now."""
        is_dirty = entry.key in self._dirty
        self._dirty.discard(entry.key)
        self._woken.discard(entry.key)
        return entry.is_settled and (is_dirty or self._could_be_served(entry))

    def _could_be_served(self, entry: Entry) -> bool:
        return isinstance(entry.request, AllocationRequest) and could_serve(entry.request, entry.awaits, self.ledger)

    def _hold(self, entry: Entry) -> None:
        """Let the Service hold what its status shows and what it was given, as far as nobody else holds it."""
        claims = {*entry.view.ingress, *entry.addresses}
        if self.ledger.hold(entry.key, [one for one in claims if self.ledger.is_open_to(entry.key, one)]):
            self._wake_waiting()

    def _decide(self, entry: Entry) -> None:
        entry.lost = self._lost(entry)
        entry.outcome = self._outcome(entry)
        self._hold(entry)
        if not _concerns_us(entry.view):
            self._forget(entry)
        elif entry.awaits:
            self._waiting.add(entry.key)
        else:
            self._waiting.discard(entry.key)

    def _outcome(self, entry: Entry) -> Outcome | None:
        current = self._current(entry)
        if not entry.view.is_ours or (entry.view.deleting and not current):
            return None
        if self._is_foreign(entry) and not entry.is_explicit:
            return _leave(entry)
        outcome = (
            keep(current, entry.request)
            if isinstance(entry.request, Refusal)
            else allocate(entry.request, current, self.ledger)
        )
        if self._is_foreign(entry) and (entry.yielded or outcome.reason is not Reason.ASSIGNED):
            return _leave(entry)
        return outcome

    def _current(self, entry: Entry) -> dict[Family, Address]:
        """The addresses the Service has: those of its status, else those decided on but not shown (yet).

        One outside of every pool counts only while the status shows it.
        """
        shown = [one for one in entry.view.ingress if self.ledger.is_open_to(entry.key, one)]
        decided = [one for one in entry.addresses if self.ledger.pools.holding(one)]
        has = {family_of(address): address for address in (*decided, *shown)}
        return {family: has[family] for family in entry.view.families if family in has}

    def _lost(self, entry: Entry) -> Refusal | None:
        """Say which address of the status is another Service's."""
        for address in entry.view.ingress if entry.view.is_ours else ():
            if not self.ledger.is_open_to(entry.key, address):
                holder = self.ledger.holder_of(address)
                return Refusal(Reason.ADDRESS_IN_USE, f"{address} is held by Service {holder}; this one can't keep it")
        return None

    def _is_foreign(self, entry: Entry) -> bool:
        """Whether another controller wrote the addresses that the status shows.

        We know ours by their pool, and where that is gone, by our condition.
        """
        if not self._is_outside_pools(entry.view):
            return False
        return entry.yielded or our_condition(entry.view).get("status") != "True"

    def _is_outside_pools(self, view: ServiceView) -> bool:
        return bool(view.ingress) and all(self.ledger.pools.holding(one) is None for one in view.ingress)


def our_condition(view: ServiceView) -> Mapping[str, Any]:
    """What we told this Service last; empty where we never did."""
    return next((one for one in view.conditions if one.get("type") == ASSIGNED_CONDITION), {})


def _concerns_us(view: ServiceView) -> bool:
    """Whether it is ours, was ours, or shows an address that we must not give to another."""
    return view.is_ours or bool(view.ingress or our_condition(view))


def _leave(entry: Entry) -> Allocation:
    shown = " and ".join(str(address) for address in entry.view.ingress)
    return Allocation(
        entry.view.ingress, Reason.FOREIGN_ADDRESS, f"{shown} was assigned by another controller; left to it"
    )
