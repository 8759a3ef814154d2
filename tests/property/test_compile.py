"""Whatever users write, compiling it answers, and the answer depends on the objects only."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from baremetal_lb.addresses import Address, RangeIndex
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Claim, L2Advertisement, Pool, Surroundings
from baremetal_lb.reasons import Reason

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
        st.fixed_dictionaries(
            {"addresses": st.lists(entries, max_size=4)},
            optional={
                "excludedAddresses": st.lists(entries, max_size=2),
                "avoidNetworkAndBroadcast": st.booleans(),
                "serviceAllocation": st.fixed_dictionaries(
                    {"priority": st.integers(-1, 2), "namespaceSelectors": selectors, "exclusive": st.booleans()}
                ),
            },
        ),
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


few_addresses = st.one_of(
    st.builds("192.0.2.{}".format, st.integers(0, 5)), st.builds("2001:db8::{:x}".format, st.integers(0, 5))
)
raw_claims = st.lists(
    st.builds(
        raw_object,
        names,
        st.integers(1, 3),
        st.just({}),
        st.fixed_dictionaries(
            {"addresses": st.lists(st.one_of(few_addresses, st.just("192.0.2.0/24")), max_size=4)},
            optional={"service": st.fixed_dictionaries({"namespace": names, "name": names})},
        ),
    ),
    max_size=5,
    unique_by=lambda raw: str(raw["metadata"]["name"]),
)
node_addresses = st.dictionaries(few_addresses.map(ip_address), names, max_size=3)


@given(raw_pools, raw_advertisements, raw_claims, node_addresses, st.randoms())
def test_the_order_of_objects_does_not_matter(
    pools: list[Raw], advertisements: list[Raw], claims: list[Raw], nodes: dict[Address, str], random: Any
) -> None:
    compiled = compile_config(pools, advertisements, claims, Surroundings(nodes))
    for objects in (pools, advertisements, claims):
        random.shuffle(objects)
    shuffled_nodes = dict(random.sample(sorted(nodes.items(), key=str), len(nodes)))
    assert compile_config(pools, advertisements, claims, Surroundings(shuffled_nodes)) == compiled


@given(raw_pools, raw_advertisements, raw_claims, node_addresses)
def test_every_object_works_or_has_a_fatal_problem(
    pools: list[Raw], advertisements: list[Raw], claims: list[Raw], nodes: dict[Address, str]
) -> None:
    config, problems = compile_config(pools, advertisements, claims, Surroundings(nodes))
    left_out = {(one.kind, one.name) for one in problems if one.fatal}
    working = named("IPAddressPool", config.pools)
    working |= named("L2Advertisement", config.l2_advertisements) | named("IPAddressClaim", config.claims)
    written = {
        (kind, raw["metadata"]["name"])
        for kind, objects in (("IPAddressPool", pools), ("L2Advertisement", advertisements), ("IPAddressClaim", claims))
        for raw in objects
    }
    assert working | left_out == written
    assert not working & left_out


def named(kind: str, things: Iterable[Pool | L2Advertisement | Claim]) -> set[tuple[str, str]]:
    return {(kind, one.name) for one in things}


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
    assert tuple(pool for pool in after.pools if pool in before.pools) == before.pools


@given(raw_pools, raw_advertisements)
def test_an_advertisement_speaks_for_pools_that_work(pools: list[Raw], advertisements: list[Raw]) -> None:
    config, _ = compile_config(pools, advertisements)
    working = {pool.name for pool in config.pools}
    for one in config.l2_advertisements:
        assert one.pools <= working
        assert not one.selects_all_pools or one.pools == working


@given(raw_claims, node_addresses)
def test_an_address_is_kept_for_one_at_most(claims: list[Raw], nodes: dict[Address, str]) -> None:
    config, _ = compile_config([], [], claims, Surroundings(nodes))
    kept = [address for claim in config.claims for address in claim.addresses]
    assert len(kept) == len(set(kept))
    assert not set(kept) & set(nodes)
    assert len(config.reservations) == len(kept) + len(nodes)


@given(raw_claims, raw_claims)
def test_a_younger_claim_takes_nothing_from_an_older_one(older: list[Raw], younger: list[Raw]) -> None:
    for raw in younger:
        raw["metadata"] |= {"name": f"younger-{raw['metadata']['name']}", "creationTimestamp": "2026-02-01T00:00:00Z"}
    before, _ = compile_config([], [], older)
    after, _ = compile_config([], [], [*older, *younger])
    assert after.claims[: len(before.claims)] == before.claims


@given(raw_pools, node_addresses)
def test_a_pool_is_warned_of_a_node_whose_address_it_may_give(pools: list[Raw], nodes: dict[Address, str]) -> None:
    config, problems = compile_config(pools, [], surroundings=Surroundings(nodes))
    warned = {one.name for one in problems if one.reason is Reason.OVERLAPS_CLUSTER}
    assert warned == {
        pool.name for pool in config.pools if any(address in block for address in nodes for block in pool.giving)
    }
