"""What keeps the late writes of a former leader from meeting ours.

A leader that was frozen in the middle of a write may finish it after another has taken over: it could put an address on
one Service that the new leader has just given to another. Each write names the resourceVersion that it was built on.
So the new leader first touches every Service that the former one may have been writing to; whatever comes late then
fails. Only when all were touched does it give out addresses.
"""

from collections.abc import Iterable

from baremetal_lb.allocator.allocate import Allocation, Outcome
from baremetal_lb.allocator.choose import Held
from baremetal_lb.allocator.request import Refusal
from baremetal_lb.cluster.service import ServiceKey, ServiceView
from baremetal_lb.reasons import Reason


class Fence:
    """The Services that still have to be touched, each with the resourceVersion that it must leave behind."""

    def __init__(self) -> None:
        self._versions: dict[ServiceKey, str] = {}

    @property
    def is_up(self) -> bool:
        """Whether nothing may be given out yet."""
        return bool(self._versions)

    def raise_for(self, views: Iterable[ServiceView]) -> None:
        """Begin: these must be touched."""
        self._versions = {view.key: view.resource_version for view in views}

    def holds(self, service: ServiceKey) -> bool:
        """Whether the Service must be touched still."""
        return service in self._versions

    def passed(self, view: ServiceView) -> bool:
        """Take note that the Service looks like this now; tell whether that was the last one."""
        if self._versions.get(view.key, view.resource_version) == view.resource_version:
            return False
        return self.passed_by(view.key)

    def passed_by(self, service: ServiceKey) -> bool:
        """Take note that the Service need not be touched any more; tell whether it was the last one."""
        return self._versions.pop(service, None) is not None and not self._versions

    def outcome(self, view: ServiceView, current: Held) -> Outcome:
        """Touch the Service: what it has stays, and the text differs from any told before."""
        message = f"another controller leads since version {view.resource_version}; it decides on this Service next"
        addresses = tuple(address for held in current.values() for address in held)
        return (
            Allocation(addresses, Reason.LEADER_CHANGED, message)
            if addresses
            else Refusal(Reason.LEADER_CHANGED, message)
        )
