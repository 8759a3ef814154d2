"""What is concluded from who answered in each look."""

from ipaddress import ip_address

import pytest

from baremetal_lb.lab.holders import Look, Sightings

ADDRESS, OTHER = ip_address("192.0.2.100"), ip_address("2001:db8:0:2::100")


def sightings(*answered: str) -> Sightings:
    """One look a second: `ab` is a look in which a and b answered."""
    return Sightings([Look(at, at + 1.0, {ADDRESS: frozenset(nodes)}) for at, nodes in enumerate(answered)])


@pytest.mark.parametrize(
    ("looks", "shared", "unanswered"),
    [
        pytest.param((), [], [], id="nothing was seen"),
        pytest.param(("a", "a"), [], [], id="one holder all the time"),
        pytest.param(("a", "ab", "ab", "b"), [(1, 3)], [], id="two for a while"),
        pytest.param(("ab", "b", "ba"), [(0, 1), (2, 3)], [], id="two, twice"),
        pytest.param(("a", "", "", "b"), [], [(1, 3)], id="nobody for a while"),
        pytest.param(("abc",), [(0, 1)], [], id="three are more than one"),
    ],
)
def test_periods(looks: tuple[str, ...], shared: list[tuple[int, int]], unanswered: list[tuple[int, int]]) -> None:
    seen = sightings(*looks)
    assert [(one.begun_at, one.ended_at) for one in seen.shared(ADDRESS)] == shared
    assert [(one.begun_at, one.ended_at) for one in seen.unanswered(ADDRESS)] == unanswered
    assert seen.longest_shared_seconds([ADDRESS, OTHER]) == max((b - a for a, b in shared), default=0)
    assert seen.longest_unanswered_seconds([ADDRESS]) == max((b - a for a, b in unanswered), default=0)


def test_an_address_is_not_another() -> None:
    seen = sightings("ab")
    assert seen.shared(OTHER) == []
    assert len(seen.unanswered(OTHER)) == 1


def test_holders_are_named_in_their_order() -> None:
    seen = sightings("a", "a", "", "a", "b", "b", "a")
    assert seen.holders(ADDRESS) == ["a", "b", "a"]
    assert seen.last(ADDRESS) == {"a"}
    assert Sightings().last(ADDRESS) == frozenset()
