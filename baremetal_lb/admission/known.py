"""What there is already, as one replica sees it: our resources, and Services by the addresses they have or ask for.

A question concerns a few Services out of thousands, and thousands of questions may come at once. So nothing here walks
over all Services, but for a pool that is to lose addresses.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from baremetal_lb.addresses import Address
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant, applicant_of
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.allocator.sharing import sharing_of
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import LOAD_BALANCER_CLASS, ServiceKey, ServiceView
from baremetal_lb.config.model import Config, Surroundings
from baremetal_lb.config.reading import RawObject


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A Service that is there already, and what it asks for."""

    view: ServiceView
    request: AllocationRequest | Refusal

    @property
    def wanted(self) -> tuple[Address, ...]:
        """The addresses that it asks for."""
        if isinstance(self.request, Refusal):
            return ()
        return tuple(one for addresses in self.request.wanted.values() for one in addresses)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses that it asks for or has."""
        return tuple(dict.fromkeys((*self.wanted, *self.view.ingress)))


class Known:
    """Follows what a replica sees; whoever follows also asks, so it needs no lock."""

    def __init__(self) -> None:
        self.pools: tuple[RawObject, ...] = ()
        self.claims: tuple[RawObject, ...] = ()
        self.config = Config()
        self.surroundings = Surroundings()
        self._neighbours: dict[ServiceKey, Neighbour] = {}
        self._near: dict[Address, tuple[ServiceKey, ...]] = {}
        self._namespaces: dict[str, NamespaceView] = {}
        self._ledger: Ledger | None = None
        """Over the present Config, with no holders: to make one costs milliseconds."""

    def resources_changed(
        self,
        *,
        pools: Iterable[RawObject],
        claims: Iterable[RawObject],
        config: Config,
        surroundings: Surroundings,
    ) -> None:
        """Take in our resources, as they are written and compiled, and what the cluster itself uses."""
        self.pools, self.claims = tuple(pools), tuple(claims)
        self.config, self.surroundings = config, surroundings
        self._ledger = None

    def namespace_changed(self, name: str, view: NamespaceView | None) -> None:
        """Take in a Namespace (None: it is gone)."""
        self._namespaces.pop(name, None)
        if view is not None:
            self._namespaces[name] = view
        self._ledger = None

    def service_changed(self, key: ServiceKey, now: Neighbour | None) -> None:
        """Take in a Service (None: it is gone, or no load balancer)."""
        before = self._neighbours.pop(key, None)
        for address in before.addresses if before else ():
            others = tuple(one for one in self._near[address] if one != key)
            if others:
                self._near[address] = others
            else:
                del self._near[address]
        if now is not None:
            self._neighbours[key] = now
            for address in now.addresses:
                self._near[address] = (*self._near.get(address, ()), key)

    @property
    def services(self) -> Iterator[ServiceView]:
        """Every Service."""
        return (neighbour.view for neighbour in self._neighbours.values())

    def near(self, addresses: Iterable[Address]) -> list[Neighbour]:
        """Those that have or ask for one of the addresses, the oldest first."""
        keys = {key for address in addresses for key in self._near.get(address, ())}
        found = [self._neighbours[key] for key in keys]
        return sorted(found, key=lambda one: (one.view.created_at, one.view.key))

    def is_ours(self, view: ServiceView) -> bool:
        """Whether we are to serve the Service."""
        classes = {LOAD_BALANCER_CLASS, None, *(name for pool in self.config.pools for name in pool.classes)}
        return view.is_load_balancer and view.load_balancer_class in classes

    def applicant(self, view: ServiceView, request: AllocationRequest) -> Applicant:
        """The Service that makes the request, with what else decides on its rights."""
        return applicant_of(view, request, self._namespaces)

    @contextmanager
    def ledger(self, holders: Iterable[ServiceView]) -> Iterator[Ledger]:
        """Lend a ledger in which only these hold what their statuses show; of two that may not share, the first."""
        if self._ledger is None:
            self._ledger = Ledger()
            self._ledger.configure(self.config)
        ledger, held = self._ledger, list[ServiceKey]()
        try:
            for view in holders:
                _hold(view, ledger)
                held.append(view.key)
            yield ledger
        finally:
            for key in held:
                ledger.hold(key, ())


def _hold(view: ServiceView, ledger: Ledger) -> None:
    """Let the Service hold what its status shows, as far as it may."""
    sharing = sharing_of(view)
    ledger.hold(view.key, [one for one in view.ingress if ledger.is_open_to(view.key, one, sharing)], sharing)
