"""Addresses that are kept: for a Service before it exists, for something outside of the cluster, and for nodes."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}


def make_claim(sandbox: Sandbox, word: str, *addresses: Address, service: str = "") -> str:
    name = sandbox.name(word)
    reference = {"service": {"namespace": sandbox.namespace, "name": sandbox.name(service)}} if service else {}
    sandbox.create(objects.claim(name, map(str, addresses), **reference))
    return name


def test_a_service_gets_what_was_kept_for_it_before_it_existed(sandbox: Sandbox) -> None:
    """Of both families, without asking; another that comes first gets other addresses."""
    ipv4, ipv6 = sandbox.block.ipv4(0), sandbox.block.ipv6(0)
    name = make_claim(sandbox, "for-shop", ipv4, ipv6, service="shop")
    sandbox.judged("IPAddressClaim", name, "Reserved")
    sandbox.offer()

    other = sandbox.request_service("other", ECHO)
    assert not {ipv4, ipv6} & set(other.assigned())
    shop = sandbox.request_service("shop", ECHO)
    assert set(shop.assigned()) == {ipv4, ipv6}

    sandbox.judged("IPAddressClaim", name, "Bound")
    shop.delete()
    sandbox.judged("IPAddressClaim", name, "Reserved")


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_nobody_gets_what_is_kept_for_something_outside(sandbox: Sandbox, family: str) -> None:
    """Not by asking for it, and not as the last address of the pool, until the claim is gone."""
    kept = sandbox.block.ipv4(0) if family == "IPv4" else sandbox.block.ipv6(0)
    name = make_claim(sandbox, "printer", kept)
    sandbox.judged("IPAddressClaim", name, "Reserved")
    pool = sandbox.offer(1)

    asking = {"baremetal-lb.io/addresses": str(kept)}
    asker = sandbox.request_service("asker", ECHO, families=(family,), annotations=asking)
    assert name in asker.refused("AddressReserved")["message"]
    last = sandbox.request_service("last", ECHO, families=(family,), annotations={"baremetal-lb.io/pool": pool})
    last.refused("PoolExhausted")
    wait_for(
        "the pool counts it",
        lambda: sandbox.read("IPAddressPool", pool).get("status", {}),
        lambda seen: (seen.get(f"reserved{family}"), seen.get(f"available{family}")) == (1, 0),
    )

    sandbox.delete("IPAddressClaim", name)
    assert asker.assigned(1) == (kept,)


def test_a_claim_waits_for_the_address_that_another_holds(sandbox: Sandbox) -> None:
    sandbox.offer(2)
    holder = sandbox.request_service("holder", ECHO)
    taken = holder.assigned()[0]
    name = make_claim(sandbox, "for-shop", taken, service="shop")
    assert holder.name in sandbox.judged("IPAddressClaim", name, "HeldByAnother")["message"]

    holder.delete()
    sandbox.judged("IPAddressClaim", name, "Reserved")
    assert taken in sandbox.request_service("shop", ECHO).assigned()


@pytest.mark.usefixtures("webhook_away")
def test_of_two_claims_of_one_address_the_older_has_it_until_it_lets_go(sandbox: Sandbox, lab: Lab) -> None:
    older = make_claim(sandbox, "older", sandbox.block.ipv4(0))
    sandbox.judged("IPAddressClaim", older, "Reserved")
    younger = make_claim(sandbox, "younger", sandbox.block.ipv4(0), sandbox.block.ipv6(0))
    assert older in sandbox.judged("IPAddressClaim", younger, "Conflict")["message"]

    sandbox.patch("IPAddressClaim", older, {"spec": {"addresses": [str(sandbox.block.ipv4(1))]}})
    lab.kubectl("wait", "--for=condition=Ready", f"ipaddressclaim/{younger}", "--timeout=30s")
    header, *rows = lab.kubectl("get", "lbclaim").splitlines()
    assert header.split() == ["NAME", "ADDRESSES", "NAMESPACE", "SERVICE", "READY", "REASON", "AGE"]
    assert any(row.split()[0] == younger and "Reserved" in row for row in rows)


def test_a_pool_with_addresses_of_nodes_is_warned_and_does_not_give_them(sandbox: Sandbox, lab: Lab) -> None:
    node = lab.topology.nodes[0]
    ipv4, ipv6 = node.addresses
    pool = sandbox.name("of-nodes")
    sandbox.create(objects.pool(pool, [f"{ipv4}/32", f"{ipv6}/128"], autoAssign=False))
    warning = wait_for("the pool is warned", partial(sandbox.condition, "IPAddressPool", pool, "OverlapsCluster"))
    assert node.name in warning["message"]
    assert sandbox.condition("IPAddressPool", pool)["status"] == "True"
    for family in ("IPv4", "IPv6"):
        named = {"families": (family,), "annotations": {"baremetal-lb.io/pool": pool}}
        sandbox.request_service(f"for-{family.lower()}", ECHO, **named).refused("PoolExhausted")
