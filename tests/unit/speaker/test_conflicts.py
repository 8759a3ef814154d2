"""What a node remembers of foreign hosts on its addresses, and what it tells of them."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.api.pool import ConflictPolicy
from baremetal_lb.api.status import CONFLICTS_MAX, SpeakerStatus
from baremetal_lb.config.model import Config, Pool
from baremetal_lb.l2.segment import ForeignHost, ForeignHostGone
from baremetal_lb.reasons import Reason
from baremetal_lb.speaker.conflicts import Conflicts, conflict_policy_of

MAC = bytes.fromhex("020000000099")
AT = "2026-01-01T00:00:00Z"
DEFEND, QUARANTINE, YIELD = ConflictPolicy
BOTH_FAMILIES = pytest.mark.parametrize("text", ["192.0.2.10", "2001:db8::10"])


@BOTH_FAMILIES
@pytest.mark.parametrize(
    ("policy", "is_held", "words"),
    [
        pytest.param(DEFEND, True, "n1 goes on announcing it (conflictPolicy Defend)", id="what is held is defended"),
        pytest.param(DEFEND, False, "n1 does not announce it while that host does", id="one in use is not taken"),
        pytest.param(YIELD, False, "n1 does not announce it while that host does (conflictPolicy Yield)", id="yielded"),
        pytest.param(QUARANTINE, False, "the Service gets another address if there is one", id="quarantined"),
    ],
)
def test_users_are_told_who_it_is_where_it_is_and_what_follows(
    text: str, policy: ConflictPolicy, is_held: bool, words: str
) -> None:
    news = Conflicts("n1").began(ForeignHost(ip_address(text), MAC, "eth0"), policy, is_held=is_held, at=AT)

    assert news.reason is Reason.ADDRESS_CONFLICT
    assert news.message.startswith(f"the host 02:00:00:00:00:99 (on eth0 of node n1) uses {text} as well; ")
    assert words in news.message


@BOTH_FAMILIES
def test_a_conflict_is_in_the_status_until_it_ends(text: str) -> None:
    conflicts = Conflicts("n1")
    conflicts.began(ForeignHost(ip_address(text), MAC, "eth0"), DEFEND, is_held=True, at=AT)
    entry = {"address": text, "mac": "02:00:00:00:00:99", "interface": "eth0", "since": AT}
    assert conflicts.statement() == [entry]
    SpeakerStatus.read({"metadata": {"name": "n1"}, "status": {"conflicts": conflicts.statement()}})

    news = conflicts.ended(ForeignHostGone(ip_address(text)))

    assert news is not None
    assert news.reason is Reason.CONFLICT_ENDED
    assert conflicts.statement() == []
    assert conflicts.ended(ForeignHostGone(ip_address(text))) is None


def test_what_is_not_wanted_any_more_is_forgotten() -> None:
    """As after the Service has moved to another address: nobody listens any more."""
    conflicts = Conflicts("n1")
    old, new = ip_address("192.0.2.10"), ip_address("2001:db8::10")
    for address in (old, new):
        conflicts.began(ForeignHost(address, MAC, "eth0"), QUARANTINE, is_held=False, at=AT)

    assert conflicts.keep_only({new})
    assert list(conflicts.known) == [new]
    assert not conflicts.keep_only({new})


def test_of_too_many_conflicts_the_oldest_are_in_the_status() -> None:
    conflicts = Conflicts("n1")
    first = ip_address("192.0.2.255")
    conflicts.began(ForeignHost(first, MAC, "eth0"), DEFEND, is_held=True, at=AT)
    for number in range(CONFLICTS_MAX):
        address = ip_address("198.51.100.0") + number
        conflicts.began(ForeignHost(address, MAC, "eth0"), DEFEND, is_held=True, at="2026-01-01T00:00:01Z")

    assert len(conflicts.statement()) == CONFLICTS_MAX
    assert conflicts.statement()[0]["address"] == str(first)


@BOTH_FAMILIES
def test_the_policy_is_that_of_the_pool(text: str) -> None:
    ranges = AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8::/64")
    config = Config((Pool("lan", ranges, conflict_policy=YIELD),))

    assert conflict_policy_of(config, ip_address(text)) is YIELD
    assert conflict_policy_of(Config(), ip_address(text)) is DEFEND
