from dataclasses import replace
from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.announce.condition import (
    MAX_MESSAGE_LENGTH,
    AddressReport,
    Told,
    Urgency,
    Verdict,
    condition_body,
    describe,
    find_told,
    judge,
    urgency,
)
from baremetal_lb.announce.model import Decision, Explanation
from baremetal_lb.reasons import Reason

IPV4, IPV6 = ip_address("192.0.2.100"), ip_address("2001:db8:0:2::100")
BY_NODE_1 = Decision("node1", Reason.ELECTED, frozenset({"eth1", "eth0"}), "node1")
NO_NODE = Decision(None, Reason.NO_ELIGIBLE_NODE, reporter="node1")
NODES = {"node1": Reason.ELECTED, "node2": Reason.NOT_ELECTED, "node3": Reason.NODE_CORDONED}
SILENT_NODES = {"node1": Reason.NODE_NOT_READY, "node2": Reason.NODE_NOT_READY}


@pytest.fixture(params=[IPV4, IPV6], ids=["IPv4", "IPv6"])
def address(request: pytest.FixtureRequest) -> Address:
    chosen: Address = request.param
    return chosen


def announced(address: Address) -> AddressReport:
    return AddressReport(address, Explanation(BY_NODE_1, NODES), has_begun=True)


def silent(address: Address) -> AddressReport:
    return AddressReport(address, Explanation(NO_NODE, SILENT_NODES), has_begun=False)


def test_the_holder_its_interfaces_and_the_others_are_told(address: Address) -> None:
    assert judge([announced(address)]) == Verdict(
        is_true=True,
        reason=Reason.ANNOUNCED,
        message=f"node node1 announces {address} on eth0, eth1 (NodeCordoned: node3; NotElected: node2)",
    )


def test_what_nobody_announces_tells_every_node_s_reason(address: Address) -> None:
    assert judge([silent(address)]) == Verdict(
        is_true=False,
        reason=Reason.NO_ELIGIBLE_NODE,
        message=f"no node announces {address} (NodeNotReady: node1, node2)",
    )


def test_one_address_that_is_silent_makes_it_false() -> None:
    verdict = judge([announced(IPV4), silent(IPV6)])
    assert (verdict.is_true, verdict.reason) == (False, Reason.NO_ELIGIBLE_NODE)
    assert f"announces {IPV4}" in verdict.message
    assert f"no node announces {IPV6}" in verdict.message


@pytest.mark.parametrize(
    ("has_begun", "conflict", "reason", "message"),
    [
        pytest.param(False, "", Reason.ELECTED, "node node1 does not announce {}", id="it has not begun"),
        pytest.param(
            False,
            "the host 02:00:00:00:00:09 uses it",
            Reason.ADDRESS_CONFLICT,
            "node node1 does not announce {}: the host 02:00:00:00:00:09 uses it",
            id="a foreign host keeps it from that",
        ),
        pytest.param(
            True,
            "the host 02:00:00:00:00:09 uses it",
            Reason.ANNOUNCED,
            "node node1 announces {} on eth0, eth1 although the host 02:00:00:00:00:09 uses it",
            id="it goes on in spite of a foreign host",
        ),
    ],
)
def test_a_holder_in_trouble(address: Address, has_begun: bool, conflict: str, reason: Reason, message: str) -> None:
    report = AddressReport(address, Explanation(BY_NODE_1), has_begun=has_begun, conflict=conflict)
    assert judge([report]) == Verdict(is_true=has_begun, reason=reason, message=message.format(address))


def test_of_many_nodes_a_few_are_named() -> None:
    nodes = {f"node{number:04}": Reason.NODE_NOT_SELECTED for number in range(1000)}
    many = [AddressReport(IPV4, Explanation(NO_NODE, nodes), has_begun=False)] * 100
    assert "node0000, node0001, node0002 and 997 more" in judge(many).message
    assert len(judge(many).message) == MAX_MESSAGE_LENGTH


def test_words_for_an_event(address: Address) -> None:
    assert describe(address, Explanation(BY_NODE_1, NODES)) == f"node node1 announces {address} on eth0, eth1"
    assert describe(address, Explanation(NO_NODE)) == f"no node announces {address} (there is no node)"


GOOD = judge([announced(IPV4), announced(IPV6)])
BAD = judge([silent(IPV4), announced(IPV6)])


def told(verdict: Verdict) -> Told:
    return Told(verdict.status, verdict.reason.value, verdict.message, "2026-11-23T12:00:00Z")


def with_others(*nodes: str) -> Verdict:
    changed = {**NODES, **dict.fromkeys(nodes, Reason.SPEAKER_NOT_ALIVE)}
    reports = [replace(announced(one), explanation=Explanation(BY_NODE_1, changed)) for one in (IPV4, IPV6)]
    return judge(reports)


@pytest.mark.parametrize(
    ("before", "verdict", "how"),
    [
        pytest.param(None, GOOD, Urgency.NOW, id="the first word, and a good one"),
        pytest.param(None, BAD, Urgency.ONCE_SETTLED, id="the first word, and a bad one"),
        pytest.param(told(GOOD), GOOD, Urgency.NONE, id="[D50] the same again"),
        pytest.param(told(BAD), BAD, Urgency.NONE, id="[D50] the same bad news"),
        pytest.param(told(BAD), GOOD, Urgency.NOW, id="it is well again"),
        pytest.param(told(GOOD), BAD, Urgency.ONCE_SETTLED, id="it is silent"),
        pytest.param(told(GOOD), with_others("node2"), Urgency.SOME_TIME, id="another node is gone"),
        pytest.param(told(GOOD), with_others("node2", "node3"), Urgency.SOME_TIME, id="all other nodes are gone"),
        pytest.param(
            told(GOOD), replace(GOOD, message=GOOD.message.replace("eth1", "eth2")), Urgency.NOW, id="other interfaces"
        ),
        pytest.param(
            told(GOOD), replace(GOOD, message=GOOD.message.replace("node1", "node9")), Urgency.NOW, id="another holder"
        ),
    ],
)
def test_how_urgent_it_is(before: Told | None, verdict: Verdict, how: Urgency) -> None:
    assert urgency(before, verdict) is how


def test_the_order_of_nodes_and_interfaces_makes_no_difference() -> None:
    """[D50]"""
    backwards = Explanation(
        replace(BY_NODE_1, interfaces=frozenset({"eth0", "eth1"})), dict(reversed(list(NODES.items())))
    )
    assert judge([replace(announced(IPV4), explanation=backwards)]) == judge([announced(IPV4)])


def test_the_time_is_that_of_the_last_change_of_the_status() -> None:
    later = "2026-11-23T13:00:00Z"
    before = told(GOOD)
    assert condition_body(None, GOOD, later)["lastTransitionTime"] == later
    assert condition_body(before, with_others("node2"), later)["lastTransitionTime"] == before.since
    assert condition_body(before, BAD, later)["lastTransitionTime"] == later


def test_what_is_written_is_read() -> None:
    other = {"type": "Other", "status": "True"}
    body = condition_body(None, GOOD, "2026-11-23T12:00:00Z")
    assert find_told([other, body]) == told(GOOD)
    assert find_told([other]) is None
