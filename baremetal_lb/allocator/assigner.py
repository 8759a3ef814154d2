"""The controller's state machine: every Service that concerns us, what was decided on it, and what to look at again.

Theory of operation. The shell reports what the watch shows (`service_changed`, `namespace_changed`), the resources
(`set_config`) and the fate of its own writes (`write_begun`, `write_ended`); each marks Services dirty. `decide` takes
dirty Services in order of creation and decides on each anew from all that is known. It changes the ledger at once, so
the next decision builds on it; the status follows. Until `start`, and after `stop`, it only follows what happens.

Four rules keep two Services from ever showing one address that they may not share:
- Whatever a status shows is held before anything is given out, also where another controller wrote it.
- An address stays held until a newer status without it has been seen, not just until we decided otherwise.
- Nothing is decided on a Service while a write to it is on its way, or before the watch has shown that write.
- Who takes over from a leader that may still be writing first touches every Service that it may be writing to
  (`allocator/fence.py`).

Waiting Services are looked at again when an address becomes free, in order of creation, and only as long as there is
something left for them: with thousands waiting for one address, each costs a look, not a decision.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from heapq import heappop, heappush

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, Outcome, allocate, keep
from baremetal_lb.allocator.choose import Held, could_serve
from baremetal_lb.allocator.entry import ASSIGNED_CONDITION, Entry, our_condition
from baremetal_lb.allocator.fence import Fence
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant, applicant_of
from baremetal_lb.allocator.request import Refusal, from_pools, parse_request
from baremetal_lb.allocator.waiting import WaitingServices
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import ANNOUNCED_CONDITION, ServiceKey, ServiceView
from baremetal_lb.config.model import Config
from baremetal_lb.reasons import Reason


class Assigner:
    """Decides on Services; owns the ledger."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.entries: dict[ServiceKey, Entry] = {}
        self._namespaces: dict[str, NamespaceView] = {}
        self._dirty: set[ServiceKey] = set()
        self._woken: set[ServiceKey] = set()
        self._order: list[tuple[datetime, ServiceKey]] = []
        self._waiting = WaitingServices()
        self._movable: set[ServiceKey] = set()
        self._contested: defaultdict[Address, set[ServiceKey]] = defaultdict(set)
        """Who shows an address that is another's; whoever is last to show it holds it until that is over."""
        self._fence = Fence()
        self._started = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to decide."""
        return not self._dirty and not self._woken

    @property
    def has_movable(self) -> bool:
        """Whether a Service waits for its turn to leave its address (its pool gave it up, or quarantine)."""
        return bool(self._movable)

    def is_decided(self, entry: Entry) -> bool:
        """Whether the outcome is that of everything we know; what was decided before that must not be written."""
        return entry.is_settled and entry.key not in self._dirty

    def start(self, config: Config, *, fence: bool = False) -> None:
        """Begin to decide: every Service, Namespace and resource is known now.

        Where two statuses show one address that they may not share, the older Service keeps it. `fence` tells that
        another leader may still be writing.
        """
        assert not self._started
        self._started = True
        self.ledger.configure(config)
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.view.created_at, entry.key)):
            self._hold(entry)
            self._mark(entry.key, self._dirty)
        if fence:
            self._fence.raise_for(entry.view for entry in self.entries.values() if self._is_unfinished(entry))

    def stop(self) -> None:
        """Forget all decisions, but go on following: another leads now."""
        self._started = False
        for entry in self.entries.values():
            entry.outcome = entry.lost = None
            entry.yielded = False
            self.ledger.hold(entry.key, ())
        for forgotten in (self._dirty, self._woken, self._order, self._waiting, self._movable, self._contested):
            forgotten.clear()
        self._fence = Fence()

    def set_config(self, config: Config) -> None:
        """Work with other resources: everything is decided anew."""
        assert self._started
        self.ledger.configure(config)
        self._mark_all()

    def namespace_changed(self, name: str, view: NamespaceView | None) -> None:
        """Take in what the watch shows of a Namespace (None: it is gone)."""
        if view == self._namespaces.get(name):
            return
        if view is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = view
        if self._started:
            self.ledger.namespaces_changed()
            for key in self.entries:
                if key.namespace == name:
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
            if self._fence.passed(view):
                self._mark_all()

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

    def preview(self, entry: Entry) -> tuple[Held, Outcome | None]:
        """Tell what the Service has and what would be decided on it now; nothing changes."""
        return self._current(entry), self._outcome(entry)

    def move_one(self) -> Entry | None:
        """Let the oldest of the Services that should leave their address do so; return it."""
        movable = [entry for key in self._movable if (entry := self.entries[key]).is_settled]
        if not movable or self._fence.is_up:
            return None
        entry = min(movable, key=lambda entry: (entry.view.created_at, entry.key))
        self._decide(entry, may_move=True)
        return entry

    def write_begun(self, entry: Entry) -> None:
        """Take note that the entry's outcome is on its way to the API server."""
        entry.writing = True

    def write_ended(self, entry: Entry, needs_version: int = 0) -> None:
        """Take note that the write is over; the view says nothing new before `needs_version`."""
        entry.writing = False
        entry.needs_version = max(entry.needs_version, needs_version)
        if self._started and self.entries.get(entry.key) is entry:
            self._hold(entry)
            self._mark(entry.key, self._dirty)

    def count_reasons(self) -> Counter[Reason]:
        """Count our Services by what was decided on them."""
        return Counter(entry.outcome.reason for entry in self.entries.values() if entry.outcome)

    def check_invariants(self) -> None:
        """Assert what must hold between any two calls."""
        self.ledger.check_invariants()
        assert {*self._waiting.all(), *self._movable} <= self.entries.keys()
        assert {key for _, key in self._order} >= self._dirty | self._woken
        for key, entry in self.entries.items():
            assert set(entry.addresses) <= self.ledger.held_by(key) or not self.is_decided(entry)

    def applicant(self, entry: Entry) -> Applicant | None:
        """The entry's Service as one who asks for addresses; None where its request can't be read."""
        if isinstance(entry.request, Refusal):
            return None
        return applicant_of(entry.view, entry.request, self._namespaces)

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
        for keys in (self._dirty, self._woken, self._waiting, self._movable):
            keys.discard(entry.key)
        if self._fence.passed_by(entry.key):
            self._mark_all()
        self._let_go(self.ledger.hold(entry.key, ()))

    def _mark(self, key: ServiceKey, marked: set[ServiceKey]) -> None:
        if key not in self._dirty and key not in self._woken:
            heappush(self._order, (self.entries[key].view.created_at, key))
        marked.add(key)

    def _mark_all(self) -> None:
        for key in self.entries:
            self._mark(key, self._dirty)

    def _let_go(self, addresses: Iterable[Address]) -> None:
        """Hand on what a Service let go: first to whoever shows it as well, else to those who wait."""
        freed = tuple(addresses)
        for address in freed:
            for key in sorted(self._contested.pop(address, ())):
                if key in self.entries:
                    self._hold(self.entries[key])
                    self._mark(key, self._dirty)
        if freed:
            self._wake(self._waiting.all())

    def _wake(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            self._mark(key, self._woken)

    def _is_due(self, entry: Entry) -> bool:
        """Take the entry's marks away; tell whether a decision is needed and can be made now."""
        is_dirty = entry.key in self._dirty
        self._dirty.discard(entry.key)
        self._woken.discard(entry.key)
        if self._fence.is_up and not self._fence.holds(entry.key):
            return False
        return entry.is_settled and (is_dirty or self._could_be_served(entry))

    def _could_be_served(self, entry: Entry) -> bool:
        applicant = self.applicant(entry)
        return applicant is not None and could_serve(applicant, entry.awaits, self.ledger)

    def _hold(self, entry: Entry) -> None:
        """Let the Service hold what its status shows and what it was given, as far as it may."""
        before = self.ledger.held_by(entry.key)
        before_sharing = self.ledger.sharing_of(entry.key)
        claims = {*entry.view.ingress, *entry.addresses}
        open_to_it = {one for one in claims if self.ledger.is_open_to(entry.key, one, entry.sharing)}
        for address in claims - open_to_it:
            self._contested[address].add(entry.key)
        let_go = self.ledger.hold(entry.key, open_to_it, entry.sharing)
        if open_to_it - before or (open_to_it and entry.sharing != before_sharing):
            self._wake(self._waiting.under(entry.sharing.key))
        self._let_go(let_go)

    def _decide(self, entry: Entry, *, may_move: bool = False) -> None:
        if self._fence.is_up:
            entry.outcome = self._fence.outcome(entry.view, self._current(entry))
            return
        entry.lost = self._lost(entry)
        entry.outcome = self._outcome(entry, may_move=may_move)
        if may_move:
            entry.lost = entry.lost or self._moved(entry)
        self._hold(entry)
        if not _concerns_us(entry.view):
            self._forget(entry)
            return
        if entry.awaits:
            self._waiting.add(entry.key, entry.sharing.key)
        else:
            self._waiting.discard(entry.key)
        if isinstance(entry.outcome, Allocation) and entry.outcome.should_move:
            self._movable.add(entry.key)
        else:
            self._movable.discard(entry.key)

    def _outcome(self, entry: Entry, *, may_move: bool = False) -> Outcome | None:
        current = self._current(entry)
        if not self._is_ours(entry.view) or (entry.view.deleting and not current):
            return None
        if self._is_foreign(entry) and not entry.is_explicit:
            return _leave(entry)
        outcome = self._answer(entry, current, may_move=may_move)
        if self._is_foreign(entry) and (entry.yielded or outcome.reason is not Reason.ASSIGNED):
            return _leave(entry)
        return outcome

    def _answer(self, entry: Entry, current: Held, *, may_move: bool) -> Outcome:
        applicant = self.applicant(entry)
        if applicant is None:
            assert isinstance(entry.request, Refusal)
            return keep(current, entry.request, self.ledger, from_pools(entry.view))
        return allocate(applicant, current, self.ledger, may_move=may_move)

    def _current(self, entry: Entry) -> Held:
        """The addresses the Service has: those of its status, else those decided on but not shown (yet).

        One outside of every pool counts only while the status shows it.
        """
        shown = [one for one in entry.view.ingress if self.ledger.is_open_to(entry.key, one, entry.sharing)]
        decided = [
            one
            for one in entry.addresses
            if self.ledger.pools.holding(one) and self.ledger.is_open_to(entry.key, one, entry.sharing)
        ]
        return {
            family: has
            for family in entry.view.families
            if (has := _of_family(shown, family) or _of_family(decided, family))
        }

    def _lost(self, entry: Entry) -> Refusal | None:
        """Say which address of the status is another Service's."""
        for address in entry.view.ingress if self._is_ours(entry.view) else ():
            if obstacle := self.ledger.obstacle(entry.key, address, entry.sharing):
                holder, why = obstacle
                reason = Reason.SHARING_REFUSED if entry.sharing.key else Reason.ADDRESS_IN_USE
                because = f": {why}" if entry.sharing.key else ""
                return Refusal(reason, f"{address} is held by Service {holder}; this one can't keep it{because}")
        return None

    def _moved(self, entry: Entry) -> Refusal | None:
        """Say which address of the status was left because its pool gave it up, or a foreign host uses it."""
        left = set(entry.view.ingress) - set(entry.addresses)
        new = [one for one in entry.addresses if one not in entry.view.ingress]
        if not left or not new:
            return None
        came_from = from_pools(entry.view)
        told = " and ".join(f"{one} (pool {came_from.get(one, '?')})" for one in entry.view.ingress if one in left)
        hosts = sorted({str(host) for one in left if (host := self.ledger.foreign_host(one))})
        why = f"{' and '.join(hosts)} uses that" if hosts else "its pool gave that up"
        return Refusal(Reason.REASSIGNED, f"moved from {told} to {' and '.join(map(str, new))}: {why}")

    def _is_ours(self, view: ServiceView) -> bool:
        """Whether the Service is ours to serve: by its class, or because it has an address of us."""
        if view.is_ours or not view.is_load_balancer:
            return view.is_ours
        return view.load_balancer_class in self.ledger.pools.classes or our_condition(view).get("status") == "True"

    def _is_foreign(self, entry: Entry) -> bool:
        """Whether another controller wrote what the status shows.

        We know our addresses by their pool, and where that is gone, by our condition.
        """
        if not self._is_outside_pools(entry.view):
            return False
        return entry.yielded or our_condition(entry.view).get("status") != "True"

    def _is_outside_pools(self, view: ServiceView) -> bool:
        shows_something = bool(view.ingress) or view.names_a_host
        return shows_something and all(self.ledger.pools.holding(one) is None for one in view.ingress)

    def _is_unfinished(self, entry: Entry) -> bool:
        """Whether a leader may have had something to write for the Service; to one that may move, it may have."""
        if not self._is_ours(entry.view) or self._is_foreign(entry):
            return False
        outcome = self._outcome(entry)
        if not isinstance(outcome, Allocation) or outcome.awaits:
            return True
        return set(outcome.addresses) != set(entry.view.ingress)


def _concerns_us(view: ServiceView) -> bool:
    """Whether it may be ours, was ours, or shows an address that we must not give to another."""
    told = any(one.get("type") in {ASSIGNED_CONDITION, ANNOUNCED_CONDITION} for one in view.conditions)
    return view.is_load_balancer or bool(view.ingress) or told


def _of_family(addresses: Iterable[Address], family: Family) -> tuple[Address, ...]:
    return tuple(one for one in addresses if family_of(one) is family)


def _leave(entry: Entry) -> Allocation:
    shown = " and ".join(str(address) for address in entry.view.ingress) or "the host name in its status"
    return Allocation(entry.view.ingress, Reason.FOREIGN_ADDRESS, f"left to another controller, which assigned {shown}")
