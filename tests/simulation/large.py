"""A cluster too large to live through in full: a node that is to be lost, those around it, and a crowd.

All that may act when it is lost do so with real machines: the node itself, those that watch it, and some others. The
crowd renews its Leases, says what it holds, and holds it.
"""

from baremetal_lb.addresses import Address
from baremetal_lb.cluster.lease import LeaseView
from baremetal_lb.election.assignment import Assignment, Contest
from baremetal_lb.election.rendezvous import Candidates
from tests.simulation.api_server import Statement
from tests.simulation.world import SETTLE_SECONDS, World, some_addresses


class LargeWorld(World):
    """It has settled long ago: who holds what is what the assignment says. `busiest` holds the most."""

    def __init__(self, nodes: int, addresses: int, *, bystanders: int) -> None:
        super().__init__(f"n{number}" for number in range(1, nodes + 1))
        tiers = (Candidates(self.nodes),)
        assignment = Assignment()
        for address in some_addresses(addresses):
            assignment.put(Contest(address, tiers), 0.0)
            self.api.asked[address] = self.everywhere
        assignment.deal(0.0)
        self.busiest = max(self.nodes, key=lambda name: len(assignment.held_by(name)))
        some = self.random.sample(sorted(self.nodes), bystanders)
        acting = {self.busiest, *assignment.watchers(self.busiest), *some}
        self.beating = frozenset(acting)
        for name in self.nodes:
            self._appear(name, dict.fromkeys(assignment.held_by(name), 1), is_acting=name in acting)
        self.run(SETTLE_SECONDS)

    def _appear(self, name: str, claims: dict[Address, int], *, is_acting: bool) -> None:
        self.api.statements[name] = Statement(claims, is_linked=True)
        self.api.leases[name] = LeaseView(name, name, "before")
        if is_acting:
            self.boot(name)
        else:
            for address in claims:
                self.record.began(name, address)
            self.record.running.add(name)
            self.record.up.add(name)
            self.timeline.at(self.random.random(), lambda: self._renew(name, 0))
        for address in claims:
            self.record.need(address, needed=True)

    def _renew(self, name: str, number: int) -> None:
        self.api.write_lease(LeaseView(name, name, str(number)))
        self.timeline.after(1.0, lambda: self._renew(name, number + 1))
