"""Who announces an address: the first, by the order of the election, of the nodes that may.

Pure, and the same on every node that knows the same; no node asks another.
"""

from collections.abc import Iterable

from baremetal_lb.addresses import Address
from baremetal_lb.announce.eligibility import able_to_serve, interfaces_for, node_refusal, services_refusal
from baremetal_lb.announce.model import Decision, Demand, Explanation, NodeFacts
from baremetal_lb.config.model import Config, L2Advertisement
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.reasons import Reason


class Electorate:
    """The nodes of one moment; what is the same for many addresses is worked out once."""

    def __init__(self, nodes: Iterable[NodeFacts] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.alive = Candidates(node.name for node in self.nodes.values() if node.speaker_alive)
        self._eligible: dict[tuple[L2Advertisement, ...], Candidates] = {}

    def eligible(self, advertisements: tuple[L2Advertisement, ...]) -> Candidates:
        """Give the nodes with nothing against them but, perhaps, where the endpoints are."""
        known = self._eligible.get(advertisements)
        if known is None:
            passed = (node.name for node in self.nodes.values() if node_refusal(node, advertisements) is None)
            known = self._eligible[advertisements] = Candidates(passed)
        return known


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


def decide_l2(demand: Demand, electorate: Electorate) -> Decision:
    """Choose the one node that announces the address, or say why none does."""
    if not demand.advertisements:
        return _nobody(demand.address, electorate, Reason.NO_ADVERTISEMENT)
    reason = services_refusal(demand.services)
    if reason is not None:
        return _nobody(demand.address, electorate, reason)
    eligible = electorate.eligible(demand.advertisements)
    if not eligible:
        return _nobody(demand.address, electorate, Reason.NO_ELIGIBLE_NODE)
    able = able_to_serve(eligible, demand.services)
    if not able:
        return _nobody(demand.address, electorate, Reason.NO_LOCAL_ENDPOINT)
    holder = able.first(demand.address)
    interfaces = interfaces_for(electorate.nodes[holder], demand.advertisements)
    return Decision(holder, Reason.ELECTED, interfaces, reporter=holder)


def explain_l2(demand: Demand, electorate: Electorate) -> Explanation:
    """Decide, and give every node's own reason."""
    decision = decide_l2(demand, electorate)
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


def _nobody(address: Address, electorate: Electorate, reason: Reason) -> Decision:
    return Decision(None, reason, reporter=electorate.alive.first(address) if electorate.alive else None)
