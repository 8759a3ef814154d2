"""Who asked for an address lately: told in person when it is at another MAC, for not everybody heeds a broadcast.

That is also who asked while nobody answered, between the old holder's end and the new one's beginning.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from baremetal_lb.l2.packets import Question

MAX_ASKERS = 4
"""For each address. Most are asked for by a router or two; a flood of made-up askers pushes out the oldest."""


@dataclass(slots=True)
class Askers:
    """The last few who asked on one interface: their MACs and addresses, by packed address that they asked for."""

    _by_target: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)

    def note(self, question: Question) -> None:
        """Remember the asker; who has no address yet cannot be told anything."""
        if question.is_probe():
            return
        askers = self._by_target.setdefault(question.target, {})
        askers.pop(question.sender_mac, None)
        askers[question.sender_mac] = question.sender
        if len(askers) > MAX_ASKERS:
            del askers[next(iter(askers))]

    def questions_for(self, target: bytes) -> Iterator[Question]:
        """What was asked of this address lately."""
        for mac, sender in self._by_target.get(target, {}).items():
            yield Question(target, mac, sender)

    def forget_all_but(self, targets: Mapping[bytes, object]) -> None:
        """Remember nothing of other addresses."""
        for target in self._by_target.keys() - targets.keys():
            del self._by_target[target]
