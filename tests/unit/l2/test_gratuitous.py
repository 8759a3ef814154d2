"""When announcements leave, and what happens when there are many."""

from ipaddress import ip_address
from itertools import pairwise
from math import inf

import pytest

from baremetal_lb.l2.gratuitous import GAPS_SECONDS, GratuitousSchedule, Holding
from baremetal_lb.l2.pace import BUNDLE_SECONDS, MAX_BURST, MAX_PER_SECOND
from baremetal_lb.l2.packets import frames_for
from baremetal_lb.l2.templates import Templates

START = 1_000.0
ROUNDS = len(GAPS_SECONDS)
TEMPLATES = Templates(bytes(42), bytes(42), bytes(86), bytes(86), bytes(78))


def holdings(count: int) -> list[Holding]:
    addresses = [ip_address("192.0.2.0") + number for number in range(count)]
    return [Holding(2, address, frames_for(TEMPLATES, bytes(6), address)) for address in addresses]


def run(schedule: GratuitousSchedule, until: float = inf) -> list[tuple[float, Holding]]:
    """Wake whenever the schedule asks for it, and note what left when."""
    left: list[tuple[float, Holding]] = []
    while (deadline := schedule.next_deadline()) is not None and deadline <= until:
        left += [(deadline - START, holding) for holding in schedule.take_due(deadline)]
    return left


def schedule_of(held: list[Holding]) -> GratuitousSchedule:
    schedule = GratuitousSchedule()
    for holding in held:
        schedule.add(holding, START)
    return schedule


def test_a_new_holding_is_announced_five_times_in_two_seconds_and_three_times_later() -> None:
    [holding] = held = holdings(1)
    left = run(schedule_of(held))
    assert [at for at, _ in left] == pytest.approx([0.0, 0.1, 0.5, 1.1, 2.0, 5.0, 15.0, 35.0])
    assert holding.announce_at is None


def test_a_holding_that_is_given_up_is_announced_no_more() -> None:
    [holding] = held = holdings(1)
    schedule = schedule_of(held)
    assert len(run(schedule, until=START + 0.2)) == 2
    holding.announce_at = None
    assert run(schedule) == []


def test_starting_over_leaves_nothing_of_the_first_start() -> None:
    [holding] = held = holdings(1)
    schedule = schedule_of(held)
    for _ in range(3):
        schedule.add(holding, START)
    assert len(run(schedule, until=START + 0.2)) == 2
    schedule.add(holding, START + 0.2)
    assert [at for at, _ in run(schedule)] == pytest.approx([0.2, 0.3, 0.7, 1.3, 2.2, 5.2, 15.2, 35.2])


def test_a_late_wake_up_does_not_bunch_the_repetitions() -> None:
    schedule = schedule_of(holdings(1))
    schedule.take_due(START)
    assert len(schedule.take_due(START + 10)) == 1
    assert schedule.next_deadline() == pytest.approx(START + 10.4)


def test_nothing_is_taken_before_its_time() -> None:
    schedule = schedule_of(holdings(1))
    schedule.take_due(START)
    assert schedule.take_due(START + 0.099) == []


class TestAThousandAtOnce:
    COUNT = 1_000

    def test_none_is_dropped(self) -> None:
        held = holdings(self.COUNT)
        left = [holding for _, holding in run(schedule_of(held))]
        assert all(left.count(holding) == ROUNDS for holding in held[:: self.COUNT // 10])
        assert len(left) == ROUNDS * self.COUNT

    def test_first_announcements_go_before_repetitions(self) -> None:
        left = run(schedule_of(holdings(self.COUNT)))
        firsts = {id(holding) for _, holding in left[: self.COUNT]}
        assert len(firsts) == self.COUNT
        assert left[self.COUNT - 1][0] == pytest.approx((self.COUNT - MAX_BURST) / MAX_PER_SECOND, abs=0.01)

    def test_the_rate_stays_below_the_cap(self) -> None:
        left = [at for at, _ in run(schedule_of(holdings(self.COUNT)))]
        window = 0.1
        most = max(sum(1 for at in left if start <= at < start + window) for start in left[::50])
        assert most <= window * MAX_PER_SECOND + MAX_BURST + 1

    def test_wake_ups_are_in_order(self) -> None:
        left = [at for at, _ in run(schedule_of(holdings(self.COUNT)))]
        assert all(earlier <= later for earlier, later in pairwise(left))


class TestSingleAnnouncements:
    def test_it_leaves_at_once_and_changes_nothing_about_the_rounds(self) -> None:
        [holding] = held = holdings(1)
        schedule = schedule_of(held)
        run(schedule, START + 0.2)
        schedule.add_once(holding)
        schedule.add_once(holding)
        assert schedule.take_due(START + 0.3) == [holding]
        assert [at for at, _ in run(schedule)] == pytest.approx([0.5, 1.1, 2.0, 5.0, 15.0, 35.0])

    def test_it_is_not_made_when_the_holding_was_given_up(self) -> None:
        [holding] = holdings(1)
        schedule = GratuitousSchedule()
        schedule.add_once(holding)
        holding.stop_announcing()
        assert schedule.take_due(START) == []
        assert schedule.next_deadline() is None

    def test_it_goes_before_all_others_but_keeps_the_pace(self) -> None:
        held = holdings(2 * MAX_BURST)
        schedule = schedule_of(held)
        last = held[-1]
        schedule.add_once(last)
        assert schedule.take_due(START)[0] is last
        for holding in held:
            schedule.add_once(holding)
        assert schedule.take_due(START) == []
        assert schedule.next_deadline() == pytest.approx(START + BUNDLE_SECONDS)
