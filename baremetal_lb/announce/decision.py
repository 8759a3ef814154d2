"""Who may announce an address, the best first, and what follows once the election has named one of them.

Pure, and the same on every node that knows the same; no node asks another.
"""

from collections import defaultdict
from collections.abc import Iterable

from baremetal_lb.addresses import Address
from baremetal_lb.announce.eligibility import (
    able_to_serve,
    interfaces_for,
    node_refusal,
    preemption_delay,
    preference,
    services_refusal,
)
from baremetal_lb.announce.model import Decision, Demand, Explanation, NodeFacts, Nomination
from baremetal_lb.config.model import Config, L2Advertisement
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.election.watchers import Tiers
from baremetal_lb.reasons import Reason


class Electorate:
    """The nodes of one moment; what is the same for many addresses is worked out once."""

    def __init__(self, nodes: Iterable[NodeFacts] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.alive = Candidates(node.name for node in self.nodes.values() if node.speaker_alive)
        self._eligible: dict[tuple[L2Advertisement, ...], Candidates] = {}
        self._tiers: dict[tuple[tuple[L2Advertisement, ...], tuple[str, ...]], Tiers] = {}

    def reporter(self, address: Address) -> str | None:
        """Name the node whose speaker tells the user that nobody announces the address."""
        return self.alive.first(address) if self.alive else None

    def eligible(self, advertisements: tuple[L2Advertisement, ...]) -> Candidates:
        """Give the nodes with nothing against them but, perhaps, where the endpoints are.

        Where no node is ready, those count that are NotReady only: it is more likely that nobody hears the kubelets
        than that all nodes are gone.
        """
        known = self._eligible.get(advertisements)
        if known is None:
            refusals = {node.name: node_refusal(node, advertisements) for node in self.nodes.values()}
            passed = [name for name, reason in refusals.items() if reason is None]
            unready = [name for name, reason in refusals.items() if reason is Reason.NODE_NOT_READY]
            known = self._eligible[advertisements] = Candidates(passed or unready)
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
    eligible = electorate.eligible(demand.advertisements)
    if not eligible:
        return Nomination(refusal=Reason.NO_ELIGIBLE_NODE)
    able = able_to_serve(eligible, demand.services)
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
    interfaces = interfaces_for(electorate.nodes[holder], demand.advertisements)
    return Decision(holder, Reason.ELECTED, interfaces, reporter=holder)


def explain_l2(demand: Demand, electorate: Electorate, decision: Decision) -> Explanation:
    """Give every node's own reason."""
    return Explanation(
        decision,
        {node.name: reason_for(node, demand, electorate, decision) for node in electorate.nodes.values()},
    )


def reason_for(node: NodeFacts, demand: Demand, electorate: Electorate, decision: Decision) -> Reason:
    """Give one node's part in a decision."""
    if node.name == decision.holder:
        return Reason.ELECTED
    reason = node_refusal(node, demand.advertisements) or services_refusal(demand.services)
    if reason is not None:
        return reason
    able = able_to_serve(electorate.eligible(demand.advertisements), demand.services)
    return Reason.NOT_ELECTED if node.name in able else Reason.NO_LOCAL_ENDPOINT
