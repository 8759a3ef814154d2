"""What a compiled pool gives, to whom, in which order, and what it is warned of."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import Address, AddressRange, Family
from baremetal_lb.api.pool import AllocationOrder, ConflictPolicy, ReclaimPolicy
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Admission, ConflictingHost, Pool, Surroundings
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

Raw = dict[str, Any]
GOLD = {"matchLabels": {"tier": "gold"}}


def raw_pool(name: str = "lan", *addresses: str, day: int = 1, **spec: Any) -> Raw:
    metadata = {"name": name, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"}
    return {"metadata": metadata, "spec": {"addresses": list(addresses or ("192.0.2.0/24",)), **spec}}


def compiled(*addresses: str, **spec: Any) -> Pool:
    config, problems = compile_config([raw_pool("lan", *addresses, **spec)], [])
    assert problems == ()
    return config.pools[0]


def texts(ranges: tuple[AddressRange, ...]) -> list[str]:
    return list(map(str, ranges))


@pytest.mark.parametrize(
    ("addresses", "excluded", "given"),
    [
        pytest.param(["192.0.2.0/29"], ["192.0.2.0/32"], ["192.0.2.1-192.0.2.7"], id="the first of IPv4"),
        pytest.param(["2001:db8::/126"], ["2001:db8::3/128"], ["2001:db8::-2001:db8::2"], id="the last of IPv6"),
        pytest.param(
            ["192.0.2.0/29"],
            ["192.0.2.1-192.0.2.2", "192.0.2.2/32"],
            ["192.0.2.0/32", "192.0.2.3-192.0.2.7"],
            id="some in between, twice",
        ),
        pytest.param(["192.0.2.0/30"], ["192.0.2.0/24", "2001:db8::/64"], [], id="all, and more than the pool has"),
        pytest.param(["192.0.2.0/30"], ["198.51.100.0/24"], ["192.0.2.0/30"], id="what the pool does not have"),
    ],
)
def test_excluded_addresses_are_the_pools_but_not_given(
    addresses: list[str], excluded: list[str], given: list[str]
) -> None:
    pool = compiled(*addresses, excludedAddresses=excluded)
    assert texts(pool.giving) == given
    assert texts(pool.ranges) == addresses


@pytest.mark.parametrize(
    ("entry", "unused"),
    [
        pytest.param("192.0.2.0/30", ["192.0.2.0", "192.0.2.3"], id="the first and the last of an IPv4 CIDR"),
        pytest.param("2001:db8::/126", ["2001:db8::"], id="the first of an IPv6 CIDR"),
        pytest.param("192.0.2.0/31", [], id="none of an IPv4 CIDR of two"),
        pytest.param("192.0.2.0/32", [], id="none of an IPv4 CIDR of one"),
        pytest.param("2001:db8::/127", [], id="none of an IPv6 CIDR of two"),
        pytest.param("2001:db8::/128", [], id="none of an IPv6 CIDR of one"),
        pytest.param("192.0.2.0-192.0.2.3", [], id="none of an IPv4 range, although it is a network"),
        pytest.param("2001:db8::-2001:db8::3", [], id="none of an IPv6 range, although it is a network"),
    ],
)
def test_network_and_broadcast_addresses_stay_unused_where_asked(entry: str, unused: list[str]) -> None:
    (block,) = compiled(entry).ranges
    careful = compiled(entry, avoidNetworkAndBroadcast=True)
    assert [str(one) for one in block.addresses() if not careful.usable(one)] == unused
    assert texts(compiled(entry).giving) == [str(block)]


def test_each_cidr_has_its_own_network_address() -> None:
    pool = compiled("192.0.2.0/29", "192.0.2.8/29", avoidNetworkAndBroadcast=True, excludedAddresses=["192.0.2.1/32"])
    assert texts(pool.excluded) == ["192.0.2.0/32", "192.0.2.1/32", "192.0.2.7/32", "192.0.2.8/32", "192.0.2.15/32"]
    assert pool.capacity(Family.IPV4) == 11


def test_a_pool_keeps_how_it_is_given_out() -> None:
    pool = compiled(
        allocation="Sticky", reclaimPolicy="Reassign", conflictPolicy="Yield", loadBalancerClasses=["fast", "slow"]
    )
    assert (pool.order, pool.reclaim_policy) == (AllocationOrder.STICKY, ReclaimPolicy.REASSIGN)
    assert pool.conflict_policy is ConflictPolicy.YIELD
    assert pool.classes == {"fast", "slow"}


@pytest.mark.parametrize(("policy", "counts"), [("Quarantine", True), ("Defend", False), ("Yield", False)])
def test_the_quarantine_in_the_status_counts_under_its_policy_only(policy: str, counts: bool) -> None:
    host = {"mac": "02:00:00:00:00:99", "node": "n1", "interface": "eth0"}
    entries = [{"address": text, **host} for text in ("192.0.2.10", "2001:db8::10")]
    raw = raw_pool("lan", "192.0.2.0/24", "2001:db8::/64", conflictPolicy=policy)
    raw["status"] = {"quarantined": [{**entries[0], "until": "2026-01-01T00:10:00Z"}, entries[1]]}

    config, _ = compile_config([raw], [])

    known = ConflictingHost(**host)
    expected = {ip_address("192.0.2.10"): known, ip_address("2001:db8::10"): known}
    assert config.quarantined == (expected if counts else {})


def test_a_pool_without_rules_is_for_everyone() -> None:
    pool = compiled()
    assert (pool.is_for_some, pool.priority, pool.exclusive, pool.namespace_quota) == (False, 0, False, None)
    assert pool.admission == Admission()


def test_a_pool_keeps_for_whom_it_is() -> None:
    pool = compiled(
        serviceAllocation={
            "priority": 3,
            "namespaces": ["web"],
            "namespaceSelectors": [GOLD],
            "serviceSelectors": [{"matchLabels": {"app": "shop"}}],
            "exclusive": True,
            "namespaceQuota": 0,
        }
    )
    assert (pool.is_for_some, pool.priority, pool.exclusive, pool.namespace_quota) == (True, 3, True, 0)
    assert [
        pool.admission.admits_namespace(name, labels)
        for name, labels in (("web", {}), ("other", {"tier": "gold"}), ("other", {}))
    ] == [True, True, False]
    assert [pool.admission.admits_service({"app": app}) for app in ("shop", "mail")] == [True, False]


def test_empty_rules_are_rules() -> None:
    """As with MetalLB: the pool admits everyone, and is tried before those without rules."""
    pool = compiled(serviceAllocation={})
    assert (pool.is_for_some, pool.admission) == (True, Admission())


def test_pools_are_in_the_order_in_which_they_are_tried() -> None:
    config, problems = compile_config(
        [
            raw_pool("for-all-new", "192.0.2.0/28", day=4),
            raw_pool("for-all-old", "192.0.2.16/28", day=1),
            raw_pool("last", "192.0.2.32/28", day=1, serviceAllocation={"priority": 0}),
            raw_pool("second", "192.0.2.48/28", day=3, serviceAllocation={"priority": 2}),
            raw_pool("first", "2001:db8::/64", day=4, serviceAllocation={"priority": 1}),
            raw_pool("third", "2001:db8:1::/64", day=4, serviceAllocation={"priority": 2}),
        ],
        [],
    )
    assert [one.name for one in config.pools] == ["first", "second", "third", "last", "for-all-old", "for-all-new"]
    assert not problems


def test_of_pools_that_overlap_the_older_works_whatever_its_priority() -> None:
    config, problems = compile_config(
        [raw_pool("older", day=1), raw_pool("newer", day=2, serviceAllocation={"priority": 1})], []
    )
    assert [one.name for one in config.pools] == ["older"]
    assert [(one.name, one.reason, one.fatal) for one in problems] == [("newer", Reason.CONFLICT, True)]


def test_pools_overlap_also_where_one_excludes_what_they_share() -> None:
    """What is excluded belongs to the pool: its Services may still hold such addresses."""
    config, _ = compile_config(
        [raw_pool("older", excludedAddresses=["192.0.2.7/32"]), raw_pool("z", "192.0.2.7/32")], []
    )
    assert [one.name for one in config.pools] == ["older"]


@pytest.mark.parametrize(
    ("draining", "living", "left"),
    [
        pytest.param(["192.0.2.0/24"], ["192.0.2.0/24"], [], id="all of it"),
        pytest.param(
            ["192.0.2.0/29", "2001:db8::/126"],
            ["192.0.2.0/30", "2001:db8::2-2001:db8::9"],
            ["192.0.2.4/30", "2001:db8::/127"],
            id="a part of each family",
        ),
        pytest.param(["192.0.2.0/30"], ["192.0.2.8/30"], ["192.0.2.0/30"], id="nothing where they are apart"),
    ],
)
def test_a_pool_that_is_being_deleted_gives_way_to_a_newer_one(
    draining: list[str], living: list[str], left: list[str]
) -> None:
    older, newer = raw_pool("older", *draining, day=1), raw_pool("newer", *living, day=2)
    older["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    config, problems = compile_config([newer, older], [])
    assert problems == ()
    by_name = {pool.name: pool for pool in config.pools}
    assert texts(by_name["newer"].ranges) == [str(AddressRange.parse(text)) for text in living]
    assert texts(by_name["older"].ranges) == left


def test_of_two_pools_that_are_being_deleted_the_older_keeps_what_both_have() -> None:
    pools = [raw_pool("older", "192.0.2.0/29", day=1), raw_pool("newer", "192.0.2.0/28", day=2)]
    for pool in pools:
        pool["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    config, problems = compile_config(pools, [])
    assert problems == ()
    assert [(one.name, texts(one.ranges)) for one in config.pools] == [
        ("older", ["192.0.2.0/29"]),
        ("newer", ["192.0.2.8/29"]),
    ]


def nodes(*addresses: str) -> dict[Address, str]:
    return {ip_address(text): f"worker-{number}" for number, text in enumerate(addresses)}


def ranges(*texts: str) -> tuple[AddressRange, ...]:
    return tuple(map(AddressRange.parse, texts))


@pytest.mark.parametrize(
    ("pool", "surroundings", "named"),
    [
        pytest.param(
            raw_pool("lan", "192.0.2.0/24"),
            Surroundings(node_addresses=nodes("192.0.2.11")),
            "192.0.2.11 (node worker-0)",
            id="the IPv4 address of a node",
        ),
        pytest.param(
            raw_pool("lan", "2001:db8::/64"),
            Surroundings(node_addresses=nodes("2001:db8::11")),
            "2001:db8::11 (node worker-0)",
            id="the IPv6 address of a node",
        ),
        pytest.param(
            raw_pool("lan", "10.244.1.7/32"),
            Surroundings(pod_ranges=ranges("10.244.1.0/24")),
            "10.244.1.0/24 (Pods)",
            id="a range of Pods around the pool",
        ),
        pytest.param(
            raw_pool("lan", "fd00::/16"),
            Surroundings(service_ranges=ranges("fd00:10:96::/112")),
            "fd00:10:96::/112 (Services)",
            id="a range of Services in the pool",
        ),
        pytest.param(
            raw_pool("lan", "0.0.0.0/0", "::/0"),
            Surroundings(
                nodes("2001:db8::11", "192.0.2.11"), ranges("10.244.0.0/16", "fd00::/64"), ranges("10.96.0.0/16")
            ),
            "10.96.0.0/16 (Services), 10.244.0.0/16 (Pods), 192.0.2.11 (node worker-1) and 2 more",
            id="of many, the first three",
        ),
    ],
)
def test_a_pool_is_warned_of_what_the_cluster_itself_uses(pool: Raw, surroundings: Surroundings, named: str) -> None:
    config, problems = compile_config([pool], [], surroundings=surroundings)
    message = (
        f"spec.addresses: the cluster itself uses {named}; "
        "take them out of the pool, or name them in spec.excludedAddresses"
    )
    assert problems == (Problem("IPAddressPool", "lan", Reason.OVERLAPS_CLUSTER, message, fatal=False),)
    assert [one.name for one in config.pools] == ["lan"]


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(raw_pool("lan", "198.51.100.0/24"), id="it has other addresses"),
        pytest.param(raw_pool("lan", excludedAddresses=["192.0.2.11/32"]), id="it excludes them"),
    ],
)
def test_a_pool_is_not_warned_where(pool: Raw) -> None:
    config, problems = compile_config([pool], [], surroundings=Surroundings(nodes("192.0.2.11")))
    assert problems == ()
    assert config.node_addresses == nodes("192.0.2.11")


def test_a_pool_that_is_not_used_is_not_warned() -> None:
    pools = [raw_pool("older", "192.0.2.0/28"), raw_pool("newer", "192.0.2.0/24", day=2)]
    _, problems = compile_config(pools, [], surroundings=Surroundings(nodes("192.0.2.77")))
    assert [one.reason for one in problems] == [Reason.CONFLICT]
