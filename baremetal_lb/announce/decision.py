"""Who may announce an address, the best first, and what follows once the election has named one of them.

Pure, and the same on every node that knows the same; no node asks another.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from baremetal_lb.addresses import Address, AddressRange
from baremetal_lb.announce.eligibility import (
    LAST_RESORTS,
    able_to_serve,
    interfaces_for,
    node_refusal,
    preemption_delay,
    preference,
    services_refusal,
)
from baremetal_lb.announce.model import Decision, Demand, Explanation, NodeFacts, Nomination, Placement
from baremetal_lb.config.model import Config, L2Advertisement
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import Tiers
from baremetal_lb.reasons import Reason


class Electorate:
    """The nodes of one moment; what is the same for many addresses is worked out once."""

    def __init__(self, nodes: Iterable[NodeFacts] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.alive = Candidates(node.name for node in self.nodes.values() if node.speaker_alive)
        self._networks = _by_size(network for node in self.nodes.values() for network in _networks(node))
        self._interfaces: dict[tuple[str, Placement], frozenset[str]] = {}
        self._refusals: dict[Placement, Mapping[str, Reason | None]] = {}
        self._eligible: dict[Placement, tuple[Candidates, ...]] = {}
        self._tiers: dict[tuple[tuple[L2Advertisement, ...], tuple[str, ...]], Tiers] = {}

    def reporter(self, address: Address) -> str | None:
        """Name the node whose speaker tells the user that nobody announces the address."""
        return self.alive.first(address) if self.alive else None

    def placement(self, demand: Demand) -> Placement:
        """Say what the address asks of a node."""
        if not any(one.on_link_only for one in demand.advertisements):
            return Placement(demand.advertisements)
        version, number = demand.address.version, int(demand.address)
        found = (known.get(number & ~(size - 1)) for (kind, size), known in self._networks.items() if kind == version)
        return Placement(demand.advertisements, frozenset(network for network in found if network))

    def refusals(self, placement: Placement) -> Mapping[str, Reason | None]:
        """Give the first reason against each node, whatever the Services."""
        known = self._refusals.get(placement)
        if known is None:
            known = {name: node_refusal(node, placement) for name, node in self.nodes.items()}
            self._refusals[placement] = known
        return known

    def eligible(self, placement: Placement) -> tuple[Candidates, ...]:
        """Give the nodes with nothing against them but, perhaps, where the endpoints are.

        After them come those of which only one of the `LAST_RESORTS` can be said: they count where none before can
        serve. No group is empty.
        """
        known = self._eligible.get(placement)
        if known is None:
            by_reason: defaultdict[Reason | None, list[str]] = defaultdict(list)
            for name, reason in self.refusals(placement).items():
                by_reason[reason].append(name)
            groups = (by_reason.get(reason) for reason in (None, *LAST_RESORTS))
            known = self._eligible[placement] = tuple(Candidates(names) for names in groups if names)
        return known

    def able(self, demand: Demand) -> Candidates:
        """Give the nodes that may announce the address and can serve its Services."""
        groups = self.eligible(self.placement(demand))
        serving = (able_to_serve(group, demand.services) for group in groups)
        return next((able for able in serving if able), Candidates())

    def interfaces(self, node: str, demand: Demand) -> frozenset[str]:
        """Give the interfaces on which the node would announce the address; none for a node that is not there."""
        facts, placement = self.nodes.get(node), self.placement(demand)
        if facts is None:
            return frozenset()
        known = self._interfaces.get((node, placement))
        if known is None:
            known = self._interfaces[node, placement] = interfaces_for(facts, placement)
        return known

    def tiers(self, advertisements: tuple[L2Advertisement, ...], able: Candidates) -> Tiers:
        """Sort nodes by how much the advertisements prefer them; equal questions get the very same answer."""
        known = self._tiers.get((advertisements, able.nodes))
        if known is None:
            known = self._tiers[advertisements, able.nodes] = self._sort(advertisements, able)
        return known

    def _sort(self, advertisements: tuple[L2Advertisement, ...], able: Candidates) -> Tiers:
        by_score: defaultdict[int, list[str]] = defaultdict(list)
        for name in able.nodes:
            by_score[preference(self.nodes[name], advertisements)].append(name)
        return tuple(Candidates(by_score[score]) for score in sorted(by_score, reverse=True))


def advertisements_for(config: Config, address: Address, *, kept: bool) -> tuple[L2Advertisement, ...]:
    """Choose the advertisements of the address's pool.

    An address that no pool holds any more goes on if the controller vouches that it is `kept` for its Service: an
    address in use must not fall silent because its pool was changed. Its advertisements are those that select all
    pools, for they meant it; where there are none, any may have. One that we never assigned is not ours to announce.
    """
    pool = config.pool_of(address)
    if pool is not None:
        return tuple(one for one in config.l2_advertisements if pool.name in one.pools)
    if not kept:
        return ()
    for_all_pools = tuple(one for one in config.l2_advertisements if one.selects_all_pools)
    return for_all_pools or config.l2_advertisements


def nominate_l2(demand: Demand, electorate: Electorate) -> Nomination:
    """Find the nodes that may announce the address, or why none may."""
    if not demand.advertisements:
        return Nomination(refusal=Reason.NO_ADVERTISEMENT)
    reason = services_refusal(demand.services)
    if reason is not None:
        return Nomination(refusal=reason)
    if not electorate.eligible(electorate.placement(demand)):
        return Nomination(refusal=Reason.NO_ELIGIBLE_NODE)
    able = electorate.able(demand)
    if not able:
        return Nomination(refusal=Reason.NO_LOCAL_ENDPOINT)
    return Nomination(
        electorate.tiers(demand.advertisements, able), preempt_after=preemption_delay(demand.advertisements)
    )


def decide_l2(demand: Demand, electorate: Electorate, nomination: Nomination, holder: str | None) -> Decision:
    """Say what follows from who holds the address, one of those nominated; None where there are none."""
    if nomination.refusal is not None:
        return Decision(None, nomination.refusal, reporter=electorate.reporter(demand.address))
    assert holder is not None
    interfaces = electorate.interfaces(holder, demand)
    return Decision(holder, Reason.ELECTED, interfaces, reporter=holder)


def explain_l2(demand: Demand, electorate: Electorate, decision: Decision) -> Explanation:
    """Give every node's part in a decision."""
    silent, able = services_refusal(demand.services), electorate.able(demand)
    refusals = electorate.refusals(electorate.placement(demand))
    return Explanation(
        decision,
        {
            name: _part(refusal or silent, is_able=name in able, is_holder=name == decision.holder)
            for name, refusal in refusals.items()
        },
    )


def reason_for(node: NodeFacts, demand: Demand, electorate: Electorate, decision: Decision) -> Reason:
    """Give one node's own."""
    refusal = electorate.refusals(electorate.placement(demand))[node.name] or services_refusal(demand.services)
    is_able = node.name in electorate.able(demand)
    return _part(refusal, is_able=is_able, is_holder=node.name == decision.holder)


def _part(refusal: Reason | None, *, is_able: bool, is_holder: bool) -> Reason:
    if is_holder:
        return Reason.ELECTED
    if refusal is not None:
        return refusal
    return Reason.NOT_ELECTED if is_able else Reason.NO_LOCAL_ENDPOINT


def _networks(node: NodeFacts) -> Iterator[AddressRange]:
    return (network for interface in node.offer.interfaces for network in interface.networks)


def _by_size(networks: Iterable[AddressRange]) -> Mapping[tuple[int, int], Mapping[int, AddressRange]]:
    """Sort networks by family and size, so that those of an address are found however many nodes there are."""
    sorted_in: defaultdict[tuple[int, int], dict[int, AddressRange]] = defaultdict(dict)
    for network in networks:
        sorted_in[network.first.version, network.size][int(network.first)] = network
    return sorted_in
