"""Which addresses are shared under which key, found without asking each of them."""

from collections import Counter, defaultdict

from baremetal_lb.addresses import Address
from baremetal_lb.allocator.sharing import Sharing
from baremetal_lb.cluster.service import Port


class SharedAddresses:
    """An index over the holders that have a sharing key; those without one are passed over."""

    def __init__(self) -> None:
        self._holders_under: defaultdict[str, Counter[Address]] = defaultdict(Counter)
        self._taken: defaultdict[tuple[str, Port], set[Address]] = defaultdict(set)

    def join(self, address: Address, sharing: Sharing) -> None:
        """Take note of one more holder."""
        if not sharing.key:
            return
        self._holders_under[sharing.key][address] += 1
        for port in sharing.ports:
            self._taken[sharing.key, port].add(address)

    def leave(self, address: Address, sharing: Sharing) -> None:
        """Take note that a holder is gone."""
        if not sharing.key:
            return
        holders = self._holders_under[sharing.key]
        holders[address] -= 1
        if not holders[address]:
            del holders[address]
        if not holders:
            del self._holders_under[sharing.key]
        for port in sharing.ports:
            addresses = self._taken[sharing.key, port]
            addresses.discard(address)
            if not addresses:
                del self._taken[sharing.key, port]

    def with_room_for(self, sharing: Sharing) -> set[Address]:
        """The addresses under the key on which none of the ports is taken."""
        addresses = self._holders_under.get(sharing.key)
        if not sharing.key or addresses is None:
            return set()
        taken = [self._taken.get((sharing.key, port), set()) for port in sharing.ports]
        if any(len(one) == len(addresses) for one in taken):
            return set()
        return set(addresses).difference(*taken)
