from dataclasses import replace

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.announce.eligibility import (
    LAST_RESORTS,
    NODE_CHECKS,
    NodeCheck,
    able_to_serve,
    address_is_advertised,
    interfaces_for,
    node_exists,
    node_has_interface,
    node_has_network,
    node_is_in_service,
    node_is_not_cordoned,
    node_is_not_excluded,
    node_is_on_segment,
    node_is_ready,
    node_is_selected,
    node_refusal,
    node_stays,
    proxy_answers,
    services_refusal,
    speaker_is_alive,
)
from baremetal_lb.announce.model import NodeFacts, Placement, Served
from baremetal_lb.announce.offer import Offer, OfferedInterface
from baremetal_lb.api.selector import Operator
from baremetal_lb.cluster.endpoints import EndpointsView
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.config.model import L2Advertisement
from baremetal_lb.config.selectors import Requirement, Selector
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.reasons import Reason

IPV4_LAN, IPV6_LAN = AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8:0:2::/64")
VIEW = NodeView("node1", {"rack": "r1"}, excluded=False, network_unavailable=False)
ETH0 = OfferedInterface("eth0", networks=(IPV4_LAN, IPV6_LAN))
ETH1 = OfferedInterface("eth1", networks=(AddressRange.parse("198.51.100.0/24"),))
NODE = NodeFacts("node1", VIEW, speaker_alive=True, offer=Offer((ETH0, ETH1)))


def rack(name: str) -> tuple[Selector, ...]:
    return (Selector((Requirement("rack", Operator.IN, frozenset({name})),)),)


ANYWHERE = L2Advertisement("anywhere", frozenset({"pool"}))
IN_RACK_1 = L2Advertisement("in-rack-1", frozenset({"pool"}), rack("r1"))
IN_RACK_2 = L2Advertisement("in-rack-2", frozenset({"pool"}), rack("r2"))
ON_ETH1 = L2Advertisement("on-eth1", frozenset({"pool"}), interfaces=frozenset({"eth1"}))
ON_ETH9 = L2Advertisement("on-eth9", frozenset({"pool"}), interfaces=frozenset({"eth9"}))
ON_LINK = replace(ANYWHERE, on_link_only=True)
ON_ETH1_ON_LINK = replace(ON_ETH1, on_link_only=True)
CORDONED_LEAVE = replace(ANYWHERE, cordoned_leave=True)
CORDONED = replace(NODE, view=replace(VIEW, cordoned=True))
ON_ETH9_IN_RACK_1 = replace(ON_ETH9, node_selectors=rack("r1"))


@pytest.mark.parametrize(
    ("check", "node", "advertisements", "reason"),
    [
        pytest.param(node_exists, NODE, (), None, id="a node that is there"),
        pytest.param(node_exists, replace(NODE, view=None), (), Reason.NODE_GONE, id="a Lease without its node"),
        pytest.param(speaker_is_alive, NODE, (), None, id="a speaker that is alive"),
        pytest.param(
            speaker_is_alive,
            replace(NODE, speaker_alive=False),
            (),
            Reason.SPEAKER_NOT_ALIVE,
            id="a node without a living speaker",
        ),
        pytest.param(node_is_not_excluded, NODE, (), None, id="no label"),
        pytest.param(
            node_is_not_excluded,
            replace(NODE, view=replace(VIEW, excluded=True)),
            (),
            Reason.NODE_EXCLUDED,
            id="the exclude label",
        ),
        pytest.param(node_has_network, NODE, (), None, id="a node with a pod network"),
        pytest.param(
            node_has_network,
            replace(NODE, view=replace(VIEW, network_unavailable=True)),
            (),
            Reason.NODE_NETWORK_UNAVAILABLE,
            id="the NetworkUnavailable condition",
        ),
        pytest.param(node_is_in_service, NODE, (ANYWHERE,), None, id="no taint"),
        pytest.param(
            node_is_in_service,
            replace(NODE, view=replace(VIEW, out_of_service=True)),
            (ANYWHERE,),
            Reason.NODE_OUT_OF_SERVICE,
            id="the out-of-service taint",
        ),
        pytest.param(node_is_ready, NODE, (ANYWHERE,), None, id="a node that is ready"),
        pytest.param(
            node_is_ready,
            replace(NODE, unready=True),
            (ANYWHERE,),
            Reason.NODE_NOT_READY,
            id="[D52] NotReady for too long",
        ),
        pytest.param(address_is_advertised, NODE, (ANYWHERE,), None, id="an advertisement"),
        pytest.param(address_is_advertised, NODE, (), Reason.NO_ADVERTISEMENT, id="no advertisement"),
        pytest.param(node_is_selected, NODE, (ANYWHERE,), None, id="no selector selects every node"),
        pytest.param(node_is_selected, NODE, (IN_RACK_2, IN_RACK_1), None, id="one matching selector suffices"),
        pytest.param(node_is_selected, NODE, (IN_RACK_2,), Reason.NODE_NOT_SELECTED, id="selectors for others"),
        pytest.param(node_has_interface, NODE, (ANYWHERE,), None, id="any suitable interface"),
        pytest.param(node_has_interface, NODE, (ON_ETH1,), None, id="the named interface"),
        pytest.param(node_has_interface, NODE, (ON_ETH9,), Reason.NO_INTERFACE, id="a name it has not"),
        pytest.param(
            node_has_interface,
            replace(NODE, offer=Offer()),
            (ANYWHERE,),
            Reason.NO_INTERFACE,
            id="[D47] no suitable interface, since one that is down is not offered",
        ),
        pytest.param(proxy_answers, NODE, (ANYWHERE,), None, id="kube-proxy answers, or nobody asks"),
        pytest.param(
            proxy_answers,
            replace(NODE, offer=replace(NODE.offer, proxy_answers=False)),
            (ANYWHERE,),
            Reason.PROXY_NOT_ANSWERING,
            id="[D52] kube-proxy does not answer",
        ),
        pytest.param(node_stays, NODE, (ANYWHERE,), None, id="a node that stays"),
        pytest.param(
            node_stays, replace(NODE, view=replace(VIEW, leaving=True)), (), Reason.NODE_LEAVING, id="one that leaves"
        ),
        pytest.param(node_is_not_cordoned, NODE, (CORDONED_LEAVE,), None, id="a node that is not cordoned"),
        pytest.param(node_is_not_cordoned, CORDONED, (ANYWHERE,), None, id="cordoned, and that changes nothing"),
        pytest.param(node_is_not_cordoned, CORDONED, (CORDONED_LEAVE,), Reason.NODE_CORDONED, id="cordoned, by choice"),
        pytest.param(
            node_is_not_cordoned, CORDONED, (CORDONED_LEAVE, IN_RACK_1), None, id="cordoned, one advertisement stays"
        ),
        pytest.param(
            node_is_not_cordoned,
            CORDONED,
            (CORDONED_LEAVE, IN_RACK_2),
            Reason.NODE_CORDONED,
            id="cordoned, one that does not select it has no say",
        ),
    ],
)
def test_each_check(
    check: NodeCheck, node: NodeFacts, advertisements: tuple[L2Advertisement, ...], reason: Reason | None
) -> None:
    assert check in NODE_CHECKS
    assert check(node, Placement(advertisements)) is reason


@pytest.mark.parametrize("network", [IPV4_LAN, IPV6_LAN], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("advertisements", "is_near", "reason"),
    [
        pytest.param((ANYWHERE,), False, None, id="it does not matter"),
        pytest.param((ON_LINK,), True, None, id="an interface on its segment"),
        pytest.param((ON_LINK,), False, Reason.NOT_ON_SEGMENT, id="no interface on its segment"),
        pytest.param((ON_ETH1_ON_LINK,), True, Reason.NOT_ON_SEGMENT, id="the named one is on another"),
        pytest.param((ON_LINK, ON_ETH1), False, None, id="one advertisement does not ask"),
    ],
)
def test_the_segment(
    network: AddressRange, advertisements: tuple[L2Advertisement, ...], is_near: bool, reason: Reason | None
) -> None:
    assert node_is_on_segment in NODE_CHECKS
    placement = Placement(advertisements, frozenset({network}) if is_near else frozenset())
    assert node_is_on_segment(NODE, placement) is reason


def test_what_can_be_overlooked_comes_last_the_gravest_first() -> None:
    node = replace(NODE, unready=True, offer=replace(NODE.offer, proxy_answers=False))
    node = replace(node, view=replace(VIEW, leaving=True, cordoned=True))
    placement = Placement((CORDONED_LEAVE,))
    assert [check(node, placement) for check in NODE_CHECKS[-len(LAST_RESORTS) :]] == list(reversed(LAST_RESORTS))


def test_the_first_reason_is_the_nodes_reason() -> None:
    """What is wrong with a node comes before what the user's objects say of it."""
    lost = NodeFacts("node1", replace(VIEW, excluded=True), speaker_alive=False)
    assert node_refusal(lost, Placement(())) is Reason.SPEAKER_NOT_ALIVE
    assert node_refusal(replace(lost, speaker_alive=True), Placement(())) is Reason.NODE_EXCLUDED
    assert node_refusal(replace(lost, speaker_alive=True, view=VIEW), Placement(())) is Reason.NO_ADVERTISEMENT
    assert node_refusal(NODE, Placement((ANYWHERE,))) is None


@pytest.mark.parametrize(
    ("by_name", "advertisements", "chosen"),
    [
        pytest.param((), (ANYWHERE,), {"eth0", "eth1"}, id="no name means the usual ones"),
        pytest.param((), (ON_ETH1,), {"eth1"}, id="a name means that one"),
        pytest.param((), (ON_ETH1, ON_ETH9), {"eth1"}, id="names add up, absent ones fall away"),
        pytest.param((), (ON_ETH1, ANYWHERE), {"eth0", "eth1"}, id="one without names asks for all"),
        pytest.param(("eth9",), (ANYWHERE,), {"eth0", "eth1"}, id="an unusual one must be named"),
        pytest.param(("eth9",), (ON_ETH9,), {"eth9"}, id="an unusual one can be named"),
        pytest.param(("eth9",), (ANYWHERE, ON_ETH9), {"eth0", "eth1", "eth9"}, id="an unusual one can be added"),
        pytest.param(("eth9",), (IN_RACK_2, ON_ETH9_IN_RACK_1), {"eth9"}, id="only those that select the node"),
        pytest.param((), (IN_RACK_2,), set(), id="none where the node is not selected"),
    ],
)
def test_interfaces(by_name: tuple[str, ...], advertisements: tuple[L2Advertisement, ...], chosen: set[str]) -> None:
    offer = Offer((ETH0, ETH1, *(OfferedInterface(name, only_by_name=True) for name in by_name)))
    assert interfaces_for(replace(NODE, offer=offer), Placement(advertisements)) == chosen


@pytest.mark.parametrize("network", [IPV4_LAN, IPV6_LAN], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("advertisements", "chosen"),
    [
        pytest.param((ON_LINK,), {"eth0"}, id="only that on the segment"),
        pytest.param((ON_LINK, ON_ETH1), {"eth0", "eth1"}, id="and what another advertisement names"),
        pytest.param((ON_ETH1_ON_LINK,), set(), id="not a named one that is on another segment"),
    ],
)
def test_interfaces_on_the_segment(
    network: AddressRange, advertisements: tuple[L2Advertisement, ...], chosen: set[str]
) -> None:
    assert interfaces_for(NODE, Placement(advertisements, frozenset({network}))) == chosen


def served(policy: TrafficPolicy, *nodes: str, anywhere: bool = True) -> Served:
    return Served(policy, EndpointsView(frozenset(nodes), anywhere))


CLUSTER, LOCAL = TrafficPolicy.CLUSTER, TrafficPolicy.LOCAL
EMPTY, NOWHERE = served(LOCAL, anywhere=False), served(CLUSTER, anywhere=False)


@pytest.mark.parametrize(
    ("services", "able"),
    [
        pytest.param((served(CLUSTER, "c"),), "abc", id="Cluster: every node"),
        pytest.param((served(CLUSTER),), "abc", id="Cluster: endpoints may be on no node"),
        pytest.param((served(LOCAL, "b"),), "b", id="Local: where an endpoint is"),
        pytest.param((served(LOCAL, "b", "x"),), "b", id="Local: only among the eligible"),
        pytest.param((served(LOCAL, "x"),), "", id="Local: nobody where no eligible node has one"),
        pytest.param((served(LOCAL),), "", id="Local: endpoints on no node serve nobody"),
        pytest.param((served(CLUSTER, "c"), served(LOCAL, "a")), "a", id="shared: what serves both"),
        pytest.param((served(CLUSTER, "c"), served(LOCAL, "x")), "abc", id="shared: else what serves the most"),
        pytest.param((served(LOCAL, "a", "b"), served(LOCAL, "b", "c")), "b", id="shared Local: the intersection"),
        pytest.param((served(LOCAL, "a"), served(LOCAL, "c")), "ac", id="shared Local: else the union"),
        pytest.param((served(LOCAL, "a"), EMPTY), "a", id="shared: one without endpoints has no say"),
        pytest.param((NOWHERE, served(LOCAL, "x")), "", id="shared: nor has one with the Cluster policy"),
        pytest.param((EMPTY,), "", id="no endpoint anywhere: nobody"),
    ],
)
def test_able_to_serve(services: tuple[Served, ...], able: str) -> None:
    assert able_to_serve(Candidates("abc"), services).nodes == tuple(able)


def test_services_without_any_endpoint_are_refused() -> None:
    assert services_refusal((EMPTY, served(CLUSTER, anywhere=False))) is Reason.NO_ENDPOINT
    assert services_refusal((EMPTY, served(CLUSTER))) is None
