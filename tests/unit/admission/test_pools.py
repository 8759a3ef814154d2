"""An IPAddressPool that is about to be written: what is refused, what is only warned of."""

from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange, parse_address
from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.admission.model import Finding, Operation, Question
from baremetal_lb.admission.pools import review_pool
from baremetal_lb.allocator.request import parse_request
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Surroundings
from baremetal_lb.reasons import Reason

Raw = dict[str, Any]

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
AROUND = Surroundings(
    node_addresses={parse_address("192.0.2.11"): "worker-1", parse_address("2001:db8::11"): "worker-1"},
    pod_ranges=(AddressRange.parse("10.244.0.0/16"), AddressRange.parse("fd00:10:244::/48")),
)


def pool(name: str, *addresses: str, metadata: Raw | None = None, **spec: Any) -> Raw:
    return {"metadata": {"name": name, **(metadata or {})}, "spec": {"addresses": list(addresses), **spec}}


def holder(name: str, *addresses: str, kind: str = "LoadBalancer") -> ServiceView:
    ingress = [{"ip": address} for address in addresses]
    return parse_service(
        {
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"type": kind},
            "status": {"loadBalancer": {"ingress": ingress}},
        }
    )


def known(*pools: Raw, services: tuple[ServiceView, ...] = (), surroundings: Surroundings | None = None) -> Known:
    config, _ = compile_config(pools, [])
    made = Known()
    made.resources_changed(pools=pools, claims=(), config=config, surroundings=surroundings or Surroundings())
    for view in services:
        made.service_changed(view.key, Neighbour(view, parse_request(view)))
    return made


def create(new: Raw) -> Question:
    return Question(Operation.CREATE, None, new)


def update(old: Raw, new: Raw) -> Question:
    return Question(Operation.UPDATE, old, new)


def delete(old: Raw) -> Question:
    return Question(Operation.DELETE, old)


def found(findings: tuple[Finding, ...]) -> list[Reason]:
    return [one.reason for one in findings]


GOLD = pool("gold", "192.0.2.0/28", "2001:db8::/124")
WEB = holder("web", "192.0.2.2", "2001:db8::2")
OVERLAPS = (
    "Conflict: spec.addresses: {0} is in pool {1} too; remove it from one of the two, or delete pool {1} first: "
    "its Services stay, and this pool takes them over"
)
TAKES = (
    "AddressInUse: takes addresses from Services that have them: {}; delete those Services first, set "
    "spec.reclaimPolicy to Reassign as well so that they get others, or delete the pool and create those that take "
    "them over"
)
DRAINS = "PoolBeingDeleted: pool gold gives no new addresses from now on. Services have some of it (shop/web): {}"
WRONG_LENGTH = "'{0}/{1}' is not a CIDR: '{1}' is not a prefix length from 0 to {2}"
BROKEN = pool("broken", "192.0.2.0/33", "2001:db8::/129")


@pytest.mark.parametrize(
    ("question", "there", "denials"),
    [
        pytest.param(create(GOLD), known(), [], id="a pool of its own"),
        pytest.param(create(GOLD), known(GOLD), [], id="the pool that was there a moment ago"),
        pytest.param(
            create(BROKEN),
            known(),
            [
                "InvalidSpec: spec.addresses[0]: " + WRONG_LENGTH.format("192.0.2.0", 33, 32),
                "InvalidSpec: spec.addresses[1]: " + WRONG_LENGTH.format("2001:db8::", 129, 128),
            ],
            id="a pool that cannot be read, with all its faults",
        ),
        pytest.param(
            create(pool("silver", "192.0.2.8-192.0.2.20")),
            known(GOLD),
            [OVERLAPS.format("192.0.2.8/29", "gold")],
            id="IPv4 addresses of another pool",
        ),
        pytest.param(
            create(pool("silver", "2001:db8::8-2001:db8::20")),
            known(GOLD),
            [OVERLAPS.format("2001:db8::8/125", "gold")],
            id="IPv6 addresses of another pool",
        ),
        pytest.param(
            update(pool("gold", "192.0.2.0/29"), GOLD),
            known(pool("gold", "192.0.2.0/29"), pool("silver", "192.0.2.8/29")),
            [OVERLAPS.format("192.0.2.8/29", "silver")],
            id="growing into another pool, be it younger",
        ),
        pytest.param(create(GOLD), known(BROKEN), [], id="overlap with what cannot be read"),
        pytest.param(
            update(GOLD, pool("gold", "192.0.2.8/29", "2001:db8::8/125")),
            known(GOLD, services=(WEB,)),
            [TAKES.format("192.0.2.2 (Service shop/web), 2001:db8::2 (Service shop/web)")],
            id="taking addresses in use away",
        ),
        pytest.param(
            update(GOLD, pool("gold", "192.0.2.0/28", "2001:db8::/124", excludedAddresses=["192.0.2.2/32"])),
            known(GOLD, services=(WEB,)),
            [TAKES.format("192.0.2.2 (Service shop/web)")],
            id="excluding an address in use",
        ),
        pytest.param(
            update(GOLD, pool("gold", "198.51.100.0/28")),
            known(GOLD, services=tuple(holder(f"s{number}", f"192.0.2.{number}") for number in range(5))),
            [
                TAKES.format(
                    "192.0.2.0 (Service shop/s0), 192.0.2.1 (Service shop/s1), 192.0.2.2 (Service shop/s2) and 2 more"
                )
            ],
            id="taking many away, of which three are named",
        ),
        pytest.param(
            update(GOLD, pool("gold", "192.0.2.2/32", "2001:db8::2/128")),
            known(GOLD, services=(WEB,)),
            [],
            id="taking away what nobody has",
        ),
        pytest.param(
            update(GOLD, pool("gold", "198.51.100.0/28")),
            known(GOLD, services=(holder("web", "192.0.2.2", kind="ClusterIP"),)),
            [],
            id="taking away what no load balancer has",
        ),
        pytest.param(
            update(GOLD, pool("gold", "198.51.100.0/28")),
            known(pool("silver", "192.0.2.0/28", "2001:db8::/124"), services=(WEB,)),
            [],
            id="taking away what another pool has",
        ),
        pytest.param(
            update(BROKEN, {**BROKEN, "spec": {**BROKEN["spec"], "autoAssign": False}}),
            known(BROKEN),
            [],
            id="a fault that was there before",
        ),
        pytest.param(delete(GOLD), known(GOLD, services=(WEB,)), [], id="deleting a pool in use"),
    ],
)
def test_a_pool_is_denied_for(question: Question, there: Known, denials: list[str]) -> None:
    assert [str(one) for one in review_pool(question, there).denials] == denials


@pytest.mark.parametrize(
    ("question", "there", "warnings"),
    [
        pytest.param(create(GOLD), known(), [], id="a pool of its own"),
        pytest.param(
            update(GOLD, pool("gold", "192.0.2.0/28", autoAssign=False)),
            known(pool("silver", "192.0.2.0/28"), GOLD),
            [OVERLAPS.format("192.0.2.0/28", "silver")],
            id="an overlap that was there before",
        ),
        pytest.param(
            create(pool("new", "192.0.2.0/29", "2001:db8::/125")),
            known(pool("gold", "192.0.2.0/28", "2001:db8::/124", metadata=DELETED)),
            [],
            id="taking over from a pool that is on its way out",
        ),
        pytest.param(
            update(GOLD, pool("gold", "198.51.100.0/28", reclaimPolicy="Reassign")),
            known(GOLD, services=(WEB,)),
            [
                (
                    "AddressInUse: takes addresses from Services that have them, which get others one by one: "
                    "192.0.2.2 (Service shop/web), 2001:db8::2 (Service shop/web)"
                )
            ],
            id="taking addresses in use away on purpose",
        ),
        pytest.param(
            delete(GOLD),
            known(GOLD, services=(WEB,)),
            [
                DRAINS.format(
                    "they keep them, and the pool goes when the last of them is gone or other pools have taken them "
                    "over"
                )
            ],
            id="deleting a pool in use",
        ),
        pytest.param(
            delete(pool("gold", "192.0.2.0/28", reclaimPolicy="Reassign")),
            known(GOLD, services=(WEB,)),
            [DRAINS.format("they are moved to other pools one by one")],
            id="deleting a pool in use that moves its Services",
        ),
        pytest.param(delete(GOLD), known(GOLD), [], id="deleting a pool that nobody uses"),
        pytest.param(delete(BROKEN), known(services=(WEB,)), [], id="deleting a pool that cannot be read"),
    ],
)
def test_a_user_is_warned_of(question: Question, there: Known, warnings: list[str]) -> None:
    verdict = review_pool(question, there)

    assert verdict.denials == ()
    assert [str(one) for one in verdict.warnings] == warnings


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        pytest.param("192.0.2.0/28", "192.0.2.11 (node worker-1)", id="IPv4 addresses of a node"),
        pytest.param("2001:db8::/124", "", id="IPv6 addresses next to a node's"),
        pytest.param("2001:db8::/120", "2001:db8::11 (node worker-1)", id="IPv6 addresses of a node"),
        pytest.param("10.244.7.0/24", "10.244.0.0/16 (Pods)", id="IPv4 addresses of Pods"),
        pytest.param("fd00:10:244:7::/64", "fd00:10:244::/48 (Pods)", id="IPv6 addresses of Pods"),
    ],
)
def test_a_user_is_warned_of_what_the_cluster_itself_uses(addresses: str, words: str) -> None:
    verdict = review_pool(create(pool("gold", addresses)), known(surroundings=AROUND))

    assert verdict.denials == ()
    assert found(verdict.warnings) == ([Reason.OVERLAPS_CLUSTER] if words else [])
    assert all(words in one.message for one in verdict.warnings)
