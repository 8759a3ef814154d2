"""Whatever a MetalLB pool says, ours has the same addresses; and a Service of which nothing is said keeps its own."""

import json
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import AddressRange, merged
from baremetal_lb.allocator.allocate import Allocation
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.cluster.service import parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.migration.metallb import Migration, migrate

Raw = dict[str, Any]


def canonical(selector: Raw) -> str:
    return json.dumps(selector, sort_keys=True)


LABELS = st.dictionaries(st.sampled_from(("team", "tier")), st.sampled_from(("a", "b")), max_size=2)
SELECTORS = st.lists(st.builds(lambda labels: {"matchLabels": labels}, LABELS), max_size=3, unique_by=canonical)
ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(ip_address(number))),
    st.integers(0, 2**64 - 1).map(lambda number: str(ip_address((0x20010DB8 << 96) + number))),
)
BLANKS = st.sampled_from(("", " ", "  "))


def bits(address: str) -> int:
    return ip_address(address).max_prefixlen


CIDRS = ADDRESSES.flatmap(lambda one: st.integers(0, bits(one)).map(lambda length: f"{one}/{length}"))
RANGES = st.tuples(ADDRESSES, st.integers(0, 2000), BLANKS, BLANKS).map(
    lambda parts: f"{parts[0]}{parts[2]}-{parts[3]}{last(parts[0], parts[1])}"
)
ENTRIES = st.one_of(CIDRS, RANGES)
ALLOCATIONS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(-5, 50),
        "namespaces": st.lists(st.sampled_from(("shop", "bank", "yard")), unique=True),
        "namespaceSelectors": SELECTORS,
        "serviceSelectors": SELECTORS,
    },
)
SPECS = st.fixed_dictionaries(
    {"addresses": st.lists(ENTRIES, min_size=1, max_size=8)},
    optional={
        "autoAssign": st.none() | st.booleans(),
        "avoidBuggyIPs": st.booleans(),
        "serviceAllocation": st.none() | ALLOCATIONS,
    },
)


def last(first: str, more: int) -> str:
    start = ip_address(first)
    return str(type(start)(min(int(start) + more, 2**start.max_prefixlen - 1)))


def raw_pool(name: str, spec: Raw) -> Raw:
    metadata = {"name": name, "namespace": "metallb-system"}
    return {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": metadata, "spec": spec}


def read_as_metallb_does(entry: str) -> AddressRange:
    if "-" in entry:
        first, last_one = (ip_address(end.strip()) for end in entry.split("-"))
        return AddressRange(first, last_one)
    network = ip_network(entry, strict=False)
    return AddressRange(network[0], network[-1])


def the_pool(migration: Migration) -> IPAddressPool:
    (pool,) = (IPAddressPool.read(one) for one in migration.manifests if one["kind"] == "IPAddressPool")
    return pool


@given(SPECS)
def test_a_pool_has_the_same_addresses_for_the_same_services(spec: Raw) -> None:
    ours = the_pool(migrate([raw_pool("east", spec)])).spec
    assert merged(entry.block for entry in ours.addresses) == merged(map(read_as_metallb_does, spec["addresses"]))
    assert ours.auto_assign is (spec.get("autoAssign") is not False)
    assert ours.avoid_buggy_ips is spec.get("avoidBuggyIPs", False)
    allocation = spec.get("serviceAllocation")
    assert (ours.service_allocation is None) is (allocation is None)
    if ours.service_allocation and allocation:
        assert ours.service_allocation.namespaces == tuple(allocation.get("namespaces", ()))
        assert len(ours.service_allocation.namespace_selectors) == len(allocation.get("namespaceSelectors", ()))
        assert len(ours.service_allocation.service_selectors) == len(allocation.get("serviceSelectors", ()))


POOLS = [
    raw_pool("east", {"addresses": ["192.0.2.0/29", "2001:db8:7::/125"]}),
    raw_pool("west", {"addresses": ["192.0.2.128/29"], "serviceAllocation": {"namespaces": ["bank"]}}),
]
ADVERTISEMENT = {**raw_pool("lan", {}), "kind": "L2Advertisement"}
INGRESS = st.lists(
    st.sampled_from(("192.0.2.1", "192.0.2.2", "192.0.2.129", "203.0.113.1", "2001:db8:7::1", "2001:db8:7::2")),
    max_size=2,
    unique_by=lambda ip: ip_address(ip).version,
)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "metallb.io/allow-shared-ip": st.sampled_from(("", "door", "gate")),
        "baremetal-lb.io/sharing-namespaces": st.sampled_from(("*", "bank", "shop")),
        "metallb.io/address-pool": st.sampled_from(("east", "west", "gone")),
        "metallb.io/loadBalancerIPs": st.sampled_from(("192.0.2.1", "2001:db8:7::1", "nonsense")),
        "metallb.universe.tf/loadBalancerIPs": st.sampled_from(("192.0.2.1", "192.0.2.2")),
    },
)


@st.composite
def services(draw: st.DrawFn) -> list[Raw]:
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": f"s{number}",
                "namespace": draw(st.sampled_from(("shop", "bank"))),
                "annotations": draw(ANNOTATIONS),
                "uid": str(number),
                "resourceVersion": "1",
                "creationTimestamp": f"2026-01-0{draw(st.integers(1, 9))}T00:00:00Z",
            },
            "spec": {
                "type": "LoadBalancer",
                "clusterIPs": ["10.96.0.9", "fd00::9"],
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": draw(st.sampled_from(("PreferDualStack", "RequireDualStack"))),
                "externalTrafficPolicy": draw(st.sampled_from(("Cluster", "Local"))),
                "selector": draw(st.sampled_from(({}, {"app": "a"}, {"app": "b"}))),
                "ports": [{"port": draw(st.integers(1, 3))}],
                "loadBalancerIP": draw(st.sampled_from(("", "", "192.0.2.1"))),
            },
            "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in draw(INGRESS)]}},
        }
        for number in range(draw(st.integers(1, 4)))
    ]


@given(services())
def test_a_service_of_which_nothing_grave_is_said_keeps_its_addresses(raw_services: list[Raw]) -> None:
    """The real allocator, started on the converted pools, moves nobody of whom the notes do not warn."""
    migration = migrate([*POOLS, ADVERTISEMENT, *raw_services])
    config, _ = compile_config([one for one in migration.manifests if one["kind"] == "IPAddressPool"], ())
    warned = {note.subject for note in migration.notes if note.severity == "error"}
    assigner = Assigner()
    for view in map(parse_service, raw_services):
        assigner.service_changed(view.key, view, now=0.0)
    assigner.start(config)
    for entry in assigner.decide(limit=100):
        if f"Service {entry.key}" not in warned and entry.view.ingress:
            assert isinstance(entry.outcome, Allocation)
            assert set(entry.view.ingress) <= set(entry.outcome.addresses)
            assert entry.lost is None


WORDS = st.sampled_from(("", "east", "192.0.2.0/24", "metallb.io/v1beta1", "v1", "layer2", "LoadBalancer"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
KINDS = ("IPAddressPool", "AddressPool", "L2Advertisement", "BGPPeer", "Service", "Namespace", "ConfigMap", "List")
FIELDS = (
    *("addresses", "autoAssign", "serviceAllocation", "protocol", "bgpAdvertisements", "ipAddressPools", "interfaces"),
    *("nodeSelectors", "ipAddressPoolSelectors", "serviceSelectors", "type", "ports", "ipFamilies", "clusterIPs"),
)
OLD_FIELDS = ("peers", "bgp-communities", "bfd-profiles", "address-pools")
HAND_MADE = st.fixed_dictionaries(
    {
        "apiVersion": WORDS,
        "kind": st.sampled_from(KINDS),
        "metadata": ANYTHING
        | st.fixed_dictionaries({"name": WORDS}, optional={"labels": ANYTHING, "namespace": ANYTHING}),
    },
    optional={
        "spec": ANYTHING | st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3),
        "status": ANYTHING,
        "items": ANYTHING,
        "data": ANYTHING
        | st.dictionaries(st.sampled_from(OLD_FIELDS), ANYTHING, max_size=2).map(
            lambda one: {"config": json.dumps(one)}
        ),
    },
)


@given(st.lists(ANYTHING | HAND_MADE, max_size=4))
def test_whatever_is_handed_over_is_answered(documents: list[object]) -> None:
    for made in migrate(documents).manifests:
        (IPAddressPool if made["kind"] == "IPAddressPool" else L2Advertisement).read(made)
