"""Whatever users write, compiling it answers, and the answer depends on the objects only."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import RangeIndex
from baremetal_lb.config.compile import compile_config

Raw = dict[str, Any]

LABELS: tuple[dict[str, str], ...] = ({}, {"tier": "gold"}, {"tier": "silver"})
names = st.sampled_from("abcdef")
bytes_ = st.integers(0, 255)
entries = st.one_of(
    st.builds("192.0.2.{}-192.0.2.{}".format, bytes_, bytes_),
    st.builds("2001:db8::{:x}-2001:db8::{:x}".format, bytes_, bytes_),
    st.builds("192.0.{}.0/24".format, st.integers(0, 4)),
    st.builds("2001:db8::{:x}0/124".format, st.integers(0, 15)),
    st.sampled_from(("192.0.2.1", "", "2001:db8::/129", "192.0.2.1-2001:db8::1")),
)
selectors = st.lists(st.builds(lambda labels: {"matchLabels": labels}, st.sampled_from(LABELS)), max_size=2)


def raw_object(name: str, day: int, labels: Raw, spec: Raw) -> Raw:
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z", "labels": labels},
        "spec": spec,
    }


raw_pools = st.lists(
    st.builds(
        raw_object,
        names,
        st.integers(1, 3),
        st.sampled_from(LABELS),
        st.fixed_dictionaries({"addresses": st.lists(entries, max_size=4)}),
    ),
    max_size=6,
    unique_by=lambda raw: str(raw["metadata"]["name"]),
)
raw_advertisements = st.lists(
    st.builds(
        raw_object,
        names,
        st.just(1),
        st.just({}),
        st.fixed_dictionaries(
            {
                "ipAddressPools": st.lists(names, max_size=2),
                "ipAddressPoolSelectors": selectors,
                "nodeSelectors": selectors,
                "interfaces": st.lists(st.sampled_from(("eth0", "eth1", "eth0:1")), max_size=2),
            }
        ),
    ),
    max_size=4,
    unique_by=lambda raw: str(raw["metadata"]["name"]),
)


@given(raw_pools, raw_advertisements, st.randoms())
def test_the_order_of_objects_does_not_matter(pools: list[Raw], advertisements: list[Raw], random: Any) -> None:
    compiled = compile_config(pools, advertisements)
    random.shuffle(pools)
    random.shuffle(advertisements)
    assert compile_config(pools, advertisements) == compiled


@given(raw_pools, raw_advertisements)
def test_every_object_works_or_has_a_fatal_problem(pools: list[Raw], advertisements: list[Raw]) -> None:
    config, problems = compile_config(pools, advertisements)
    left_out = {(one.kind, one.name) for one in problems if one.fatal}
    working = {("IPAddressPool", one.name) for one in config.pools} | {
        ("L2Advertisement", one.name) for one in config.l2_advertisements
    }
    written = {("IPAddressPool", raw["metadata"]["name"]) for raw in pools} | {
        ("L2Advertisement", raw["metadata"]["name"]) for raw in advertisements
    }
    assert working | left_out == written
    assert not working & left_out


@given(raw_pools)
def test_pools_of_a_config_share_no_address(pools: list[Raw]) -> None:
    config, _ = compile_config(pools, [])
    RangeIndex((block, pool.name) for pool in config.pools for block in pool.ranges)


@given(raw_pools, raw_pools)
def test_a_younger_pool_harms_no_older_one(older: list[Raw], younger: list[Raw]) -> None:
    for raw in younger:
        raw["metadata"] |= {"name": f"younger-{raw['metadata']['name']}", "creationTimestamp": "2026-02-01T00:00:00Z"}
    before, _ = compile_config(older, [])
    after, _ = compile_config([*older, *younger], [])
    assert after.pools[: len(before.pools)] == before.pools


@given(raw_pools, raw_advertisements)
def test_an_advertisement_speaks_for_pools_that_work(pools: list[Raw], advertisements: list[Raw]) -> None:
    config, _ = compile_config(pools, advertisements)
    working = {pool.name for pool in config.pools}
    for one in config.l2_advertisements:
        assert one.pools <= working
        assert not one.selects_all_pools or one.pools == working
