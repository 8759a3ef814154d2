"""Whether a node may announce an address: ordered checks, and the first "no" is the node's reason.

The checks of a node look only at the node and at what is asked of it, so one pass over the nodes serves every address
of which the same is asked. Those of the Services look at where the Services of one address have endpoints.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from baremetal_lb.announce.model import NodeFacts, Placement, Served
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.config.model import L2Advertisement
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.reasons import Reason

NodeCheck = Callable[[NodeFacts, Placement], Reason | None]


def node_exists(node: NodeFacts, _: Placement) -> Reason | None:
    """A Lease may outlive its Node for a moment."""
    return Reason.NODE_GONE if node.view is None else None


def speaker_is_alive(node: NodeFacts, _: Placement) -> Reason | None:
    """Somebody must be there to answer."""
    return None if node.speaker_alive else Reason.SPEAKER_NOT_ALIVE


def node_is_not_excluded(node: NodeFacts, _: Placement) -> Reason | None:
    """The well-known label keeps a node out of every load balancer."""
    return Reason.NODE_EXCLUDED if node.view and node.view.excluded else None


def node_has_network(node: NodeFacts, _: Placement) -> Reason | None:
    """A node whose pod network is not set up can't forward."""
    return Reason.NODE_NETWORK_UNAVAILABLE if node.view and node.view.network_unavailable else None


def node_is_in_service(node: NodeFacts, _: Placement) -> Reason | None:
    """With the well-known taint an operator vouches that the node is off."""
    return Reason.NODE_OUT_OF_SERVICE if node.view and node.view.out_of_service else None


def address_is_advertised(_: NodeFacts, placement: Placement) -> Reason | None:
    """Some advertisement must select the address's pool."""
    return None if placement.advertisements else Reason.NO_ADVERTISEMENT


def node_is_selected(node: NodeFacts, placement: Placement) -> Reason | None:
    """One of the advertisements must select the node."""
    return None if any(_selecting(node, placement.advertisements)) else Reason.NODE_NOT_SELECTED


def node_has_interface(node: NodeFacts, placement: Placement) -> Reason | None:
    """The node must have one of the interfaces that the advertisements name for it."""
    selecting = _selecting(node, placement.advertisements)
    return None if any(_named(node, one) for one in selecting) else Reason.NO_INTERFACE


def node_is_on_segment(node: NodeFacts, placement: Placement) -> Reason | None:
    """Where an advertisement asks for it, one of these interfaces must be on the address's own segment."""
    return None if interfaces_for(node, placement) else Reason.NOT_ON_SEGMENT


def node_is_ready(node: NodeFacts, _: Placement) -> Reason | None:
    """A node that lost its kubelet for a moment still forwards; one that lost it for long is not to be trusted."""
    return Reason.NODE_NOT_READY if node.unready else None


def proxy_answers(node: NodeFacts, _: Placement) -> Reason | None:
    """What arrives at a node must be forwarded by kube-proxy, or by what stands in for it."""
    return None if node.offer.proxy_answers else Reason.PROXY_NOT_ANSWERING


def node_stays(node: NodeFacts, _: Placement) -> Reason | None:
    """What is about to go is better replaced while it still answers."""
    return Reason.NODE_LEAVING if node.view and node.view.leaving else None


def node_is_not_cordoned(node: NodeFacts, placement: Placement) -> Reason | None:
    """A cordoned node goes on, unless all the advertisements that select it say otherwise."""
    if node.view is None or not node.view.cordoned:
        return None
    selecting = _selecting(node, placement.advertisements)
    return Reason.NODE_CORDONED if all(one.cordoned_leave for one in selecting) else None


NODE_CHECKS: tuple[NodeCheck, ...] = (
    node_exists,
    speaker_is_alive,
    node_is_not_excluded,
    node_has_network,
    node_is_in_service,
    address_is_advertised,
    node_is_selected,
    node_has_interface,
    node_is_on_segment,
    node_is_ready,
    proxy_answers,
    node_stays,
    node_is_not_cordoned,
)
"""Those that can be overlooked come last, the gravest first."""

LAST_RESORTS = (
    Reason.NODE_CORDONED,
    Reason.NODE_LEAVING,
    Reason.PROXY_NOT_ANSWERING,
    Reason.NODE_NOT_READY,
)
"""Where no other node can serve, one of which only the first of these can be said announces after all.

More likely than that all nodes are gone: nobody hears the kubelets, or asks kube-proxy at the wrong port.
"""


def node_refusal(node: NodeFacts, placement: Placement) -> Reason | None:
    """Give the first reason against the node, whatever the Services."""
    return next((reason for check in NODE_CHECKS if (reason := check(node, placement))), None)


def interfaces_for(node: NodeFacts, placement: Placement) -> frozenset[str]:
    """Choose the interfaces to announce on: what any of the advertisements that select the node asks for.

    One that names no interface asks for the usual ones.
    """
    near = node.offer.within(placement.networks) if placement.networks else frozenset[str]()
    selecting = _selecting(node, placement.advertisements)
    wanted = (_named(node, one) & near if one.on_link_only else _named(node, one) for one in selecting)
    return frozenset[str]().union(*wanted)


def services_refusal(services: Collection[Served]) -> Reason | None:
    """Give the reason against every node where no Service of the address has an endpoint."""
    return None if any(one.endpoints.anywhere for one in services) else Reason.NO_ENDPOINT


def able_to_serve(eligible: Candidates, services: Iterable[Served]) -> Candidates:
    """Keep the nodes that can serve the most of the Services.

    With the Cluster policy every node can, with Local those that have an endpoint. Services that share an address
    thus get one set of candidates, and never two holders. One without any endpoint has no say.
    """
    serving = [one for one in services if one.endpoints.anywhere]
    local = [one.endpoints.nodes for one in serving if one.policy is TrafficPolicy.LOCAL]
    served = Counter(node for nodes in local for node in nodes if node in eligible)
    if not served:
        return eligible if len(local) < len(serving) else Candidates()
    most = max(served.values())
    return Candidates(node for node, count in served.items() if count == most)


def preference(node: NodeFacts, advertisements: Iterable[L2Advertisement]) -> int:
    """Add up the weights with which the advertisements that select the node prefer it."""
    return sum(one.preference(node.labels) for one in _selecting(node, advertisements))


def preemption_delay(advertisements: Iterable[L2Advertisement]) -> float | None:
    """Choose the shortest of the delays; one that prefers no node has no say. None where none lets a better one in."""
    delays = (one.preempt_after for one in advertisements if one.preferences)
    return min((delay for delay in delays if delay is not None), default=None)


def _selecting(node: NodeFacts, advertisements: Iterable[L2Advertisement]) -> Iterator[L2Advertisement]:
    return (one for one in advertisements if one.selects_node(node.labels))


def _named(node: NodeFacts, advertisement: L2Advertisement) -> frozenset[str]:
    offer = node.offer
    return (offer.usual | offer.by_name) & advertisement.interfaces if advertisement.interfaces else offer.usual
