"""What a Service asks for, read from its spec and annotations."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.allocator.request import AllocationRequest, Refusal, from_pools, parse_request
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.reasons import Reason

V4, V6 = Family.IPV4, Family.IPV6
OUR_POOL = "baremetal-lb.io/pool"
OUR_ADDRESSES, THEIR_ADDRESSES = "baremetal-lb.io/addresses", "metallb.io/loadBalancerIPs"


def service(
    *families: Family, policy: str = "SingleStack", annotations: dict[str, str] | None = None, **spec: Any
) -> Any:
    return parse_service(
        {
            "metadata": {"namespace": "shop", "name": "web", "annotations": annotations or {}},
            "spec": {
                "type": "LoadBalancer",
                "ipFamilies": list(families),
                "ipFamilyPolicy": policy,
                "clusterIPs": ["10.96.0.5"],
                **spec,
            },
        }
    )


@pytest.mark.parametrize(
    ("families", "policy", "expected", "needs_all"),
    [
        pytest.param((V4,), "SingleStack", (V4,), False, id="single stack IPv4"),
        pytest.param((V6,), "SingleStack", (V6,), False, id="single stack IPv6"),
        pytest.param((V4, V6), "RequireDualStack", (V4, V6), True, id="dual stack required: all or nothing"),
        pytest.param((V6, V4), "PreferDualStack", (V6, V4), False, id="dual stack preferred: in the order of the spec"),
        pytest.param((V4,), "PreferDualStack", (V4,), False, id="[C23] dual stack preferred, one cluster IP: IPv4"),
        pytest.param((V6,), "PreferDualStack", (V6,), False, id="[C23] dual stack preferred, one cluster IP: IPv6"),
        pytest.param((V4,), "RequireDualStack", (V4,), True, id="[C21] dual stack required, one cluster IP"),
    ],
)
def test_families_follow_the_spec(
    families: tuple[Family, ...], policy: str, expected: tuple[Family, ...], needs_all: bool
) -> None:
    request = parse_request(service(*families, policy=policy))

    assert isinstance(request, AllocationRequest)
    assert (request.families, request.needs_all) == (expected, needs_all)


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        pytest.param({}, {}, set(), id="nothing asked for"),
        pytest.param({}, {"loadBalancerIP": "192.0.2.7"}, {"192.0.2.7"}, id="spec.loadBalancerIP"),
        pytest.param(
            {OUR_ADDRESSES: "192.0.2.8, 192.0.2.7"}, {}, {"192.0.2.7", "192.0.2.8"}, id="several of one family"
        ),
        pytest.param({OUR_ADDRESSES: "192.0.2.7"}, {}, {"192.0.2.7"}, id="our annotation"),
        pytest.param({THEIR_ADDRESSES: "192.0.2.7"}, {}, {"192.0.2.7"}, id="MetalLB's annotation"),
        pytest.param(
            {"metallb.universe.tf/loadBalancerIPs": "2001:db8::7"},
            {},
            {"2001:db8::7"},
            id="[B10] MetalLB's older annotation",
        ),
        pytest.param({OUR_ADDRESSES: " , "}, {}, set(), id="nothing but commas"),
        pytest.param(
            {OUR_ADDRESSES: ",".join(f"2001:db8::{n:x}" for n in range(16))},
            {},
            {str(ip_address("2001:db8::") + n) for n in range(16)},
            id="as many as are allowed",
        ),
        pytest.param({OUR_ADDRESSES: "2001:db8::7,2001:DB8:0::7"}, {}, {"2001:db8::7"}, id="one address twice"),
        pytest.param(
            {OUR_ADDRESSES: "192.0.2.7", THEIR_ADDRESSES: "192.0.2.7"}, {}, {"192.0.2.7"}, id="ours and MetalLB's agree"
        ),
        pytest.param(
            {OUR_ADDRESSES: " 2001:db8::7 , 192.0.2.7 "}, {}, {"192.0.2.7", "2001:db8::7"}, id="one of each family"
        ),
        pytest.param(
            {OUR_ADDRESSES: "192.0.2.7,2001:db8::7"},
            {"loadBalancerIP": "2001:db8:0::7"},
            {"192.0.2.7", "2001:db8::7"},
            id="[B5] field and annotation agree: no need to refuse",
        ),
    ],
)
def test_wanted_addresses(annotations: dict[str, str], spec: dict[str, str], expected: set[str]) -> None:
    request = parse_request(service(V4, V6, policy="PreferDualStack", annotations=annotations, **spec))

    assert isinstance(request, AllocationRequest)
    assert {str(address) for addresses in request.wanted.values() for address in addresses} == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({}, None, id="no pool named"),
        pytest.param({"baremetal-lb.io/pool": "gold"}, "gold", id="our annotation"),
        pytest.param({"metallb.io/address-pool": "gold"}, "gold", id="MetalLB's annotation"),
        pytest.param({"metallb.universe.tf/address-pool": "gold"}, "gold", id="MetalLB's older annotation"),
        pytest.param({"baremetal-lb.io/pool": " "}, None, id="a blank name is none"),
    ],
)
def test_pool(annotations: dict[str, str], expected: str | None) -> None:
    request = parse_request(service(V4, annotations=annotations))

    assert isinstance(request, AllocationRequest)
    assert request.pool == expected


@pytest.mark.parametrize(
    ("raw", "reason", "word"),
    [
        pytest.param(service(V4, clusterIPs=[]), Reason.PENDING_CLUSTER_IP, "cluster IP", id="no cluster IP"),
        pytest.param(service(), Reason.PENDING_CLUSTER_IP, "cluster IP", id="no family"),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.300"}),
            Reason.INVALID_REQUEST,
            "192.0.2.300",
            id="no address",
        ),
        pytest.param(
            service(V4, loadBalancerIP="web.example"), Reason.INVALID_REQUEST, "web.example", id="a host name"
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: ",".join(f"192.0.2.{n}" for n in range(17))}),
            Reason.INVALID_REQUEST,
            "no more than 16",
            id="too many",
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.7"}, loadBalancerIP="192.0.2.8"),
            Reason.CONTRADICTORY_REQUEST,
            "remove one",
            id="[B5] field and annotation differ",
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.7", "metallb.io/loadBalancerIPs": "192.0.2.8"}),
            Reason.CONTRADICTORY_REQUEST,
            "metallb.io/loadBalancerIPs",
            id="two spellings of one annotation differ",
        ),
        pytest.param(
            service(V4, annotations={OUR_POOL: "gold", "metallb.universe.tf/address-pool": "silver"}),
            Reason.CONTRADICTORY_REQUEST,
            "metallb.universe.tf/address-pool",
            id="two spellings of the pool differ",
        ),
        pytest.param(
            service(V4, annotations={"baremetal-lb.io/sharing-key": "a", "metallb.io/allow-shared-ip": "b"}),
            Reason.CONTRADICTORY_REQUEST,
            "metallb.io/allow-shared-ip",
            id="two spellings of the sharing key differ",
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "fe80::1%eth0"}), Reason.INVALID_REQUEST, "zone", id="with a zone"
        ),
        pytest.param(
            service(V4, loadBalancerIP="2001:db8::7"), Reason.FAMILY_MISMATCH, "2001:db8::7", id="IPv6 for IPv4"
        ),
        pytest.param(service(V6, loadBalancerIP="192.0.2.7"), Reason.FAMILY_MISMATCH, "192.0.2.7", id="IPv4 for IPv6"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(raw: Any, reason: Reason, word: str) -> None:
    refusal = parse_request(raw)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert word in refusal.message


def test_a_request_for_a_family_is_found_by_family() -> None:
    request = parse_request(service(V6, loadBalancerIP="2001:db8::7"))

    assert isinstance(request, AllocationRequest)
    assert request.wanted == {V6: (ip_address("2001:db8::7"),)}
    assert request.is_explicit


def test_a_request_knows_what_its_pool_may_look_at() -> None:
    raw = {
        "metadata": {"namespace": "shop", "name": "web", "uid": "u", "labels": {"app": "x"}},
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": ["IPv6"],
            "clusterIPs": ["fd00::1"],
            "loadBalancerClass": "example.org/x",
        },
    }
    request = parse_request(parse_service(raw))

    assert isinstance(request, AllocationRequest)
    assert (request.uid, request.labels, request.load_balancer_class) == ("u", {"app": "x"}, "example.org/x")
    assert not request.is_explicit


OUR_FROM, THEIR_FROM = "baremetal-lb.io/from-pool", "metallb.io/ip-allocated-from-pool"


@pytest.mark.parametrize(
    ("annotations", "shown", "expected"),
    [
        pytest.param({}, ["192.0.2.1"], {}, id="no annotation: unknown"),
        pytest.param({OUR_FROM: "gold"}, [], {}, id="no address"),
        pytest.param({OUR_FROM: "gold"}, ["192.0.2.1"], {"192.0.2.1": "gold"}, id="one address"),
        pytest.param(
            {OUR_FROM: "gold"},
            ["192.0.2.1", "2001:db8::1"],
            {"192.0.2.1": "gold", "2001:db8::1": "gold"},
            id="one word stands for all",
        ),
        pytest.param(
            {OUR_FROM: "gold, silver"},
            ["2001:db8::1", "192.0.2.1"],
            {"2001:db8::1": "gold", "192.0.2.1": "silver"},
            id="in the order of the status",
        ),
        pytest.param(
            {OUR_FROM: ",silver"},
            ["2001:db8::1", "192.0.2.1"],
            {"192.0.2.1": "silver"},
            id="known of one only",
        ),
        pytest.param({OUR_FROM: "gold,silver"}, ["192.0.2.1"], {}, id="another number of words: unknown"),
        pytest.param({THEIR_FROM: "gold"}, ["192.0.2.1"], {"192.0.2.1": "gold"}, id="[B9] MetalLB's annotation"),
        pytest.param(
            {"metallb.universe.tf/ip-allocated-from-pool": "gold"},
            ["2001:db8::1"],
            {"2001:db8::1": "gold"},
            id="[B10] MetalLB's older annotation",
        ),
        pytest.param(
            {THEIR_FROM: "old", OUR_FROM: "gold"}, ["192.0.2.1"], {"192.0.2.1": "gold"}, id="[B9] ours is newer"
        ),
    ],
)
def test_where_addresses_come_from(annotations: dict[str, str], shown: list[str], expected: dict[str, str]) -> None:
    metadata = {"namespace": "shop", "name": "web", "annotations": annotations}
    ingress = [{"hostname": "lb.example"}, *({"ip": one} for one in shown)]
    view = parse_service({"metadata": metadata, "status": {"loadBalancer": {"ingress": ingress}}})

    assert {str(address): pool for address, pool in from_pools(view).items()} == expected


def test_where_addresses_come_from_is_no_request() -> None:
    """[B9] Two spellings that differ are no contradiction: neither is the user's."""
    request = parse_request(service(V4, annotations={OUR_FROM: "gold", THEIR_FROM: "silver"}))

    assert isinstance(request, AllocationRequest)
    assert not request.is_explicit
