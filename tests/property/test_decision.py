"""Deciding and explaining take different ways through the same rules; they must agree."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import AddressRange
from baremetal_lb.announce.decision import Electorate, decide_l2, explain_l2, nominate_l2
from baremetal_lb.announce.model import Decision, Demand, NodeFacts, Served
from baremetal_lb.announce.offer import Offer, OfferedInterface
from baremetal_lb.api.selector import Operator
from baremetal_lb.cluster.endpoints import EndpointsView
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.config.model import L2Advertisement
from baremetal_lb.config.selectors import Requirement, Selector
from baremetal_lb.reasons import Reason

NAMES = ("node1", "node2", "node3", "node4")
names = st.frozensets(st.sampled_from(("eth0", "eth1")))
networks = st.lists(
    st.sampled_from(
        [AddressRange.parse(text) for text in ("192.0.2.0/24", "192.0.2.0/25", "198.51.100.0/24", "2001:db8:0:2::/64")]
    ),
    max_size=3,
    unique=True,
).map(tuple)
interfaces = st.lists(
    st.builds(
        OfferedInterface,
        name=st.sampled_from(("eth0", "eth1")),
        only_by_name=st.booleans(),
        networks=networks,
    ),
    max_size=2,
    unique_by=lambda one: one.name,
).map(tuple)
addresses = st.integers(1, 250).flatmap(
    lambda number: st.sampled_from((ip_address(f"192.0.2.{number}"), ip_address(f"2001:db8:0:2::{number:x}")))
)


def selector(rack: str) -> Selector:
    return Selector((Requirement("rack", Operator.IN, frozenset({rack})),))


@st.composite
def nodes(draw: st.DrawFn, name: str) -> NodeFacts:
    labels = {"rack": draw(st.sampled_from(("r1", "r2")))}
    view = NodeView(
        name,
        labels,
        excluded=draw(st.booleans()),
        network_unavailable=draw(st.booleans()),
        cordoned=draw(st.booleans()),
        leaving=draw(st.booleans()),
    )
    return NodeFacts(
        name,
        draw(st.sampled_from((view, view, None))),
        speaker_alive=draw(st.booleans()),
        unready=draw(st.booleans()),
        offer=Offer(draw(interfaces), proxy_answers=draw(st.booleans())),
    )


advertisements = st.builds(
    L2Advertisement,
    name=st.just("l2"),
    pools=st.just(frozenset({"pool"})),
    node_selectors=st.sampled_from(((), (selector("r1"),), (selector("r2"),))),
    interfaces=names,
    on_link_only=st.booleans(),
    cordoned_leave=st.booleans(),
)
services = st.builds(
    Served,
    policy=st.sampled_from(TrafficPolicy),
    endpoints=st.builds(EndpointsView, nodes=st.frozensets(st.sampled_from(NAMES)), anywhere=st.booleans()),
)
demands = st.builds(
    Demand,
    address=addresses,
    advertisements=st.lists(advertisements, max_size=3).map(tuple),
    services=st.lists(services, min_size=1, max_size=3).map(tuple),
)


def decide(demand: Demand, electorate: Electorate) -> Decision:
    """Decide for the first of those nominated."""
    nomination = nominate_l2(demand, electorate)
    holder = nomination.tiers[0].first(demand.address) if nomination.tiers else None
    return decide_l2(demand, electorate, nomination, holder)


@given(demands, st.tuples(*(nodes(name) for name in NAMES)))
def test_the_explanation_fits_the_decision(demand: Demand, facts: tuple[NodeFacts, ...]) -> None:
    electorate = Electorate(facts)
    decision = decide(demand, electorate)
    explanation = explain_l2(demand, electorate, decision)
    elected = [name for name, reason in explanation.nodes.items() if reason is Reason.ELECTED]
    passed = [name for name, reason in explanation.nodes.items() if reason is Reason.NOT_ELECTED]
    assert explanation.decision == decision
    assert elected == ([explanation.decision.holder] if explanation.decision.holder else [])
    assert not passed or elected
    if elected:
        assert explanation.decision.interfaces
        assert electorate.nodes[elected[0]].speaker_alive


@given(demands, st.tuples(*(nodes(name) for name in NAMES)), st.sampled_from(NAMES))
def test_losing_another_node_moves_nothing_among_equals(
    demand: Demand, facts: tuple[NodeFacts, ...], lost: str
) -> None:
    """With the Cluster policy an address moves only if its own holder goes."""
    cluster = Demand(
        demand.address,
        demand.advertisements,
        (Served(TrafficPolicy.CLUSTER, EndpointsView(frozenset(), anywhere=True)),),
    )
    before = decide(cluster, Electorate(facts))
    after = decide(cluster, Electorate(one for one in facts if one.name != lost))
    if before.holder != lost:
        assert (after.holder, after.interfaces) == (before.holder, before.interfaces)
