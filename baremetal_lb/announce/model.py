"""What a decision about an address is made of, and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from baremetal_lb.addresses import Address, AddressRange
from baremetal_lb.announce.offer import Offer
from baremetal_lb.cluster.endpoints import EndpointsView
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.config.model import L2Advertisement
from baremetal_lb.election.watchers import Tiers
from baremetal_lb.reasons import Reason


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node and its speaker. `view` is None where the Node object is gone but its speaker's Lease is not."""

    name: str
    view: NodeView | None
    speaker_alive: bool
    offer: Offer = field(default_factory=Offer)
    unready: bool = False
    """Whether the Node has been NotReady for longer than a grace."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The Node's labels."""
        return self.view.labels if self.view else {}


@dataclass(frozen=True, slots=True)
class Served:
    """One Service on an address, as far as it matters to who announces it."""

    policy: TrafficPolicy
    endpoints: EndpointsView


@dataclass(frozen=True, slots=True)
class Demand:
    """What an address asks of a node: the advertisements that select its pool, and the Services on it."""

    address: Address
    advertisements: tuple[L2Advertisement, ...]
    services: tuple[Served, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """What an address asks of a node whatever its Services are: the same for many addresses.

    `networks` are those that the address is in, of all that nodes have; left out where no advertisement asks for them.
    """

    advertisements: tuple[L2Advertisement, ...]
    networks: frozenset[AddressRange] = frozenset()


@dataclass(frozen=True, slots=True)
class Nomination:
    """The nodes that may announce an address, the best first; where there are none, `refusal` says why.

    `preempt_after` is for how many seconds a better node must have been there to replace the holder; None for never.
    """

    tiers: Tiers = ()
    refusal: Reason | None = None
    preempt_after: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Who announces an address, and on which of its interfaces.

    `reporter` is the node whose speaker tells the user: the holder, or without one the first of those alive.
    """

    holder: str | None
    reason: Reason
    interfaces: frozenset[str] = frozenset()
    reporter: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with every node's part in it, for people."""

    decision: Decision
    nodes: Mapping[str, Reason] = field(default_factory=dict)
