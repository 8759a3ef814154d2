"""What a Service asks for, read from its spec and annotations."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Family
from baremetal_lb.allocator.request import AllocationRequest, Refusal, parse_request
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.reasons import Reason

V4, V6 = Family.IPV4, Family.IPV6
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
        pytest.param((V4,), "PreferDualStack", (V4,), False, id="dual stack preferred on a single-stack cluster"),
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
        pytest.param({OUR_ADDRESSES: "192.0.2.7"}, {}, {"192.0.2.7"}, id="our annotation"),
        pytest.param({THEIR_ADDRESSES: "192.0.2.7"}, {}, {"192.0.2.7"}, id="MetalLB's annotation"),
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
            id="field and annotation agree",
        ),
    ],
)
def test_wanted_addresses(annotations: dict[str, str], spec: dict[str, str], expected: set[str]) -> None:
    request = parse_request(service(V4, V6, policy="PreferDualStack", annotations=annotations, **spec))

    assert isinstance(request, AllocationRequest)
    assert {str(address) for address in request.wanted.values()} == expected


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
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.7,192.0.2.8"}),
            Reason.INVALID_REQUEST,
            "one address per family",
            id="two of one family",
        ),
        pytest.param(
            service(V6, annotations={OUR_ADDRESSES: "2001:db8::7,2001:db8::8"}),
            Reason.INVALID_REQUEST,
            "one address per family",
            id="two of IPv6",
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.7"}, loadBalancerIP="192.0.2.8"),
            Reason.CONTRADICTORY_REQUEST,
            "remove one",
            id="field and annotation differ",
        ),
        pytest.param(
            service(V4, annotations={OUR_ADDRESSES: "192.0.2.7", "metallb.io/loadBalancerIPs": "192.0.2.8"}),
            Reason.CONTRADICTORY_REQUEST,
            "metallb.io/loadBalancerIPs",
            id="two spellings of one annotation differ",
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
    assert request.wanted == {V6: ip_address("2001:db8::7")}
    assert request.is_explicit
