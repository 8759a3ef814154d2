"""Why a Service has the addresses that it has, or none: every pool, in order, with what the decision made of it.

It is the decision itself that speaks: the same functions are asked, of each pool and not only until one serves. Nothing
is given by it, and nothing changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, Outcome, flaw
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.choose import Addresses, Held, choose, claimed_for, named_refusal, refusals_of
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant
from baremetal_lb.allocator.request import AllocationRequest, Refusal, from_pools, parse_request
from baremetal_lb.allocator.sharing import sharing_of
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.config.model import Pool
from baremetal_lb.reasons import Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one pool: taken, or why not."""

    pool: str
    reason: Reason
    message: str
    is_taken: bool = False
    """Whether the Service has an address of it, or would get one now."""


@dataclass(frozen=True, slots=True)
class FamilyExplanation:
    """What became of each pool where one family is concerned, in the order of the pools."""

    family: Family
    addresses: Addresses
    """What the Service has or would get, were it for this family alone."""
    claimed: Addresses
    """What IPAddressClaims keep for it."""
    refusal: Refusal | None
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an address of the status comes from; `pool` is empty where that is unknown."""

    address: Address
    pool: str
    is_there: bool
    """Whether the pool still has the address."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another Service on an address of this one; `obstacle` says why the two can't share it, if they can't."""

    address: Address
    service: ServiceKey
    obstacle: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A Service, what is decided on it (None: nothing), and how that came about."""

    view: ServiceView
    request: AllocationRequest | Refusal
    outcome: Outcome | None
    families: tuple[FamilyExplanation, ...] = ()
    has: tuple[Origin, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def is_served(self) -> bool:
        """Whether its status shows an address of each family that it asks for, and they are what it asks for."""
        return (
            isinstance(self.outcome, Allocation)
            and self.outcome.reason is Reason.ASSIGNED
            and set(self.outcome.addresses) == set(self.view.ingress)
            and all(one.refusal is None for one in self.families)
        )


def explain(assigner: Assigner, view: ServiceView) -> Explanation:
    """Tell what the assigner, which was started, would decide on a Service now, and why."""
    entry, ledger = assigner.entries.get(view.key), assigner.ledger
    if entry is None:
        return Explanation(view, parse_request(view), None)
    current, outcome = assigner.preview(entry)
    applicant = assigner.applicant(entry)
    families: tuple[FamilyExplanation, ...] = ()
    if applicant and _pools_matter(view, outcome):
        families = explain_families(applicant, current, ledger, outcome)
    has, neighbours = tuple(_origins(view, ledger)), tuple(_neighbours(view, families, ledger))
    return Explanation(view, entry.request, outcome, families, has, neighbours)


def explain_families(
    applicant: Applicant, current: Held, ledger: Ledger, outcome: Outcome | None
) -> tuple[FamilyExplanation, ...]:
    """Tell of every family what each pool has for it. `outcome` is what `allocate` answers to the same."""
    families = applicant.request.families
    kept = {family: current[family] for family in families if current.get(family)}
    picks = choose(applicant, kept, ledger)
    return tuple(_FamilyCase(applicant, family, kept, picks[family], ledger).explain(outcome) for family in families)


@dataclass(frozen=True, slots=True)
class _FamilyCase:
    """One family of one Service, with what was chosen for it."""

    applicant: Applicant
    family: Family
    kept: Held
    pick: Addresses | Refusal
    ledger: Ledger

    def explain(self, outcome: Outcome | None) -> FamilyExplanation:
        given = outcome.addresses if isinstance(outcome, Allocation) else ()
        has = tuple(address for address in given if family_of(address) is self.family)
        chosen = () if isinstance(self.pick, Refusal) else self.pick
        return FamilyExplanation(
            self.family,
            has or chosen,
            self.ledger.claimed_for(self.applicant.request.service, self.family),
            self.pick if isinstance(self.pick, Refusal) else None,
            tuple(self._verdicts(has or chosen, is_given=bool(has))),
        )

    def _verdicts(self, addresses: Addresses, *, is_given: bool) -> Iterator[Verdict]:
        judgement = self.ledger.pools.judge(self.applicant, self.family)
        refusals = {pool.name: why for pool, why in refusals_of(self.applicant, self.family, judgement, self.ledger)}
        named = self._named()
        for pool in self.ledger.pools.pools:
            if ours := tuple(address for address in addresses if address in pool):
                yield self._taken(pool, ours, is_given=is_given)
                continue
            refusal = self._named_refusal(pool, named) if named else refusals.get(pool.name)
            yield Verdict(pool.name, refusal.reason, refusal.message) if refusal else self._not_needed(pool)

    def _taken(self, pool: Pool, addresses: Addresses, *, is_given: bool) -> Verdict:
        told = " and ".join(map(str, addresses))
        if not is_given:
            message = f"would give {told}; withheld until the other family can be served too"
            return Verdict(pool.name, Reason.COULD_SERVE, message, is_taken=True)
        if not set(addresses) <= set(self.kept.get(self.family, ())):
            return Verdict(pool.name, Reason.ASSIGNED, f"gives {told}", is_taken=True)
        complaint = self.pick.message if isinstance(self.pick, Refusal) else self._flaw(addresses)
        if complaint:
            return Verdict(pool.name, Reason.ADDRESS_KEPT, f"the Service keeps {told}: {complaint}", is_taken=True)
        return Verdict(pool.name, Reason.ASSIGNED, f"the Service has {told}", is_taken=True)

    def _flaw(self, addresses: Addresses) -> str | None:
        return next((text for address in addresses if (text := flaw(self.applicant, address, self.ledger))), None)

    def _named(self) -> Addresses:
        """The addresses that the choice is bound to: what the Service names, or what is claimed for it."""
        request = self.applicant.request
        if wanted := request.wanted.get(self.family):
            return wanted
        if self.family in self.kept and self.pick == self.kept[self.family][:1]:
            return ()
        return claimed_for(self.applicant, self.family, self.ledger)

    def _named_refusal(self, pool: Pool, named: Addresses) -> Refusal:
        """Say why nothing comes from a pool where particular addresses are wanted."""
        of_pool = [address for address in named if address in pool]
        if not of_pool:
            told = " and ".join(map(str, named))
            return Refusal(Reason.POOL_NOT_NAMED, f"pool {pool.name} does not have {told}")
        refusals = (named_refusal(self.applicant, address, self.ledger) for address in of_pool)
        if own := next((refusal for refusal in refusals if refusal), None):
            return own
        if isinstance(self.pick, Refusal):
            return self.pick
        told = " and ".join(map(str, of_pool))
        return Refusal(Reason.COULD_SERVE, f"would give {told}; withheld until the other family can be served too")

    def _not_needed(self, pool: Pool) -> Verdict:
        usage = self.ledger.usage(pool, self.family)
        left = f"{usage.available} of {usage.total} {self.family} addresses left"
        return Verdict(pool.name, Reason.COULD_SERVE, f"pool {pool.name} has {left}; it is not needed")


def _pools_matter(view: ServiceView, outcome: Outcome | None) -> bool:
    """Whether the pools have to do with what is decided; where no pool serves its class, they have too."""
    if outcome is None:
        return view.is_load_balancer and not view.deleting
    return outcome.reason is not Reason.FOREIGN_ADDRESS


def _origins(view: ServiceView, ledger: Ledger) -> Iterator[Origin]:
    came_from = from_pools(view)
    for address in view.ingress:
        pool = ledger.pools.holding(address)
        yield Origin(address, pool.name if pool else came_from.get(address, ""), is_there=pool is not None)


def _neighbours(view: ServiceView, families: tuple[FamilyExplanation, ...], ledger: Ledger) -> Iterator[Neighbour]:
    """Yield who else holds what the Service shows or would get."""
    sharing = sharing_of(view)
    addresses = (*view.ingress, *(address for family in families for address in family.addresses))
    for address in dict.fromkeys(addresses):
        for holder in ledger.holders_of(address):
            if holder != view.key:
                yield Neighbour(address, holder, sharing.refusal(ledger.sharing_of(holder)))
