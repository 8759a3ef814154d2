"""Services that wait for an address, found by what may end their waiting."""

from collections import defaultdict
from collections.abc import Iterable

from baremetal_lb.cluster.service import ServiceKey


class WaitingServices:
    """A set of Services, with an index by the sharing key that each was waiting under ("" for none)."""

    def __init__(self) -> None:
        self._key_of: dict[ServiceKey, str] = {}
        self._under: defaultdict[str, set[ServiceKey]] = defaultdict(set)

    def add(self, service: ServiceKey, sharing_key: str) -> None:
        """Let the Service wait; it may share under this key."""
        if self._key_of.get(service) != sharing_key:
            self.discard(service)
            self._key_of[service] = sharing_key
            self._under[sharing_key].add(service)

    def discard(self, service: ServiceKey) -> None:
        """Let the Service wait no longer, if it does."""
        sharing_key = self._key_of.pop(service, None)
        if sharing_key is None:
            return
        self._under[sharing_key].discard(service)
        if not self._under[sharing_key]:
            del self._under[sharing_key]

    def clear(self) -> None:
        """Let nobody wait."""
        self._key_of.clear()
        self._under.clear()

    def all(self) -> Iterable[ServiceKey]:
        """Everyone who waits."""
        return self._key_of.keys()

    def under(self, sharing_key: str) -> Iterable[ServiceKey]:
        """Those who would share under the key."""
        return self._under.get(sharing_key, ()) if sharing_key else ()
