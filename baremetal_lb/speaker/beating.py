"""With whom this node beats, and what it says of itself: all that its beat process is told, from three sources."""

from collections.abc import Mapping

from baremetal_lb.addresses import Address
from baremetal_lb.election.messages import NO_FLAG, Flag
from baremetal_lb.speaker.beat_keys import Keys
from baremetal_lb.speaker.drivers import BeatDriver


class Beating:
    """Tells the driver when something has changed, and only then."""

    def __init__(self, driver: BeatDriver) -> None:
        self.driver = driver
        self._peers: Mapping[str, Address] = {}
        self._keys: Keys = {}
        self._flags = NO_FLAG

    def set_peers(self, peers: Mapping[str, Address]) -> None:
        """Beat with these nodes."""
        if peers != self._peers:
            self._peers = peers
            self._tell()

    def set_keys(self, keys: Keys) -> None:
        """Sign with these keys."""
        if keys != self._keys:
            self._keys = keys
            self._tell()

    def leave(self) -> None:
        """Say that this speaker is about to stop."""
        self._flags = Flag.LEAVING
        self._tell()

    def _tell(self) -> None:
        self.driver.tell(self._peers, self._keys, self._flags)
