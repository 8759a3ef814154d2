from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from time import process_time

import pytest

from baremetal_lb.addresses import Address, AddressRange
from baremetal_lb.announce.decision import Electorate, advertisements_for, decide_l2, explain_l2, nominate_l2
from baremetal_lb.announce.model import Decision, Demand, NodeFacts, Served
from baremetal_lb.announce.offer import Offer, OfferedInterface
from baremetal_lb.api.selector import Operator
from baremetal_lb.cluster.endpoints import EndpointsView
from baremetal_lb.cluster.node import NodeView
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.config.model import Config, L2Advertisement, Pool
from baremetal_lb.config.selectors import Requirement, Selector
from baremetal_lb.election.rendezvous import Candidates
from baremetal_lb.reasons import Reason

IPV4, IPV6 = ip_address("192.0.2.100"), ip_address("2001:db8:0:2::100")
ANYWHERE = L2Advertisement("anywhere", frozenset({"pool"}))
CLUSTER = Served(TrafficPolicy.CLUSTER, EndpointsView(frozenset({"node1"}), anywhere=True))
NOBODY = Served(TrafficPolicy.CLUSTER, EndpointsView())


def local(*nodes: str) -> Served:
    return Served(TrafficPolicy.LOCAL, EndpointsView(frozenset(nodes), anywhere=True))


def offering(*names: str, **networks: str) -> Offer:
    """Offer these interfaces, and some with a network each."""
    near = {name: (AddressRange.parse(text),) for name, text in networks.items()}
    return Offer(tuple(OfferedInterface(name, networks=near.get(name, ())) for name in (*names, *networks)))


def node(name: str, *, alive: bool = True) -> NodeFacts:
    view = NodeView(name, {}, excluded=False, network_unavailable=False)
    return NodeFacts(name, view, speaker_alive=alive, offer=offering("eth0"))


NODES = tuple(node(f"node{number}") for number in (1, 2, 3))
NO_INTERFACES = tuple(replace(one, offer=Offer()) for one in NODES)


@pytest.fixture(params=[IPV4, IPV6], ids=["IPv4", "IPv6"])
def address(request: pytest.FixtureRequest) -> Address:
    chosen: Address = request.param
    return chosen


def first(address: Address, *names: str) -> str:
    return Candidates(names).first(address)


def decide(demand: Demand, electorate: Electorate) -> Decision:
    """Decide for the first of those nominated."""
    nomination = nominate_l2(demand, electorate)
    holder = nomination.tiers[0].first(demand.address) if nomination.tiers else None
    return decide_l2(demand, electorate, nomination, holder)


def test_one_of_the_eligible_holds_it(address: Address) -> None:
    decision = decide(Demand(address, (ANYWHERE,), (CLUSTER,)), Electorate(NODES))
    holder = first(address, "node1", "node2", "node3")
    assert decision == Decision(holder, Reason.ELECTED, frozenset({"eth0"}), reporter=holder)


@pytest.mark.parametrize(
    ("nodes", "advertisements", "service", "reason"),
    [
        pytest.param(NODES, (), CLUSTER, Reason.NO_ADVERTISEMENT, id="no advertisement"),
        pytest.param(NODES, (ANYWHERE,), NOBODY, Reason.NO_ENDPOINT, id="no endpoint"),
        pytest.param(NO_INTERFACES, (ANYWHERE,), CLUSTER, Reason.NO_ELIGIBLE_NODE, id="no node that may"),
        pytest.param(NODES, (ANYWHERE,), local("node9"), Reason.NO_LOCAL_ENDPOINT, id="no node with an endpoint"),
    ],
)
def test_nobody_holds_it(
    address: Address,
    nodes: tuple[NodeFacts, ...],
    advertisements: tuple[L2Advertisement, ...],
    service: Served,
    reason: Reason,
) -> None:
    """The first living speaker is the one to say so."""
    reporter = first(address, "node1", "node2", "node3")
    decision = decide(Demand(address, advertisements, (service,)), Electorate(nodes))
    assert decision == Decision(None, reason, reporter=reporter)


def test_without_a_living_speaker_nobody_tells(address: Address) -> None:
    dead = [replace(one, speaker_alive=False) for one in NODES]
    decision = decide(Demand(address, (ANYWHERE,), (CLUSTER,)), Electorate(dead))
    assert decision == Decision(None, Reason.NO_ELIGIBLE_NODE, reporter=None)


def test_whoever_is_named_holds_it(address: Address) -> None:
    demand, electorate = Demand(address, (ANYWHERE,), (CLUSTER,)), Electorate(NODES)
    for one in NODES:
        assert decide_l2(demand, electorate, nominate_l2(demand, electorate), one.name).holder == one.name


def preferring(rack: str, weight: int, preempt_after: float | None = 30.0) -> L2Advertisement:
    selector = Selector((Requirement("rack", Operator.IN, frozenset({rack})),))
    return replace(ANYWHERE, name=f"{rack}-{weight}", preferences=((weight, selector),), preempt_after=preempt_after)


def in_rack(one: NodeFacts, rack: str) -> NodeFacts:
    assert one.view is not None
    return replace(one, view=replace(one.view, labels={"rack": rack}))


RACKED = (in_rack(NODES[0], "r1"), in_rack(NODES[1], "r2"), in_rack(NODES[2], "r2"))
R1_ONLY = replace(preferring("r2", 100), node_selectors=preferring("r1", 1).preferences[0][1:])


@pytest.mark.parametrize(
    ("advertisements", "tiers"),
    [
        pytest.param((ANYWHERE,), [("node1", "node2", "node3")], id="without a preference all are equal"),
        pytest.param((preferring("r2", 1),), [("node2", "node3"), ("node1",)], id="the preferred come first"),
        pytest.param(
            (preferring("r2", 50), preferring("r1", 30), preferring("r1", 30)),
            [("node1",), ("node2", "node3")],
            id="weights add up over advertisements",
        ),
        pytest.param(
            (preferring("r1", 1), R1_ONLY, ANYWHERE), [("node1",), ("node2", "node3")], id="of those selected"
        ),
        pytest.param((preferring("r9", 1),), [("node1", "node2", "node3")], id="nobody is preferred: all are equal"),
    ],
)
def test_nodes_are_ranked_by_preference(
    address: Address, advertisements: tuple[L2Advertisement, ...], tiers: list[tuple[str, ...]]
) -> None:
    nomination = nominate_l2(Demand(address, advertisements, (CLUSTER,)), Electorate(RACKED))
    assert [one.nodes for one in nomination.tiers] == tiers


@pytest.mark.parametrize(
    ("advertisements", "preempt_after"),
    [
        pytest.param((ANYWHERE,), None, id="without a preference never"),
        pytest.param((preferring("r1", 1, None),), None, id="never where that is said"),
        pytest.param((preferring("r1", 1, 9.0), preferring("r1", 2, 5.0)), 5.0, id="after the shortest delay"),
        pytest.param((preferring("r1", 1, None), preferring("r1", 2, 5.0)), 5.0, id="if one of them says so"),
        pytest.param((replace(ANYWHERE, preempt_after=1.0), preferring("r1", 1)), 30.0, id="that prefers somebody"),
    ],
)
def test_when_a_better_node_takes_over(
    address: Address, advertisements: tuple[L2Advertisement, ...], preempt_after: float | None
) -> None:
    nomination = nominate_l2(Demand(address, advertisements, (CLUSTER,)), Electorate(RACKED))
    assert nomination.preempt_after == preempt_after


def test_the_same_candidates_are_the_very_same_object(address: Address) -> None:
    """The election counts by identity."""
    electorate = Electorate(NODES)
    local_demand = Demand(address, (ANYWHERE,), (local("node1", "node2"),))
    assert nominate_l2(local_demand, electorate).tiers is nominate_l2(local_demand, electorate).tiers


LEAVING_CORDONED = replace(ANYWHERE, cordoned_leave=True)


def unready(one: NodeFacts) -> NodeFacts:
    return replace(one, unready=True)


def without_proxy(one: NodeFacts) -> NodeFacts:
    return replace(one, offer=replace(one.offer, proxy_answers=False))


def leaving(one: NodeFacts) -> NodeFacts:
    assert one.view is not None
    return replace(one, view=replace(one.view, leaving=True))


def cordoned(one: NodeFacts) -> NodeFacts:
    assert one.view is not None
    return replace(one, view=replace(one.view, cordoned=True))


GRAVEST_FIRST = [unready, without_proxy, leaving, cordoned]


@pytest.mark.parametrize("fault", GRAVEST_FIRST)
def test_what_can_be_overlooked_is_where_all_nodes_have_it(
    address: Address, fault: Callable[[NodeFacts], NodeFacts]
) -> None:
    """More likely than that all are gone: nobody hears the kubelets, or kube-proxy is asked at the wrong port."""
    demand = Demand(address, (LEAVING_CORDONED,), (CLUSTER,))
    faulty = list(map(fault, NODES))
    some = nominate_l2(demand, Electorate([NODES[0], *faulty[1:]]))
    assert [one.nodes for one in some.tiers] == [("node1",)]
    none = nominate_l2(demand, Electorate(faulty))
    assert [one.nodes for one in none.tiers] == [("node1", "node2", "node3")]


@pytest.mark.parametrize(("graver", "lighter"), list(pairwise(GRAVEST_FIRST)))
def test_the_lightest_fault_is_overlooked_first(
    address: Address, graver: Callable[[NodeFacts], NodeFacts], lighter: Callable[[NodeFacts], NodeFacts]
) -> None:
    nodes = (graver(NODES[0]), lighter(NODES[1]), graver(lighter(NODES[2])))
    nomination = nominate_l2(Demand(address, (LEAVING_CORDONED,), (CLUSTER,)), Electorate(nodes))
    assert [one.nodes for one in nomination.tiers] == [("node2",)]


def test_a_cordoned_node_goes_on_while_only_it_has_the_endpoints(address: Address) -> None:
    """A drain evicts Pods one by one: until they are elsewhere they are served where they are."""
    nodes = (cordoned(NODES[0]), NODES[1], NODES[2])
    before = nominate_l2(Demand(address, (LEAVING_CORDONED,), (local("node1"),)), Electorate(nodes))
    after = nominate_l2(Demand(address, (LEAVING_CORDONED,), (local("node1", "node2"),)), Electorate(nodes))
    assert [one.nodes for one in before.tiers] == [("node1",)]
    assert [one.nodes for one in after.tiers] == [("node2",)]


ON_LINK = replace(ANYWHERE, on_link_only=True)
SEGMENTED = (
    replace(NODES[0], offer=offering("eth0", eth1="192.0.2.0/24", eth2="2001:db8:0:2::/64")),
    replace(NODES[1], offer=offering("eth0", eth1="198.51.100.0/24", eth2="2001:db8:0:9::/64")),
    replace(NODES[2], offer=offering("eth0")),
)


def test_the_node_and_its_interface_are_those_on_the_segment(address: Address) -> None:
    """Where the advertisement asks for it; the other nodes say what is against them."""
    demand, electorate = Demand(address, (ON_LINK,), (CLUSTER,)), Electorate(SEGMENTED)
    decision = decide(demand, electorate)
    assert decision.holder == "node1"
    assert decision.interfaces == {"eth1" if address.version == 4 else "eth2"}
    nodes = explain_l2(demand, electorate, decision).nodes
    assert nodes == {"node1": Reason.ELECTED, "node2": Reason.NOT_ON_SEGMENT, "node3": Reason.NOT_ON_SEGMENT}


def test_addresses_on_one_segment_have_the_very_same_candidates(address: Address) -> None:
    electorate = Electorate(SEGMENTED)
    neighbour = nominate_l2(Demand(address + 1, (ON_LINK,), (CLUSTER,)), electorate)
    assert nominate_l2(Demand(address, (ON_LINK,), (CLUSTER,)), electorate).tiers is neighbour.tiers


def test_an_address_on_nobodys_segment_is_announced_where_that_does_not_matter(address: Address) -> None:
    elsewhere = Electorate(SEGMENTED[1:])
    assert nominate_l2(Demand(address, (ON_LINK,), (CLUSTER,)), elsewhere).refusal is Reason.NO_ELIGIBLE_NODE
    both = decide(Demand(address, (ON_LINK, ANYWHERE), (CLUSTER,)), elsewhere)
    assert both.interfaces == elsewhere.nodes[str(both.holder)].offer.usual


def test_endpoints_that_are_on_no_node_serve_the_cluster_policy_only(address: Address) -> None:
    """[D51] As a Service without a selector may have them."""
    anywhere = EndpointsView(frozenset(), anywhere=True)
    cluster = Demand(address, (ANYWHERE,), (Served(TrafficPolicy.CLUSTER, anywhere),))
    assert decide(cluster, Electorate(NODES)).holder is not None
    local_only = Demand(address, (ANYWHERE,), (Served(TrafficPolicy.LOCAL, anywhere),))
    assert decide(local_only, Electorate(NODES)).reason is Reason.NO_LOCAL_ENDPOINT
    nowhere = Demand(address, (ANYWHERE,), (NOBODY,))
    assert decide(nowhere, Electorate(NODES)).reason is Reason.NO_ENDPOINT


def test_a_node_without_its_object_is_never_a_candidate(address: Address) -> None:
    """[D49]"""
    gone = replace(NODES[0], view=None)
    nomination = nominate_l2(Demand(address, (ANYWHERE,), (CLUSTER,)), Electorate((gone, *NODES[1:])))
    assert [one.nodes for one in nomination.tiers] == [("node2", "node3")]


def test_a_node_that_lacks_the_interface_leaves_it_to_another(address: Address) -> None:
    """[D9] The named interface is only on node 2: no other must be elected in its place and stay silent."""
    on_eth7 = L2Advertisement("on-eth7", frozenset({"pool"}), interfaces=frozenset({"eth7"}))
    having = replace(NODES[1], offer=offering("eth0", "eth7"))
    decision = decide(Demand(address, (on_eth7,), (CLUSTER,)), Electorate((NODES[0], having, NODES[2])))
    assert decision == Decision("node2", Reason.ELECTED, frozenset({"eth7"}), reporter="node2")


def test_services_that_share_an_address_never_split(address: Address) -> None:
    """[D45] Whatever their policies and endpoints, the address has one holder, whichever Service is looked at first."""
    services = (CLUSTER, local("node1"), local("node3"), NOBODY)
    forwards = decide(Demand(address, (ANYWHERE,), services), Electorate(NODES))
    backwards = decide(Demand(address, (ANYWHERE,), services[::-1]), Electorate(reversed(NODES)))
    assert forwards == backwards
    assert forwards.holder == first(address, "node1", "node3")


def test_every_node_has_its_reason(address: Address) -> None:
    nodes = (*NODES, node("node4", alive=False), replace(node("node5"), view=None))
    demand = Demand(address, (ANYWHERE,), (local("node1", "node2", "node4"),))
    decision = decide(demand, Electorate(nodes))
    explanation = explain_l2(demand, Electorate(nodes), decision)
    holder = first(address, "node1", "node2")
    assert explanation.decision == decision
    assert explanation.nodes == {
        "node1": Reason.NOT_ELECTED,
        "node2": Reason.NOT_ELECTED,
        "node3": Reason.NO_LOCAL_ENDPOINT,
        "node4": Reason.SPEAKER_NOT_ALIVE,
        "node5": Reason.NODE_GONE,
        holder: Reason.ELECTED,
    }


def test_where_no_endpoint_is_every_fit_node_says_so(address: Address) -> None:
    demand, electorate = Demand(address, (ANYWHERE,), (NOBODY,)), Electorate(NODES)
    explanation = explain_l2(demand, electorate, decide(demand, electorate))
    assert set(explanation.nodes.values()) == {Reason.NO_ENDPOINT}


POOL = Pool("pool", (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8:0:2::/64")))
OTHER_POOL = L2Advertisement("other-pool", frozenset({"other"}))
ALL_POOLS = L2Advertisement("all-pools", frozenset({"pool"}), selects_all_pools=True)
CONFIG = Config((POOL,), (ANYWHERE, OTHER_POOL, ALL_POOLS))


def test_advertisements_are_those_of_the_pool(address: Address) -> None:
    assert advertisements_for(CONFIG, address, kept=False) == (ANYWHERE, ALL_POOLS)


@pytest.mark.parametrize(
    ("advertisements", "chosen"),
    [
        pytest.param((ANYWHERE, OTHER_POOL, ALL_POOLS), (ALL_POOLS,), id="those for all pools meant it"),
        pytest.param((ANYWHERE, OTHER_POOL), (ANYWHERE, OTHER_POOL), id="else any may have meant it"),
        pytest.param((), (), id="without any it ends"),
    ],
)
def test_a_kept_address_goes_on_without_its_pool(
    address: Address, advertisements: tuple[L2Advertisement, ...], chosen: tuple[L2Advertisement, ...]
) -> None:
    assert advertisements_for(Config((), advertisements), address, kept=True) == chosen


def test_an_address_that_we_never_assigned_is_not_announced(address: Address) -> None:
    """Another load balancer may have written it, and may be announcing it."""
    assert advertisements_for(replace(CONFIG, pools=()), address, kept=False) == ()


@pytest.mark.parametrize("node_count", [3, 1000])
@pytest.mark.parametrize("policy", list(TrafficPolicy))
def test_four_thousand_addresses_are_decided_within_a_second(node_count: int, policy: TrafficPolicy) -> None:
    names = [f"node{number}" for number in range(node_count)]
    electorate = Electorate(node(name) for name in names)
    addresses = AddressRange.parse("198.18.0.0/20").addresses()
    started_at = process_time()
    for number, address in enumerate(addresses):
        nodes = {names[(number + step) % node_count] for step in range(3)}
        service = Served(policy, EndpointsView(frozenset(nodes), anywhere=True))
        assert decide(Demand(address, (ANYWHERE,), (service,)), electorate).holder
    assert process_time() - started_at < 1.0
