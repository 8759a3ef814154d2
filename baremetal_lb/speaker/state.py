"""What the API server last told this node, as far as it decides who announces, and which addresses a change concerns.

Every method takes one fact in and marks the addresses that it may touch; a fact that is not new marks none, so the
heartbeats in a Node's status cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from baremetal_lb.addresses import Address
from baremetal_lb.allocator.entry import ASSIGNED_CONDITION
from baremetal_lb.announce.condition import Told, find_told
from baremetal_lb.announce.decision import Electorate, advertisements_for
from baremetal_lb.announce.model import Demand, NodeFacts, Served
from baremetal_lb.announce.offer import Offer
from baremetal_lb.cluster.endpoints import EndpointSliceView, EndpointsView, merge_slices
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import ServiceKey, ServiceView, TrafficPolicy, parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Config, L2Advertisement
from baremetal_lb.kube.watch import Key

CustomResource = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")
C = TypeVar("C", ServiceKey, Key)


@dataclass(frozen=True, slots=True)
class AddressedService:
    """A Service of ours that has addresses. `kept` says that the controller vouches for them."""

    key: ServiceKey
    uid: str
    addresses: tuple[Address, ...]
    policy: TrafficPolicy
    kept: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    told: Told | None = field(default=None, compare=False)
    """What its condition Announced says; of no concern to who announces."""


def parse_addressed_service(raw: Mapping[str, Any]) -> AddressedService | None:
    """Reduce an API server's Service; None where there is nothing to announce."""
    return addressed_service(parse_service(raw))


def addressed_service(view: ServiceView) -> AddressedService | None:
    """Reduce a Service to what speakers use of it; None where there is nothing to announce.

    One of a class that only a pool's loadBalancerClasses name is ours by what the controller says of it.
    """
    kept = any(one.get("type") == ASSIGNED_CONDITION and one.get("status") == "True" for one in view.conditions)
    is_ours = view.is_ours or (view.is_load_balancer and kept)
    if not is_ours or not view.ingress:
        return None
    return AddressedService(
        view.key, view.uid, view.ingress, view.traffic_policy, kept, view.labels, find_told(view.conditions)
    )


class ClusterState:
    """The cluster as this node knows it."""

    def __init__(self) -> None:
        self.services: dict[ServiceKey, AddressedService] = {}
        self.dirty: set[Address] = set()
        self.retold: set[ServiceKey] = set()
        """The Services whose condition Announced is to be looked at."""
        self._on_address: dict[Address, tuple[ServiceKey, ...]] = {}
        """In a stable order. Nearly all have one, and a set is large."""
        self._slices: dict[Key, EndpointSliceView] = {}
        self._slices_of: dict[ServiceKey, tuple[Key, ...]] = {}
        self._endpoints: dict[ServiceKey, EndpointsView] = {}
        self._nodes: dict[str, NodeView] = {}
        self.offers: dict[str, Offer] = {}
        self._alive: frozenset[str] = frozenset()
        self._unready: frozenset[str] = frozenset()
        self._pools: dict[Key, CustomResource] = {}
        self._l2_advertisements: dict[Key, CustomResource] = {}
        self._config: Config | None = None
        self._advertisements: dict[tuple[Address, bool], tuple[L2Advertisement, ...]] = {}
        self._electorate: Electorate | None = None

    def service_changed(self, key: Key, service: AddressedService | None) -> None:
        """Take in a Service with its addresses, or that it has none any more."""
        name = ServiceKey(*key)
        before = self.services.pop(name, None)
        if service is not None:
            self.services[name] = service
        if service is not None and (before is None or before.told != service.told):
            self.retold.add(name)
        if before == service:
            return
        for address in before.addresses if before else ():
            _unlink(self._on_address, address, name)
            self.dirty.add(address)
        for address in service.addresses if service else ():
            _link(self._on_address, address, name)
            self.dirty.add(address)

    def slice_changed(self, key: Key, view: EndpointSliceView | None) -> None:
        """Take in an EndpointSlice; it may name another Service than before."""
        before = self._slices.pop(key, None)
        if before is not None and before.service is not None:
            _unlink(self._slices_of, before.service, key)
        if view is not None and view.service is not None:
            self._slices[key] = view
            _link(self._slices_of, view.service, key)
        for service in {view.service if view else None, before.service if before else None} - {None}:
            assert service is not None
            self._count_endpoints(service)

    def node_changed(self, key: Key, view: NodeView | None) -> None:
        """Take in a Node."""
        if _put(self._nodes, key[1], view):
            self._electorate_changed()

    def offer_changed(self, node: str, offer: Offer | None) -> None:
        """Take in what a node's speaker says of the node."""
        if _put(self.offers, node, offer):
            self._electorate_changed()

    def alive_changed(self, alive: frozenset[str]) -> None:
        """Take in which nodes have a living speaker."""
        if alive != self._alive:
            self._alive = alive
            self._electorate_changed()

    def unready_changed(self, unready: frozenset[str]) -> None:
        """Take in which nodes have been NotReady for too long."""
        if unready != self._unready:
            self._unready = unready
            self._electorate_changed()

    def pool_changed(self, key: Key, raw: CustomResource | None) -> None:
        """Take in an IPAddressPool."""
        if _put(self._pools, key, _specification(raw)):
            self._config_changed()

    def l2_advertisement_changed(self, key: Key, raw: CustomResource | None) -> None:
        """Take in an L2Advertisement."""
        if _put(self._l2_advertisements, key, _specification(raw)):
            self._config_changed()

    def take_dirty(self) -> set[Address]:
        """Give the addresses to decide on anew; they count as clean from now on."""
        dirty, self.dirty = self.dirty, set()
        return dirty

    def touch_conditions(self, address: Address) -> None:
        """Have the conditions of the Services looked at that have the address."""
        self.retold.update(self._on_address.get(address, ()))

    def services_on(self, address: Address) -> tuple[AddressedService, ...]:
        """Give the Services that have the address, in a stable order."""
        return tuple(self.services[key] for key in self._on_address.get(address, ()))

    def demand(self, address: Address) -> Demand | None:
        """Say what the address asks of a node; None where no Service has it any more."""
        services = self.services_on(address)
        if not services:
            return None
        kept = any(one.kept for one in services)
        served = tuple(Served(one.policy, self._endpoints.get(one.key, EndpointsView())) for one in services)
        advertisements = tuple(
            advertisement
            for advertisement in self._advertisements_for(address, kept=kept)
            if any(advertisement.selects_service(one.labels) for one in services)
        )
        return Demand(address, advertisements, served)

    @property
    def config(self) -> Config:
        """The custom resources, compiled."""
        if self._config is None:
            self._config, _ = compile_config(self._pools.values(), self._l2_advertisements.values())
        return self._config

    @property
    def named_interfaces(self) -> frozenset[str]:
        """The interfaces that any advertisement names."""
        return frozenset().union(*(one.interfaces for one in self.config.l2_advertisements))

    @property
    def electorate(self) -> Electorate:
        """The nodes as they are now."""
        if self._electorate is None:
            self._electorate = Electorate(self._facts(name) for name in self._nodes.keys() | self.offers.keys())
        return self._electorate

    def _advertisements_for(self, address: Address, *, kept: bool) -> tuple[L2Advertisement, ...]:
        known = self._advertisements.get((address, kept))
        if known is None:
            known = self._advertisements[address, kept] = advertisements_for(self.config, address, kept=kept)
        return known

    def _facts(self, name: str) -> NodeFacts:
        return NodeFacts(
            name,
            self._nodes.get(name),
            speaker_alive=name in self._alive,
            offer=self.offers.get(name, Offer()),
            unready=name in self._unready,
        )

    def _count_endpoints(self, service: ServiceKey) -> None:
        merged = merge_slices(self._slices[key] for key in self._slices_of.get(service, ()))
        if _put(self._endpoints, service, merged if merged.anywhere else None) and service in self.services:
            self.dirty.update(self.services[service].addresses)

    def _electorate_changed(self) -> None:
        self._electorate = None
        self.dirty.update(self._on_address)

    def _config_changed(self) -> None:
        self._config = None
        self._advertisements.clear()
        self._electorate_changed()


def _specification(raw: CustomResource | None) -> CustomResource | None:
    """Leave out what says nothing about announcing, so that a pool's counters don't count as a change."""
    if raw is None:
        return None
    metadata = {
        name: value for name, value in raw["metadata"].items() if name not in {"resourceVersion", "managedFields"}
    }
    return {**{name: value for name, value in raw.items() if name != "status"}, "metadata": metadata}


def _link(known: dict[K, tuple[C, ...]], key: K, value: C) -> None:
    """Have a key lead to one value more."""
    known[key] = tuple(sorted(set(known.get(key, ())) | {value}))


def _unlink(known: dict[K, tuple[C, ...]], key: K, value: C) -> None:
    """Have a key lead to one value less."""
    rest = tuple(one for one in known.pop(key) if one != value)
    if rest:
        known[key] = rest


def _put(known: dict[K, V], key: K, value: V | None) -> bool:
    """Store or remove; tell whether that changed anything."""
    before = known.pop(key, None)
    if value is not None:
        known[key] = value
    return before != value
