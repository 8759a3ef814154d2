"""Pools that overlap: with each other, and with what the cluster itself uses."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}


def span(first: Address, last: Address) -> str:
    return f"{first}-{last}"


@pytest.mark.usefixtures("webhook_away")
@pytest.mark.parametrize(
    ("family", "mended"),
    [
        pytest.param("IPv4", "the older is changed", id="over IPv4, until the older is changed"),
        pytest.param("IPv6", "the newer is changed", id="over IPv6, until the newer is changed"),
        pytest.param("IPv4", "the older is deleted", id="over IPv4, until the older is deleted"),
        pytest.param("IPv6", "the older is deleted", id="over IPv6, until the older is deleted"),
    ],
)
def test_of_two_pools_that_overlap_the_older_works(sandbox: Sandbox, lab: Lab, family: str, mended: str) -> None:
    """The newer one names it and what both have, and works as soon as that is mended."""
    block = sandbox.block
    older, newer = sandbox.name("a-older"), sandbox.name("b-newer")
    sandbox.create(objects.pool(older, block.ranges(3)))
    web = sandbox.request_service("web", ECHO)
    assert web.assigned() == (block.ipv4(0), block.ipv6(0))

    first_ipv4, first_ipv6 = (2, 3) if family == "IPv4" else (3, 2)
    common = f"{block.ipv4(2)}/32" if family == "IPv4" else f"{block.ipv6(2)}/128"
    overlapping = [span(block.ipv4(first_ipv4), block.ipv4(4)), span(block.ipv6(first_ipv6), block.ipv6(4))]
    sandbox.create(objects.pool(newer, overlapping))
    message = sandbox.judged("IPAddressPool", newer, "Conflict")["message"]
    assert f"{common} is in the older pool {older} too" in message
    assert sandbox.condition("IPAddressPool", older)["status"] == "True"
    assert sandbox.request_service("next", ECHO).assigned() == (block.ipv4(1), block.ipv6(1))
    named = {"baremetal-lb.io/pool": newer}
    hopeful = sandbox.request_service("hopeful", ECHO, annotations=named)
    hopeful.refused("PoolNotFound")

    if mended == "the older is changed":
        sandbox.patch("IPAddressPool", older, {"spec": {"addresses": block.ranges(2)}})
    elif mended == "the newer is changed":
        apart = [span(block.ipv4(3), block.ipv4(4)), span(block.ipv6(3), block.ipv6(4))]
        sandbox.patch("IPAddressPool", newer, {"spec": {"addresses": apart}})
    else:
        lab.kubectl("delete", "ipaddresspool", older, "--wait=false")
    assert sandbox.judged("IPAddressPool", newer, "Valid")["status"] == "True"
    hopeful.assigned()
    assert web.addresses() == (block.ipv4(0), block.ipv6(0))


@pytest.mark.parametrize(
    ("entries", "used"),
    [
        pytest.param(
            ["10.244.1.0/28", "fd00:10:96::ff00/124"],
            ("10.244.1.0/24 (Pods)", "fd00:10:96::/112 (Services)"),
            id="of Pods over IPv4 and of Services over IPv6",
        ),
        pytest.param(
            ["10.96.255.0/28", "fd00:10:244:1::/124"],
            ("10.96.0.0/16 (Services)", "fd00:10:244:1::/64 (Pods)"),
            id="of Services over IPv4 and of Pods over IPv6",
        ),
    ],
)
def test_a_pool_is_warned_of_addresses(sandbox: Sandbox, lab: Lab, entries: list[str], used: tuple[str, ...]) -> None:
    """It works all the same, and the warning goes when these addresses are excluded."""
    pool = sandbox.name("pool")
    sandbox.create(objects.pool(pool, [*entries, *sandbox.block.ranges()], autoAssign=False))
    warning = sandbox.judged("IPAddressPool", pool, "OverlapsCluster", aspect="OverlapsCluster")
    assert warning["status"] == "True"
    assert [words for words in used if words not in warning["message"]] == []
    assert sandbox.condition("IPAddressPool", pool)["status"] == "True"
    assert "OverlapsCluster" in lab.kubectl("describe", "ipaddresspool", pool)
    sandbox.patch("IPAddressPool", pool, {"spec": {"excludedAddresses": entries}})
    wait_for(
        "the warning is gone",
        partial(sandbox.condition, "IPAddressPool", pool, "OverlapsCluster"),
        lambda seen: not seen,
    )
    web = sandbox.request_service("web", ECHO, annotations={"baremetal-lb.io/pool": pool})
    assert web.assigned() == (sandbox.block.ipv4(0), sandbox.block.ipv6(0))


def test_kubectl_get_shows_how_full_a_pool_is(sandbox: Sandbox, lab: Lab) -> None:
    pool = sandbox.offer(3)
    sandbox.request_service("web", ECHO).assigned()
    sandbox.request_service("six", ECHO, families=("IPv6",)).assigned(1)
    counts = [3, 1, 2, 3, 2, 1]

    def shown() -> list[str]:
        _, values = lab.kubectl("get", "lbpool", pool).splitlines()
        return values.split()

    titles = " ".join(lab.kubectl("get", "lbpool", pool).splitlines()[0].split())
    assert "IPV4 TOTAL IPV4 USED IPV4 FREE IPV6 TOTAL IPV6 USED IPV6 FREE READY AGE" in titles
    wait_for("the counts", shown, lambda seen: seen[-8:-1] == [*map(str, counts), "True"])
