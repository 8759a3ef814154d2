"""What a Service asks for, has, has claimed, may share or finds free: which comes first, and what speaks against it.

A mark like [C15] names a defect or a trap of MetalLB's that the test shows we do not have; the words say which.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.allocator.conftest import Cluster

KEY = {"baremetal-lb.io/sharing-key": "k"}
ABROAD = {**KEY, "baremetal-lb.io/sharing-namespaces": "*"}
NOBODY = {"matchLabels": {"team": "nobody"}}
SHOPS = {"matchLabels": {"app": "shop"}}


def asks(cluster: "Cluster", *numbers: int) -> dict[str, str]:
    return {"baremetal-lb.io/addresses": ",".join(cluster.addresses(*numbers))}


def names(pool: str) -> dict[str, str]:
    return {"baremetal-lb.io/pool": pool}


@pytest.mark.parametrize("way", ["address", "pool", "automatic"])
@pytest.mark.parametrize(
    ("allocation", "namespace", "labels", "is_admitted"),
    [
        pytest.param({}, "shop", {}, True, id="[A8] rules that name nobody admit everyone"),
        pytest.param({"priority": 3}, "shop", {}, True, id="[A8] a priority alone admits everyone"),
        pytest.param({"namespaces": ["shop"]}, "shop", {}, True, id="[A5] a namespace by name"),
        pytest.param({"namespaces": ["shop"]}, "mail", {}, False, id="[A5] no other namespace"),
        pytest.param({"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}, "shop", {}, True, id="[A6] by label"),
        pytest.param(
            {"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}, "mail", {}, False, id="[A6] not without"
        ),
        pytest.param(
            {"namespaces": ["mail"], "namespaceSelectors": [{"matchLabels": {"team": "a"}}]},
            "shop",
            {},
            True,
            id="[A6] by label although others are named: either is enough",
        ),
        pytest.param({"namespaceSelectors": [NOBODY]}, "shop", {}, False, id="[C13] labels of no namespace"),
        pytest.param(
            {"namespaceSelectors": [NOBODY], "serviceSelectors": [SHOPS]},
            "shop",
            {"app": "shop"},
            False,
            id="[C13] labels of no namespace, however well the Service's fit",
        ),
        pytest.param({"serviceSelectors": [SHOPS]}, "mail", {"app": "shop"}, True, id="[A7] by a label of the Service"),
        pytest.param({"serviceSelectors": [SHOPS]}, "shop", {"app": "web"}, False, id="[A7] no other Service"),
        pytest.param(
            {"serviceSelectors": [NOBODY, SHOPS]}, "shop", {"app": "shop"}, True, id="[A7] any selector will do"
        ),
        pytest.param(
            {"namespaces": ["shop"], "serviceSelectors": [SHOPS]},
            "mail",
            {"app": "shop"},
            False,
            id="[C12] both must hold: the namespace does not",
        ),
        pytest.param(
            {"namespaces": ["shop"], "serviceSelectors": [SHOPS]},
            "shop",
            {},
            False,
            id="[C12] both must hold: the labels do not",
        ),
    ],
)
def test_rules_hold_for_every_way_to_ask(
    cluster: "Cluster", way: str, allocation: dict[str, Any], namespace: str, labels: dict[str, str], is_admitted: bool
) -> None:
    """[B6] [C13] To name an address or a pool is no way around them."""
    cluster.pool("gold", 0, 3, serviceAllocation=allocation)
    cluster.namespace("shop", team="a")
    cluster.namespace("mail")
    wish = {"address": asks(cluster, 0), "pool": names("gold"), "automatic": {}}[way]
    cluster.service(f"{namespace}/web", wish, labels)
    cluster.settle()

    assert cluster.has(f"{namespace}/web") == ([0] if is_admitted else [])
    assert cluster.told(f"{namespace}/web") == ("Assigned" if is_admitted else "PoolNotPermitted")


def test_a_new_label_of_the_namespace_ends_the_waiting(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, serviceAllocation={"namespaceSelectors": [NOBODY]})
    cluster.service("web")
    cluster.settle()
    cluster.namespace("shop", team="nobody")
    cluster.settle()

    assert cluster.has("web") == [0]


@pytest.mark.parametrize(
    ("wish", "expected", "reason"),
    [
        pytest.param({}, [0], "Assigned", id="it gets an address of the exclusive pool"),
        pytest.param(names("gold"), [0], "Assigned", id="also by name"),
        pytest.param(names("silver"), [], "NotExclusive", id="and none of another that it names"),
    ],
)
def test_who_an_exclusive_pool_admits_is_bound_to_it(
    cluster: "Cluster", wish: dict[str, str], expected: list[int], reason: str
) -> None:
    cluster.pool("silver", 10, 13, serviceAllocation={"priority": 1})
    cluster.pool("gold", 0, 0, serviceAllocation={"namespaces": ["shop"], "exclusive": True})
    cluster.service("web", wish)
    cluster.service("mail/web")
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == (expected, reason)
    assert cluster.has("mail/web") == [10]


def test_an_address_of_another_pool_is_not_for_who_is_bound_to_an_exclusive_one(cluster: "Cluster") -> None:
    cluster.pool("silver", 10, 13)
    cluster.pool("gold", 0, 0, serviceAllocation={"namespaces": ["shop"], "exclusive": True})
    cluster.wants("web", 10)
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "NotExclusive")
    assert "bound to pool gold" in cluster.message("web")


@pytest.mark.parametrize(
    ("exclusive", "expected", "reason"),
    [
        pytest.param(True, [], "PoolExhausted", id="[C10] an exclusive pool that is full: no other is tried"),
        pytest.param(False, [10], "Assigned", id="a pool for some that is full: those for everyone are tried"),
    ],
)
def test_falling_through(cluster: "Cluster", exclusive: bool, expected: list[int], reason: str) -> None:
    cluster.pool("silver", 10, 13)
    cluster.pool("gold", 0, 0, serviceAllocation={"namespaces": ["shop"], "exclusive": exclusive})
    for name in ("first", "second"):
        cluster.service(name)
    cluster.settle()

    assert cluster.has("first") == [0]
    assert (cluster.has("second"), cluster.told("second")) == (expected, reason)


def test_of_two_exclusive_pools_the_second_is_tried_too(cluster: "Cluster") -> None:
    only = {"namespaces": ["shop"], "exclusive": True}
    cluster.pool("gold", 0, 0, serviceAllocation=only)
    cluster.pool("platinum", 5, 5, serviceAllocation=only)
    for name in ("first", "second"):
        cluster.service(name)
    cluster.settle()

    assert (cluster.has("first"), cluster.has("second")) == ([0], [5])


def test_an_exclusive_pool_without_auto_assign_still_binds(cluster: "Cluster") -> None:
    cluster.pool("silver", 10, 13)
    cluster.pool("gold", 0, 0, autoAssign=False, serviceAllocation={"namespaces": ["shop"], "exclusive": True})
    cluster.service("web")
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "NoPoolAutoAssigns")


def test_a_pool_limits_what_a_namespace_gets_of_it(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 2})
    for name in ("a", "b", "c", "mail/d"):
        cluster.service(name)
    cluster.settle()

    assert [cluster.has(name) for name in ("a", "b", "c", "mail/d")] == [[0], [1], [], [2]]
    assert cluster.told("c") == "QuotaExceeded"
    quota = f"namespace shop has 2 of the 2 {cluster.families[0]} addresses that it may have of pool gold"
    assert quota in cluster.message("c")

    cluster.delete("a")
    cluster.settle()
    assert cluster.has("c") == [0]


def test_a_full_quota_of_one_pool_leads_to_the_next(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 1})
    cluster.pool("silver", 10, 19)
    for name in ("a", "b"):
        cluster.service(name)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([0], [10])


def test_a_namespace_is_limited_over_all_pools(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 0)
    cluster.pool("silver", 10, 19)
    cluster.namespace("shop", quota="2")
    for name in ("a", "b", "c", "mail/d"):
        cluster.service(name)
    cluster.settle()

    assert [cluster.has(name) for name in ("a", "b", "c", "mail/d")] == [[0], [10], [], [11]]
    assert cluster.told("c") == "QuotaExceeded"
    assert "addresses that it may have in all; change the quota" in cluster.message("c")


@pytest.mark.parametrize("quota", ["3", None])
def test_a_higher_quota_ends_the_waiting(cluster: "Cluster", quota: str | None) -> None:
    cluster.pool("gold", 0, 9)
    cluster.namespace("shop", quota="2")
    for name in ("a", "b", "c"):
        cluster.service(name)
    cluster.settle()
    cluster.namespace("shop", quota=quota)
    cluster.settle()

    assert cluster.has("c") == [2]


@pytest.mark.parametrize("quota", ["0", "five", "-1", "1.5", "²"])
def test_a_lower_or_unreadable_quota_takes_nothing_away(cluster: "Cluster", quota: str) -> None:
    cluster.pool("gold", 0, 9)
    cluster.service("a")
    cluster.settle()
    cluster.namespace("shop", quota=quota)
    cluster.service("b")
    cluster.settle()

    assert (cluster.has("a"), cluster.told("a")) == ([0], "Assigned")
    assert (cluster.has("b"), cluster.told("b")) == ([], "QuotaExceeded")
    assert quota in cluster.message("b")


@pytest.mark.parametrize("way", ["address", "pool", "automatic"])
def test_quotas_hold_for_every_way_to_ask(cluster: "Cluster", way: str) -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 0})
    wish = {"address": asks(cluster, 0), "pool": names("gold"), "automatic": {}}[way]
    cluster.service("web", wish)
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "QuotaExceeded")


def test_what_a_service_leaves_does_not_count_against_it(cluster: "Cluster") -> None:
    """With a quota of one, it may still change to another address."""
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 1})
    cluster.service("web")
    cluster.settle()
    cluster.wants("web", 5)
    cluster.settle()

    assert cluster.has("web") == [5]


@pytest.mark.parametrize(
    ("quota", "expected"),
    [pytest.param(2, [0, 1], id="enough for all"), pytest.param(1, [], id="not enough for all: none is given")],
)
def test_several_addresses_count_together(cluster: "Cluster", quota: int, expected: list[int]) -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": quota})
    cluster.wants("web", 0, 1)
    cluster.settle()

    assert cluster.has("web") == expected


def test_several_addresses_of_several_pools_count_together_for_the_namespace(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9)
    cluster.pool("silver", 10, 19)
    cluster.namespace("shop", quota="1")
    cluster.wants("web", 0, 10)
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "QuotaExceeded")
    assert "has 0 of the 1" in cluster.message("web")
    assert "2 more are asked for" in cluster.message("web")


def test_a_shared_address_counts_once_for_a_namespace(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 1})
    cluster.service("a", KEY, port=80)
    cluster.service("b", KEY, port=81)
    cluster.service("c", {**KEY, **asks(cluster, 0)}, port=82)
    cluster.settle()

    assert [cluster.has(name) for name in ("a", "b", "c")] == [[0], [0], [0]]


def test_a_shared_address_that_the_namespace_has_leaves_room_for_another(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9, serviceAllocation={"namespaceQuota": 2})
    cluster.service("a", KEY, port=80)
    cluster.service("b", {**KEY, **asks(cluster, 0, 1)}, port=81)
    cluster.settle()

    assert cluster.has("b") == [0, 1]


def test_a_shared_address_counts_for_each_namespace(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 9)
    cluster.namespace("mail", quota="0")
    cluster.service("a", ABROAD, port=80)
    cluster.service("mail/b", ABROAD, port=81)
    cluster.settle()

    assert (cluster.has("mail/b"), cluster.told("mail/b")) == ([], "QuotaExceeded")


def test_a_claim_keeps_an_address_until_its_service_comes(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.claim("for-web", 0, service="web")
    cluster.service("other")
    cluster.settle()
    assert cluster.has("other") == [1]

    cluster.service("web")
    cluster.settle()
    assert cluster.has("web") == [0]

    cluster.delete("web")
    cluster.service("another")
    cluster.settle()
    assert cluster.has("another") == [2]


def test_a_claim_needs_a_pool_but_no_auto_assign(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, autoAssign=False)
    cluster.claim("for-web", 2, service="web")
    cluster.service("web")
    cluster.service("other")
    cluster.settle()

    assert (cluster.has("web"), cluster.has("other")) == ([2], [])


@pytest.mark.parametrize("service", [None, "mail/other"])
def test_a_reserved_address_is_refused_by_name(cluster: "Cluster", service: str | None) -> None:
    cluster.pool("gold", 0, 3)
    cluster.claim("printer", 0, service=service)
    cluster.wants("web", 0)
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "AddressReserved")
    assert "reserved by IPAddressClaim printer" in cluster.message("web")


def test_an_address_of_a_node_is_given_to_nobody(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.node("worker-1", 0)
    cluster.service("automatic")
    cluster.wants("explicit", 0)
    cluster.settle()

    assert (cluster.has("automatic"), cluster.has("explicit")) == ([1], [])
    assert "reserved by node worker-1" in cluster.message("explicit")


def test_who_waits_gets_what_is_no_longer_claimed(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 0)
    cluster.claim("printer", 0)
    cluster.service("web")
    cluster.settle()
    assert cluster.told("web") == "PoolExhausted"

    cluster.claims.clear()
    cluster.configure()
    cluster.settle()
    assert cluster.has("web") == [0]


def test_an_address_in_use_that_is_claimed_stays_until_it_is_free(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("holder")
    cluster.settle()
    cluster.claim("for-web", 0, service="web")
    cluster.service("web")
    cluster.settle()
    assert (cluster.has("holder"), cluster.told("holder")) == ([0], "AddressKept")
    assert "reserved by IPAddressClaim for-web" in cluster.message("holder")
    assert cluster.has("web") == []
    assert "shop/holder" in cluster.message("web")

    cluster.delete("holder")
    cluster.settle()
    assert cluster.has("web") == [0]


def test_a_service_that_has_another_address_keeps_it(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("web")
    cluster.settle()
    cluster.claim("for-web", 2, service="web")
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([0], "Assigned")


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        pytest.param(lambda cluster: asks(cluster, 1), [1], id="an address"),
        pytest.param(lambda _: names("silver"), [10], id="a pool"),
        pytest.param(lambda _: names("gold"), [2], id="the claim's own pool: no contradiction"),
    ],
)
def test_what_a_service_asks_for_itself_goes_before_its_claim(
    cluster: "Cluster", wish: Any, expected: list[int]
) -> None:
    cluster.pool("gold", 0, 3)
    cluster.pool("silver", 10, 13)
    cluster.claim("for-web", 2, service="web")
    cluster.service("web", wish(cluster))
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == (expected, "Assigned")


def test_a_claim_is_no_permission_and_the_refusal_names_it(cluster: "Cluster") -> None:
    """Who asked for nothing must learn where the address comes from."""
    cluster.pool("gold", 0, 3, serviceAllocation={"namespaces": ["mail"]})
    cluster.claim("for-web", 0, service="web")
    cluster.service("web")
    cluster.settle()

    assert (cluster.has("web"), cluster.told("web")) == ([], "PoolNotPermitted")
    assert "IPAddressClaim for-web" in cluster.message("web")


def test_of_several_claimed_addresses_a_service_gets_all(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.claim("one", 3, service="web")
    cluster.claim("two", 1, service="web")
    cluster.service("web")
    cluster.settle()

    assert cluster.has("web") == [3, 1]


def test_a_shared_address_is_preferred_to_a_lower_free_one(cluster: "Cluster") -> None:
    """[C15] With a key, Services come together: no address is spent on each."""
    cluster.pool("gold", 0, 3)
    cluster.service("filler")
    cluster.service("a", KEY, port=80)
    cluster.settle()
    cluster.delete("filler")
    cluster.service("b", KEY, port=81)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([1], [1])


def test_who_cannot_share_gets_an_address_of_its_own(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("a", KEY, port=80)
    cluster.service("b", KEY, port=80)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([0], [1])


def test_who_waits_is_served_when_an_address_opens_to_sharing(cluster: "Cluster") -> None:
    """[C17] The only user of an address may change how it shares it, in place; others are looked at again."""
    cluster.pool("gold", 0, 0)
    cluster.service("holder")
    cluster.service("waiting", KEY, port=81)
    cluster.settle()
    assert cluster.told("waiting") == "PoolExhausted"

    cluster.service("holder", KEY)
    cluster.settle()
    assert (cluster.has("holder"), cluster.has("waiting")) == ([0], [0])


def test_who_shares_no_longer_by_the_rules_leaves(cluster: "Cluster") -> None:
    """Of those on one address, the one that changed goes, and is told why."""
    cluster.pool("gold", 0, 3)
    cluster.service("a", KEY, port=80)
    cluster.service("b", KEY, port=81)
    cluster.settle()
    cluster.service("b", port=81)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([0], [1])
    assert ("b", "AddressInUse") in cluster.events


def test_who_takes_a_port_of_another_on_the_address_leaves(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("a", KEY, port=80)
    cluster.service("b", KEY, port=81)
    cluster.settle()
    cluster.service("b", KEY, port=80)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([0], [1])
    assert ("b", "SharingRefused") in cluster.events


def test_a_shared_address_is_free_when_the_last_has_left(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 0)
    cluster.service("a", KEY, port=80)
    cluster.service("b", KEY, port=81)
    cluster.service("waiting")
    cluster.settle()
    cluster.delete("a")
    cluster.settle()
    assert cluster.has("waiting") == []

    cluster.delete("b")
    cluster.settle()
    assert cluster.has("waiting") == [0]


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        pytest.param({}, "let both share it", id="without a key: the way to share is told"),
        pytest.param({"baremetal-lb.io/sharing-key": "other"}, "differ (k and other)", id="with another key"),
    ],
)
def test_a_named_address_that_cannot_be_shared(cluster: "Cluster", wish: dict[str, str], word: str) -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("a", KEY, port=80)
    cluster.settle()
    cluster.service("b", {**wish, **asks(cluster, 0)}, port=81)
    cluster.settle()

    assert cluster.has("b") == []
    assert cluster.told("b") == ("SharingRefused" if wish else "AddressInUse")
    assert word in cluster.message("b")


def test_an_address_is_shared_only_where_the_pool_admits_each(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3, serviceAllocation={"namespaces": ["shop"]})
    cluster.pool("silver", 10, 13)
    cluster.service("a", ABROAD, port=80)
    cluster.service("mail/b", ABROAD, port=81)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("mail/b")) == ([0], [10])


def test_an_address_that_is_excluded_by_now_is_joined_by_nobody(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    cluster.service("a", KEY, port=80)
    cluster.settle()
    cluster.pool("gold", 0, 3, excludedAddresses=cluster.block(0, 0))
    cluster.service("b", KEY, port=81)
    cluster.settle()

    assert (cluster.has("a"), cluster.has("b")) == ([0], [1])


def test_sharing_survives_a_restart(cluster: "Cluster") -> None:
    cluster.pool("gold", 0, 3)
    for number, name in enumerate(("a", "b", "c")):
        cluster.service(name, KEY, port=80 + number)
    cluster.settle()
    writes = cluster.writes
    cluster.restart()
    cluster.settle()

    assert [cluster.has(name) for name in ("a", "b", "c")] == [[0], [0], [0]]
    assert cluster.writes == writes


def test_both_addresses_come_from_a_later_pool_that_has_both(dual: "Cluster") -> None:
    """[C22] Rather than from two pools."""
    dual.pool("four", 100, 103)
    dual.pools["four"]["spec"]["addresses"] = ["192.0.2.100/30"]
    dual.pool("both", 0, 3)
    dual.service("web", ipFamilyPolicy="PreferDualStack")
    dual.settle()

    assert dual.has("web") == [0]
    assert dual.from_pool("web") == "both"


def test_two_pools_serve_where_none_has_both(dual: "Cluster") -> None:
    """[C19] [C21] Also for a Service that needs both; the annotation names the pool of each."""
    dual.pool("six", 0, 0)
    dual.pools["six"]["spec"]["addresses"] = ["2001:db8::5/128"]
    dual.pool("four", 5, 5)
    dual.pools["four"]["spec"]["addresses"] = ["192.0.2.5/32"]
    dual.configure()
    dual.service("web")
    dual.settle()

    assert dual.has("web") == [5]
    assert dual.from_pool("web") == "four,six"


def test_a_pool_with_one_family_full_is_not_the_pool_for_both(dual: "Cluster") -> None:
    dual.pool("first", 0, 0)
    dual.pool("second", 10, 10)
    dual.service("filler", ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    dual.settle()
    dual.service("web")
    dual.settle()

    assert (dual.has("web"), dual.from_pool("web")) == ([10], "second")


@pytest.mark.parametrize(("has", "lacks"), [("IPv4", "IPv6"), ("IPv6", "IPv4")])
def test_the_message_of_a_family_that_a_named_pool_lacks(dual: "Cluster", has: str, lacks: str) -> None:
    """[C20] [C54] It names the pool and the family, and has no holes."""
    dual.pool("gold", 0, 3)
    dual.pools["gold"]["spec"]["addresses"] = ["192.0.2.0/30" if has == "IPv4" else "2001:db8::/126"]
    dual.configure()
    dual.service("web", names("gold"), ipFamilies=[lacks], ipFamilyPolicy="SingleStack")
    dual.settle()

    assert dual.told("web") == "NoPoolForFamily"
    assert dual.message("web") == f"no {lacks} address: pool gold has no {lacks} addresses; add some to a pool"
