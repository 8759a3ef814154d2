"""One Service as the controller knows it: what the API server says of it, and what was decided."""

from dataclasses import dataclass

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.allocate import REASONS_THAT_END, Allocation, Outcome
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.allocator.sharing import Sharing, sharing_of
from baremetal_lb.cluster.conditions import Condition, find_condition
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.reasons import Reason

ASSIGNED_CONDITION = "baremetal-lb.io/AddressAssigned"
"""The condition by which we tell a Service's user what was decided; it also marks a status as written by us."""


@dataclass(slots=True)
class Entry:
    """One Service: what the API server says of it, and what we decided (None: nothing for us to say)."""

    view: ServiceView
    request: AllocationRequest | Refusal
    changed_at: float
    outcome: Outcome | None = None
    lost: Refusal | None = None
    """Why an address that its status shows can't stay; it goes with the next write."""
    writing: bool = False
    needs_version: int = 0
    """The resourceVersion that the view must reach before it tells us anything about our own writes."""
    yielded: bool = False
    """Another controller wrote over our address; we leave the Service to it."""

    @property
    def key(self) -> ServiceKey:
        """Namespace and name of the Service."""
        return self.view.key

    @property
    def sharing(self) -> Sharing:
        """What it says about sharing, also where its request can't be read."""
        return self.request.sharing if isinstance(self.request, AllocationRequest) else sharing_of(self.view)

    @property
    def is_settled(self) -> bool:
        """Whether the view shows everything that we wrote."""
        return not self.writing and version_of(self.view) >= self.needs_version

    @property
    def reason(self) -> Reason | None:
        """The reason of the present outcome."""
        return self.outcome.reason if self.outcome else None

    @property
    def awaits(self) -> tuple[Family, ...]:
        """The families for which an address that becomes free may be of use."""
        if isinstance(self.outcome, Allocation):
            return self.outcome.awaits
        if isinstance(self.request, Refusal) or self.reason not in REASONS_THAT_END:
            return ()
        return self.request.families

    @property
    def is_explicit(self) -> bool:
        """Whether the user named an address or a pool that we can read."""
        return isinstance(self.request, AllocationRequest) and self.request.is_explicit

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses decided on."""
        return self.outcome.addresses if isinstance(self.outcome, Allocation) else ()


def version_of(view: ServiceView) -> int:
    """The resourceVersion as a number: Kubernetes promises that it grows (KEP-5504)."""
    return int(view.resource_version or 0)


def our_condition(view: ServiceView) -> Condition:
    """What we told this Service last; empty where we never did."""
    return find_condition(view.conditions, ASSIGNED_CONDITION)
