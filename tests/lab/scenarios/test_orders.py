"""Which free address a Service gets, and which addresses of a pool nobody gets."""

from collections.abc import Sequence
from typing import Any

import pytest

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
WIDE = ["203.0.113.0/24", "2001:db8:113::/120"]
"""256 addresses of each family, so that two chosen by chance are hardly ever the same."""


def recreate(sandbox: Sandbox, service: ServiceHandle, word: str) -> ServiceHandle:
    service.delete()
    wait_for("it is gone", lambda: not sandbox.exists("Service", service.name))
    return sandbox.request_service(word, ECHO)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(map(parse_address, texts))


def test_sequential_gives_the_lowest_free_address(sandbox: Sandbox) -> None:
    """In the order in which the entries are written."""
    entries = ["203.0.113.8/31", "203.0.113.2/31", "2001:db8:113::8/127", "2001:db8:113::2/127"]
    sandbox.create(objects.pool(sandbox.name("pool"), entries, allocation="Sequential"))
    services = [sandbox.request_service(f"web{number}", ECHO) for number in range(3)]
    assert [one.assigned() for one in services] == [
        addresses("203.0.113.8", "2001:db8:113::8"),
        addresses("203.0.113.9", "2001:db8:113::9"),
        addresses("203.0.113.2", "2001:db8:113::2"),
    ]
    services[0].delete()
    services[1].delete()
    assert sandbox.request_service("heir", ECHO).assigned() == addresses("203.0.113.8", "2001:db8:113::8")


def test_random_gives_another_address_each_time(sandbox: Sandbox) -> None:
    sandbox.create(objects.pool(sandbox.name("pool"), WIDE, allocation="Random"))
    web = sandbox.request_service("web", ECHO)
    first = web.assigned()
    assert recreate(sandbox, web, "web").assigned() != first


class TestSticky:
    """A Service that comes back gets the addresses it had, although nothing remembers them."""

    @pytest.fixture(autouse=True)
    def _pool(self, sandbox: Sandbox) -> None:
        sandbox.create(objects.pool(sandbox.name("pool"), WIDE, allocation="Sticky"))

    def test_who_is_recreated_gets_the_same_addresses(self, sandbox: Sandbox) -> None:
        """Although others came meanwhile."""
        web = sandbox.request_service("web", ECHO)
        had = web.assigned()
        web.delete()
        candidates = addresses("203.0.113.0", "2001:db8:113::", "203.0.113.1", "2001:db8:113::1")
        others = ",".join(str(one) for one in candidates if one not in had)
        sandbox.request_service("others", ECHO, annotations={"baremetal-lb.io/addresses": others}).told("Assigned")
        assert sandbox.request_service("web", ECHO).assigned() == had

    def test_also_when_the_controller_started_anew(self, sandbox: Sandbox, lab: Lab) -> None:
        web = sandbox.request_service("web", ECHO)
        had = web.assigned()
        web.delete()
        _restart_controllers(lab)
        assert sandbox.request_service("web", ECHO).assigned() == had

    def test_but_not_when_another_has_them(self, sandbox: Sandbox) -> None:
        web = sandbox.request_service("web", ECHO)
        had = web.assigned()
        web.delete()
        taken = ",".join(map(str, had))
        heir = sandbox.request_service("heir", ECHO, annotations={"baremetal-lb.io/addresses": taken})
        assert heir.assigned() == had
        assert not set(sandbox.request_service("web", ECHO).assigned()) & set(had)


def _restart_controllers(lab: Lab) -> None:
    selector = "app.kubernetes.io/component=controller"
    lab.kubectl("delete", "pods", f"--namespace={PRODUCT_NAMESPACE}", f"--selector={selector}", "--wait=true")


@pytest.mark.parametrize(
    ("spec", "usable"),
    [
        pytest.param(
            {
                "addresses": ["203.0.113.0/29", "2001:db8:113::-2001:db8:113::7"],
                "excludedAddresses": [
                    "203.0.113.0-203.0.113.4",
                    "203.0.113.7/32",
                    "2001:db8:113::/126",
                    "2001:db8:113::6/127",
                ],
            },
            [("203.0.113.5", "2001:db8:113::4"), ("203.0.113.6", "2001:db8:113::5")],
            id="excludedAddresses",
        ),
        pytest.param(
            {"addresses": ["203.0.113.254-203.0.114.1", "2001:db8:113::fe/127"], "avoidBuggyIPs": True},
            [("203.0.113.254", "2001:db8:113::fe"), ("203.0.114.1", "2001:db8:113::ff")],
            id="avoidBuggyIPs",
        ),
        pytest.param(
            {
                "addresses": ["203.0.113.8/30", "2001:db8:113::/126"],
                "excludedAddresses": ["2001:db8:113::3/128"],
                "avoidNetworkAndBroadcast": True,
            },
            [("203.0.113.9", "2001:db8:113::1"), ("203.0.113.10", "2001:db8:113::2")],
            id="avoidNetworkAndBroadcast",
        ),
    ],
)
def test_some_addresses_are_given_to_nobody(
    sandbox: Sandbox, spec: dict[str, Any], usable: Sequence[tuple[str, str]]
) -> None:
    """Not by themselves, as the last ones or on request; and the pool does not count them."""
    pool = sandbox.name("pool")
    sandbox.create(objects.pool(pool, spec["addresses"], **{key: spec[key] for key in spec if key != "addresses"}))
    for number, pair in enumerate(usable):
        assert sandbox.request_service(f"web{number}", ECHO).assigned() == addresses(*pair)
    late = sandbox.request_service("late", ECHO)
    assert f"pool {pool} has 0 of 2 IPv4 addresses left" in late.refused("PoolExhausted")["message"]
    status = wait_for(
        "the pool is counted",
        lambda: sandbox.read("IPAddressPool", pool).get("status", {}),
        lambda seen: seen.get("assignedIPv6") == 2,
    )
    assert [status[f"{what}{family}"] for family in ("IPv4", "IPv6") for what in ("total", "available")] == [2, 0, 2, 0]
    unused = spec["addresses"][0].partition("/")[0].partition("-")[0] if "excluded" in str(spec) else "203.0.113.255"
    late.patch({"metadata": {"annotations": {"baremetal-lb.io/addresses": unused}}})
    assert f"{unused} is excluded from pool {pool}" in late.refused("AddressNotUsable")["message"]
