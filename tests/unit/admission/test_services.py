"""A Service that is about to be written: what is refused, what is only warned of, and what passes without a word."""

from typing import Any

import pytest

from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.admission.model import Operation, Question
from baremetal_lb.admission.services import review_service
from baremetal_lb.allocator.request import parse_request
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Surroundings

Raw = dict[str, Any]

ADDRESSES, POOL, KEY = "baremetal-lb.io/addresses", "baremetal-lb.io/pool", "baremetal-lb.io/sharing-key"
POOLS = (
    {"metadata": {"name": "gold"}, "spec": {"addresses": ["192.0.2.0/28", "2001:db8::/124"]}},
    {
        "metadata": {"name": "mine"},
        "spec": {
            "addresses": ["198.51.100.0/28", "2001:db8:1::/124"],
            "serviceAllocation": {"namespaceSelectors": [{"matchLabels": {"team": "b"}}]},
            "loadBalancerClasses": ["baremetal-lb.io/load-balancer", "example.com/other"],
        },
    },
)
CLAIM = {"metadata": {"name": "printer"}, "spec": {"addresses": ["192.0.2.9", "2001:db8::9"]}}


def service(
    name: str,
    *ingress: str,
    port: int = 80,
    metadata: Raw | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Raw:
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": annotations or {},
            **(metadata or {}),
        },
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "PreferDualStack",
            "clusterIPs": ["10.96.0.9", "fd00:10:96::9"],
            "ports": [{"port": port, "protocol": "TCP"}],
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": one} for one in ingress]}},
    }


def asking(name: str, addresses: str, *ingress: str, key: str = "", **more: Any) -> Raw:
    annotations = {ADDRESSES: addresses} | ({KEY: key} if key else {})
    return service(name, *ingress, annotations=annotations, **more)


def known(*services: Raw) -> Known:
    config, _ = compile_config(POOLS, [], [CLAIM])
    made = Known()
    made.resources_changed(pools=POOLS, claims=[CLAIM], config=config, surroundings=Surroundings())
    for name, team in (("shop", "a"), ("yard", "b")):
        made.namespace_changed(name, NamespaceView(name, {"team": team}))
    for view in map(parse_service, services):
        made.service_changed(view.key, Neighbour(view, parse_request(view)))
    return made


def create(new: Raw) -> Question:
    return Question(Operation.CREATE, None, new)


def update(old: Raw, new: Raw) -> Question:
    return Question(Operation.UPDATE, old, new)


WEB = service("web", "192.0.2.2", "2001:db8::2")
SHARING = service("web", "192.0.2.2", "2001:db8::2", annotations={KEY: "k"})
GOING = service("web", "192.0.2.2", metadata={"deletionTimestamp": "2026-01-02T00:00:00Z"})
IN_USE = (
    "AddressInUse: {} is held by Service shop/web; ask for another address, free this one, or let both share it "
    "(annotation baremetal-lb.io/sharing-key)"
)
ASKED_FOR = (
    "AddressInUse: {} is asked for by Service shop/early too; ask for another address, or let both share it "
    "(annotation baremetal-lb.io/sharing-key)"
)
SAME_PORT = (
    "SharingRefused: {} is held by Service shop/web and can't be shared with it: both have port 80/TCP; "
    "ask for another address"
)


@pytest.mark.parametrize(
    ("question", "there", "denials"),
    [
        pytest.param(create(asking("new", "192.0.2.3,2001:db8::3")), known(WEB), [], id="addresses that are free"),
        pytest.param(create(asking("new", "192.0.2.2")), known(WEB), [IN_USE.format("192.0.2.2")], id="another's IPv4"),
        pytest.param(
            create(asking("new", "2001:db8:0::2")), known(WEB), [IN_USE.format("2001:db8::2")], id="another's IPv6"
        ),
        pytest.param(
            create(service("new", loadBalancerIP="192.0.2.2")),
            known(WEB),
            [IN_USE.format("192.0.2.2")],
            id="another's address in loadBalancerIP",
        ),
        pytest.param(
            create(service("new", annotations={"metallb.universe.tf/loadBalancerIPs": "192.0.2.2"})),
            known(WEB),
            [IN_USE.format("192.0.2.2")],
            id="another's address in MetalLB's words",
        ),
        pytest.param(
            create(asking("new", "192.0.2.3")),
            known(asking("early", "192.0.2.3")),
            [ASKED_FOR.format("192.0.2.3")],
            id="what another one asks for and has not got yet",
        ),
        pytest.param(
            create(asking("new", "192.0.2.2,2001:db8::2", key="k")),
            known(SHARING),
            [SAME_PORT.format("192.0.2.2"), SAME_PORT.format("2001:db8::2")],
            id="sharing on a port that is taken",
        ),
        pytest.param(
            create(asking("new", "192.0.2.2,2001:db8::2", key="k", port=443)), known(SHARING), [], id="sharing by rule"
        ),
        pytest.param(
            create(asking("new", "192.0.2.3", key="k", port=443)),
            known(asking("early", "192.0.2.3", key="k")),
            [],
            id="asking together for an address to share",
        ),
        pytest.param(create(asking("new", "192.0.2.2")), known(GOING), [], id="what a Service has that is going away"),
        pytest.param(create(asking("web", "192.0.2.2", "192.0.2.2")), known(WEB), [], id="its own address"),
        pytest.param(
            update(WEB, asking("web", "192.0.2.2", "192.0.2.2", "2001:db8::2")),
            known(WEB, asking("early", "192.0.2.2")),
            [],
            id="naming the address it has, though another one waits for it",
        ),
        pytest.param(
            update(asking("new", "192.0.2.3"), asking("new", "192.0.2.2")),
            known(WEB, asking("new", "192.0.2.3")),
            [IN_USE.format("192.0.2.2")],
            id="asking for another's address later",
        ),
        pytest.param(
            update(
                service("new", "192.0.2.2", annotations={KEY: "k"}, port=443),
                service("new", "192.0.2.2", annotations={KEY: "k"}, port=80),
            ),
            known(SHARING, service("new", "192.0.2.2", annotations={KEY: "k"}, port=443)),
            [SAME_PORT.format("192.0.2.2")],
            id="changing to a port that is taken on the shared address",
        ),
        pytest.param(
            update(asking("new", "192.0.2.2"), asking("new", "192.0.2.2", metadata={"labels": {"tier": "web"}})),
            known(WEB),
            [],
            id="a clash that was there before, when a label changes",
        ),
        pytest.param(
            update(asking("new", "192.0.2.2"), asking("new", "192.0.2.2,2001:db8::2")),
            known(WEB),
            [IN_USE.format("2001:db8::2")],
            id="one clash more than before",
        ),
        pytest.param(
            update(service("new", type="ClusterIP"), asking("new", "192.0.2.2")),
            known(WEB),
            [IN_USE.format("192.0.2.2")],
            id="becoming a load balancer with another's address",
        ),
        pytest.param(
            create(asking("new", "192.0.2.2", loadBalancerClass="example.com/theirs")),
            known(WEB),
            [],
            id="another controller's Service",
        ),
        pytest.param(create(asking("new", "192.0.2.2", type="ClusterIP")), known(WEB), [], id="no load balancer"),
        pytest.param(Question(Operation.DELETE, WEB), known(WEB), [], id="deleting a Service"),
    ],
)
def test_a_service_is_denied_for(question: Question, there: Known, denials: list[str]) -> None:
    assert [str(one) for one in review_service(question, there).denials] == denials


@pytest.mark.parametrize(
    ("question", "there", "warnings"),
    [
        pytest.param(create(asking("new", "192.0.2.3,2001:db8::3")), known(), [], id="nothing that is wrong"),
        pytest.param(
            create(service("new", annotations={ADDRESSES: "192.0.2.3", "metallb.io/loadBalancerIPs": "192.0.2.4"})),
            known(),
            [
                (
                    "ContradictoryRequest: annotations baremetal-lb.io/addresses and metallb.io/loadBalancerIPs "
                    "ask for different things; remove one of the two"
                )
            ],
            id="two spellings that contradict each other",
        ),
        pytest.param(
            create(asking("new", "all of them")),
            known(),
            ["InvalidRequest: cannot read the requested addresses: 'all of them' is not an IP address"],
            id="what is no address",
        ),
        pytest.param(
            create(asking("new", "2001:db8::3", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")),
            known(),
            [
                (
                    "FamilyMismatch: 2001:db8::3 is IPv6, but the Service has IPv4 only; "
                    "ask for another address or change spec.ipFamilies and spec.ipFamilyPolicy"
                )
            ],
            id="an address of the other family",
        ),
        pytest.param(
            create(service("new", annotations={POOL: "atlantis"})),
            known(),
            ["PoolNotFound: there is no valid pool atlantis; create it or name another"],
            id="an unknown pool",
        ),
        pytest.param(
            create(asking("new", "203.0.113.1")),
            known(),
            ["AddressNotInAnyPool: 203.0.113.1 is in no pool; add it to one or ask for another address"],
            id="an IPv4 address of no pool",
        ),
        pytest.param(
            create(asking("new", "2001:db8:ffff::1")),
            known(),
            ["AddressNotInAnyPool: 2001:db8:ffff::1 is in no pool; add it to one or ask for another address"],
            id="an IPv6 address of no pool",
        ),
        pytest.param(
            create(asking("new", "198.51.100.1")),
            known(),
            [
                (
                    "PoolNotPermitted: 198.51.100.1 can't be given: pool mine does not admit namespace shop; change "
                    "serviceAllocation of a pool, or the labels of the Service or its namespace"
                )
            ],
            id="an address of a pool for others",
        ),
        pytest.param(
            create(asking("new", "198.51.100.1", metadata={"namespace": "yard"})),
            known(),
            [],
            id="nothing, where the namespace is admitted",
        ),
        pytest.param(
            create(asking("new", "2001:db8::9")),
            known(),
            ["AddressReserved: 2001:db8::9 is reserved by IPAddressClaim printer; ask for another address"],
            id="an address that is reserved",
        ),
        pytest.param(
            update(WEB, asking("web", "garbage", "192.0.2.2", "2001:db8::2")),
            known(WEB),
            [
                (
                    "AddressKept: keeps 192.0.2.2 and 2001:db8::2: cannot read the requested addresses: "
                    "'garbage' is not an IP address"
                )
            ],
            id="a bad wish of a Service that has addresses",
        ),
        pytest.param(
            update(asking("new", "192.0.2.2"), asking("new", "192.0.2.2", metadata={"labels": {"tier": "web"}})),
            known(WEB),
            [IN_USE.format("192.0.2.2")],
            id="a clash that was there before, when a label changes",
        ),
        pytest.param(
            update(asking("new", "203.0.113.1"), asking("new", "203.0.113.1", sessionAffinity="ClientIP")),
            known(),
            [],
            id="nothing, where it asks for the same as before",
        ),
        pytest.param(
            create(asking("new", "203.0.113.1", clusterIPs=[])), known(), [], id="nothing, before there is a cluster IP"
        ),
    ],
)
def test_a_user_is_warned_of(question: Question, there: Known, warnings: list[str]) -> None:
    verdict = review_service(question, there)

    assert verdict.denials == ()
    assert [str(one) for one in verdict.warnings] == warnings
