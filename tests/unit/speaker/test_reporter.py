from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.announce.model import Decision
from baremetal_lb.reasons import Reason
from baremetal_lb.speaker.reporter import Reporter

NODE_1, NODE_2 = (Decision(node, Reason.ELECTED, frozenset({"eth0"}), node) for node in ("node1", "node2"))
NO_ENDPOINT = Decision(None, Reason.NO_ENDPOINT, reporter="node1")
NO_NODE = Decision(None, Reason.NO_ELIGIBLE_NODE, reporter="node1")


@pytest.fixture(params=["192.0.2.100", "2001:db8:0:2::100"])
def address(request: pytest.FixtureRequest) -> Address:
    return ip_address(request.param)


@pytest.fixture
def reporter() -> Reporter:
    return Reporter("node1", settle_seconds=5.0)


def test_a_new_holder_is_news_once(reporter: Reporter, address: Address) -> None:
    assert reporter.decided(address, NODE_1, 0.0)
    assert not reporter.decided(address, NODE_1, 1.0)
    assert not reporter.decided(address, NODE_2, 2.0)
    assert reporter.decided(address, NODE_1, 3.0)


def test_other_interfaces_are_no_news(reporter: Reporter, address: Address) -> None:
    assert reporter.decided(address, NODE_1, 0.0)
    assert not reporter.decided(address, Decision("node1", Reason.ELECTED, frozenset({"eth1"}), "node1"), 1.0)


def test_silence_is_news_when_it_lasts(reporter: Reporter, address: Address) -> None:
    assert not reporter.decided(address, NO_ENDPOINT, 0.0)
    assert reporter.next_deadline() == 5.0
    assert reporter.tick(4.9) == []
    assert reporter.tick(5.0) == [address]
    assert reporter.tick(6.0) == []
    assert reporter.next_deadline() is None


def test_decisions_in_between_that_say_the_same_do_not_put_it_off(reporter: Reporter, address: Address) -> None:
    reporter.decided(address, NO_ENDPOINT, 0.0)
    reporter.decided(address, NO_ENDPOINT, 4.0)
    assert reporter.tick(5.0) == [address]


def test_another_reason_begins_anew(reporter: Reporter, address: Address) -> None:
    reporter.decided(address, NO_ENDPOINT, 0.0)
    reporter.decided(address, NO_NODE, 4.0)
    assert reporter.tick(5.0) == []
    assert reporter.tick(9.0) == [address]


def test_silence_that_passes_is_no_news_and_neither_is_its_end(reporter: Reporter, address: Address) -> None:
    reporter.decided(address, NODE_1, 0.0)
    reporter.decided(address, NO_ENDPOINT, 1.0)
    assert not reporter.decided(address, NODE_1, 2.0)
    assert reporter.tick(10.0) == []


def test_only_the_reporter_tells(reporter: Reporter, address: Address) -> None:
    reporter.decided(address, Decision(None, Reason.NO_ENDPOINT, reporter="node2"), 0.0)
    assert reporter.tick(5.0) == []
    reporter.decided(address, NO_ENDPOINT, 6.0)
    assert reporter.tick(20.0) == []


def test_a_forgotten_address_is_new_when_it_comes_back(reporter: Reporter, address: Address) -> None:
    assert reporter.decided(address, NODE_1, 0.0)
    reporter.forgotten(address)
    assert reporter.decided(address, NODE_1, 1.0)
    reporter.decided(address, NO_ENDPOINT, 2.0)
    reporter.forgotten(address)
    assert reporter.tick(10.0) == []
