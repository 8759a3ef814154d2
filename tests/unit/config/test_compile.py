"""What becomes of the custom resources: good ones work, bad ones harm only themselves."""

from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

Raw = dict[str, Any]


def pool(name: str, *addresses: str, day: int = 1, labels: dict[str, str] | None = None, **metadata: str) -> Raw:
    metadata = {"name": name, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"} | metadata
    return {"metadata": {**metadata, "labels": labels or {}}, "spec": {"addresses": list(addresses)}}


def advertisement(name: str = "all", **spec: Any) -> Raw:
    return {"metadata": {"name": name}, "spec": spec}


def problem(kind: str, name: str, reason: Reason, message: str, *, fatal: bool = True) -> Problem:
    return Problem(kind, name, reason, message, fatal)


def test_nothing_compiles_to_nothing() -> None:
    config, problems = compile_config([], [])
    assert (config.pools, config.l2_advertisements, problems) == ((), (), ())


def test_pools_are_in_order_of_age_then_of_name() -> None:
    config, problems = compile_config(
        [pool("c", "192.0.2.0/28"), pool("a", "192.0.2.16/28", day=2), pool("b", "2001:db8::/64")], []
    )
    assert [one.name for one in config.pools] == ["b", "c", "a"]
    assert not problems


def test_a_pool_keeps_what_is_written() -> None:
    raw = pool("lan", "192.0.2.128/25", "2001:db8::/64", "192.0.2.0/25", labels={"tier": "gold"})
    raw["spec"] |= {"autoAssign": False, "avoidBuggyIPs": True}
    config, _ = compile_config([raw], [])
    (lan,) = config.pools
    assert lan.ranges == tuple(map(AddressRange.parse, raw["spec"]["addresses"]))
    assert (lan.auto_assign, lan.avoid_buggy_ips, lan.labels, lan.deleting) == (False, True, {"tier": "gold"}, False)


def test_a_pool_that_is_being_deleted_stays_marked() -> None:
    config, problems = compile_config([pool("lan", "192.0.2.0/24", deletionTimestamp="2026-02-01T00:00:00Z")], [])
    assert [one.deleting for one in config.pools] == [True]
    assert not problems


def test_an_invalid_pool_is_left_out_with_all_its_faults() -> None:
    config, problems = compile_config(
        [
            pool("bad", "192.0.2.9-192.0.2.1", "2001:db8::7"),
            pool("good", "192.0.2.0/24"),
            {"metadata": {"name": "odd"}},
        ],
        [],
    )
    assert [one.name for one in config.pools] == ["good"]
    assert [(one.name, one.reason, one.fatal) for one in problems] == [
        ("bad", Reason.INVALID_SPEC, True),
        ("bad", Reason.INVALID_SPEC, True),
        ("odd", Reason.INVALID_SPEC, True),
    ]


@pytest.mark.parametrize(
    ("older", "newer", "common"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.128/25", "192.0.2.128/25", id="IPv4, the newer inside the older"),
        pytest.param("2001:db8::/96", "2001:db8::/64", "2001:db8::/96", id="IPv6, the older inside the newer"),
        pytest.param("192.0.2.0-192.0.2.9", "192.0.2.9-192.0.2.20", "192.0.2.9/32", id="one IPv4 address"),
        pytest.param("2001:db8::-2001:db8::9", "2001:db8::8-2001:db8::f", "2001:db8::8/127", id="two IPv6 addresses"),
    ],
)
def test_of_pools_that_overlap_the_older_works(older: str, newer: str, common: str) -> None:
    config, problems = compile_config([pool("a", newer, day=2), pool("z", older, day=1)], [])
    assert [one.name for one in config.pools] == ["z"]
    message = (
        f"spec.addresses: {common} is in the older pool z too, so this pool is not used; remove it from one of the two"
    )
    assert problems == (problem("IPAddressPool", "a", Reason.CONFLICT, message),)


def test_of_pools_of_one_age_the_first_by_name_works() -> None:
    config, _ = compile_config([pool("b", "192.0.2.0/24"), pool("a", "192.0.2.7/32")], [])
    assert [one.name for one in config.pools] == ["a"]


def test_a_pool_that_overlaps_two_is_told_of_both() -> None:
    _, problems = compile_config(
        [pool("c", "192.0.2.0/24", day=3), pool("b", "192.0.2.64/26", day=2), pool("a", "192.0.2.0/26", day=1)], []
    )
    assert [one.name for one in problems] == ["c", "c"]
    assert "192.0.2.0/26 is in the older pool a" in problems[0].message
    assert "192.0.2.64/26 is in the older pool b" in problems[1].message


def test_of_several_shared_ranges_the_first_is_told() -> None:
    older = pool("older", "192.0.2.0/24", "2001:db8::/64")
    _, problems = compile_config([older, pool("younger", "192.0.2.7/32", "2001:db8::7/128", day=2)], [])
    assert ["192.0.2.7/32" in one.message for one in problems] == [True]


def test_a_pool_that_is_left_out_stands_in_nobodys_way() -> None:
    config, problems = compile_config(
        [
            pool("first", "192.0.2.0/26", day=1),
            pool("second", "192.0.2.0/24", day=2),
            pool("third", "192.0.2.128/25", day=3),
            pool("invalid", "192.0.2.200", "192.0.2.192/26", day=1),
        ],
        [],
    )
    assert [one.name for one in config.pools] == ["first", "third"]
    assert {one.name for one in problems} == {"invalid", "second"}


def test_a_pool_that_overlaps_itself_works_and_each_address_counts_once() -> None:
    config, problems = compile_config([pool("lan", "192.0.2.128/25", "192.0.2.0/24", "2001:db8::/64")], [])
    assert [str(block) for block in config.pools[0].ranges] == ["192.0.2.0/24", "2001:db8::/64"]
    message = "spec.addresses: 192.0.2.128/25 and 192.0.2.0/24 overlap; what they share counts once, remove it from one"
    assert problems == (problem("IPAddressPool", "lan", Reason.OVERLAPPING_ENTRIES, message, fatal=False),)


GOLD, SILVER = {"tier": "gold"}, {"tier": "silver"}
POOLS = [pool("a", "192.0.2.0/26", labels=GOLD), pool("b", "2001:db8::/64", labels=SILVER), pool("c", "192.0.2.64/26")]


@pytest.mark.parametrize(
    ("spec", "pools", "all_pools"),
    [
        pytest.param({}, {"a", "b", "c"}, True, id="without names and selectors all pools"),
        pytest.param({"ipAddressPools": ["b"]}, {"b"}, False, id="a pool by name"),
        pytest.param({"ipAddressPoolSelectors": [{"matchLabels": GOLD}]}, {"a"}, False, id="a pool by label"),
        pytest.param(
            {"ipAddressPools": ["c"], "ipAddressPoolSelectors": [{"matchLabels": GOLD}]},
            {"a", "c"},
            False,
            id="names and labels add up",
        ),
        pytest.param(
            {"ipAddressPoolSelectors": [{"matchLabels": GOLD}, {"matchLabels": SILVER}]},
            {"a", "b"},
            False,
            id="selectors add up",
        ),
        pytest.param(
            {"ipAddressPoolSelectors": [{}]}, {"a", "b", "c"}, False, id="an empty selector matches every pool"
        ),
        pytest.param({"ipAddressPoolSelectors": [{"matchLabels": {"x": "y"}}]}, set(), False, id="no pool by label"),
        pytest.param({"ipAddressPools": ["zz"]}, set(), False, id="no pool by name"),
    ],
)
def test_an_advertisement_speaks_for(spec: Raw, pools: set[str], all_pools: bool) -> None:
    config, problems = compile_config(POOLS, [advertisement(**spec)])
    (one,) = config.l2_advertisements
    assert one.pools == pools
    assert bool(problems) is not bool(pools)
    assert one.selects_all_pools is all_pools


def test_an_advertisement_keeps_nodes_and_interfaces() -> None:
    raw = advertisement(nodeSelectors=[{"matchLabels": {"rack": "a"}}], interfaces=["eth1", "eth0"])
    (one,) = compile_config(POOLS, [raw])[0].l2_advertisements
    assert one.interfaces == {"eth0", "eth1"}
    assert [one.selects_node({"rack": rack}) for rack in ("a", "b")] == [True, False]


@pytest.mark.parametrize(
    ("spec", "on_link_only", "cordoned_leave"),
    [
        pytest.param({}, False, False, id="by default any segment, and cordoned nodes stay"),
        pytest.param({"segment": "OnLink"}, True, False, id="its own segment only"),
        pytest.param({"cordonedNodes": "Leave"}, False, True, id="cordoned nodes leave"),
    ],
)
def test_an_advertisement_says_which_segments_and_nodes(spec: Raw, on_link_only: bool, cordoned_leave: bool) -> None:
    (one,) = compile_config(POOLS, [advertisement(**spec)])[0].l2_advertisements
    assert (one.on_link_only, one.cordoned_leave) == (on_link_only, cordoned_leave)


@pytest.mark.parametrize(("spec", "answers"), [({}, False), ({"answerPing": True}, True)])
def test_an_advertisement_says_whether_pings_are_answered(spec: Raw, answers: bool) -> None:
    (one,) = compile_config(POOLS, [advertisement(**spec)])[0].l2_advertisements
    assert one.answers_ping is answers


@pytest.mark.parametrize(
    ("spec", "preempt_after"),
    [
        pytest.param({}, 30.0, id="after 30 s unless it says otherwise"),
        pytest.param({"preemptionDelaySeconds": 0}, 0.0, id="at once"),
        pytest.param({"preemption": "Never", "preemptionDelaySeconds": 5}, None, id="never"),
    ],
)
def test_an_advertisement_keeps_preferences(spec: Raw, preempt_after: float | None) -> None:
    """The weights of all selectors that match add up."""
    preferred = [
        {"weight": 10, "preference": {"matchLabels": {"rack": "a"}}},
        {"weight": 5, "preference": {"matchLabels": {"uplink": "fast"}}},
    ]
    (one,) = compile_config(POOLS, [advertisement(preferredNodeSelectors=preferred, **spec)])[0].l2_advertisements
    labels: tuple[dict[str, str], ...] = ({"rack": "a", "uplink": "fast"}, {"rack": "a"}, {"uplink": "fast"}, {})
    assert [one.preference(some) for some in labels] == [15, 10, 5, 0]
    assert one.preempt_after == preempt_after


def test_an_advertisement_keeps_service_selectors() -> None:
    raw = advertisement(serviceSelectors=[{"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "api"}}])
    (one,) = compile_config(POOLS, [raw])[0].l2_advertisements
    assert [one.selects_service({"app": app}) for app in ("web", "api", "other")] == [True, True, False]
    (unrestricted,) = compile_config(POOLS, [advertisement()])[0].l2_advertisements
    assert unrestricted.selects_service({})


def test_an_unknown_pool_is_told_and_the_known_ones_work() -> None:
    config, problems = compile_config(POOLS, [advertisement(ipAddressPools=["a", "zz"])])
    assert config.l2_advertisements[0].pools == {"a"}
    message = "spec.ipAddressPools[1]: there is no pool zz; create it or remove the name"
    assert problems == (problem("L2Advertisement", "all", Reason.UNKNOWN_POOL, message, fatal=False),)


def test_a_pool_that_is_left_out_is_not_unknown() -> None:
    config, problems = compile_config([pool("bad", "2001:db8::7")], [advertisement(ipAddressPools=["bad"])])
    assert config.l2_advertisements[0].pools == frozenset()
    assert [one.name for one in problems] == ["bad"]


def test_selectors_that_match_no_pool_are_told() -> None:
    _, problems = compile_config(POOLS, [advertisement(ipAddressPoolSelectors=[{"matchLabels": {"x": "y"}}])])
    assert [(one.name, one.reason, one.fatal) for one in problems] == [("all", Reason.NO_POOL_SELECTED, False)]


def test_an_invalid_advertisement_is_left_out() -> None:
    config, problems = compile_config(POOLS, [advertisement("bad", interfaces=["eth0:1"]), advertisement("good")])
    assert [one.name for one in config.l2_advertisements] == ["good"]
    assert [(one.kind, one.name, one.reason) for one in problems] == [("L2Advertisement", "bad", Reason.INVALID_SPEC)]
