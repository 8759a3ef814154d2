"""An IPAddressClaim that is about to be written: what is refused, what is only warned of."""

from typing import Any

import pytest

from baremetal_lb.addresses import parse_address
from baremetal_lb.admission.claims import review_claim
from baremetal_lb.admission.known import Known, Neighbour
from baremetal_lb.admission.model import Operation, Question
from baremetal_lb.allocator.request import parse_request
from baremetal_lb.cluster.service import ServiceView, parse_service
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Surroundings

Raw = dict[str, Any]
POOL = {"metadata": {"name": "gold"}, "spec": {"addresses": ["192.0.2.0/28", "2001:db8::/124"]}}


def claim(name: str, *addresses: str, service: str = "") -> Raw:
    namespace, _, of = service.partition("/")
    reference = {"service": {"namespace": namespace, "name": of}} if service else {}
    return {"metadata": {"name": name}, "spec": {"addresses": list(addresses), **reference}}


def holder(name: str, *addresses: str) -> ServiceView:
    ingress = [{"ip": address} for address in addresses]
    raw = {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    }
    return parse_service(raw)


def known(*claims: Raw, services: tuple[ServiceView, ...] = ()) -> Known:
    surroundings = Surroundings(node_addresses={parse_address("192.0.2.11"): "worker-1"})
    config, _ = compile_config([POOL], [], claims, surroundings)
    made = Known()
    made.resources_changed(pools=[POOL], claims=claims, config=config, surroundings=surroundings)
    for view in services:
        made.service_changed(view.key, Neighbour(view, parse_request(view)))
    return made


def create(new: Raw) -> Question:
    return Question(Operation.CREATE, None, new)


PRINTER = claim("printer", "192.0.2.4", "2001:db8::4")


@pytest.mark.parametrize(
    ("question", "there", "denials"),
    [
        pytest.param(create(PRINTER), known(), [], id="addresses of its own"),
        pytest.param(
            create(claim("bad", "192.0.2.0/24")),
            known(),
            [
                (
                    "InvalidSpec: spec.addresses[0]: '192.0.2.0/24' is not a single address; "
                    "write each address by itself, without a prefix length"
                )
            ],
            id="what cannot be read",
        ),
        pytest.param(
            create(claim("scanner", "192.0.2.4", "192.0.2.5")),
            known(PRINTER),
            ["Conflict: spec.addresses: 192.0.2.4 is kept for claim printer already; remove it from one of the two"],
            id="an IPv4 address of another claim",
        ),
        pytest.param(
            create(claim("scanner", "2001:db8:0::4")),
            known(PRINTER),
            ["Conflict: spec.addresses: 2001:db8::4 is kept for claim printer already; remove it from one of the two"],
            id="an IPv6 address of another claim, however it is written",
        ),
        pytest.param(
            Question(Operation.UPDATE, claim("scanner", "192.0.2.4"), claim("scanner", "192.0.2.4", "192.0.2.5")),
            known(PRINTER, claim("scanner", "192.0.2.4")),
            [],
            id="a conflict that was there before",
        ),
        pytest.param(Question(Operation.DELETE, PRINTER), known(PRINTER), [], id="letting go"),
    ],
)
def test_a_claim_is_denied_for(question: Question, there: Known, denials: list[str]) -> None:
    assert [str(one) for one in review_claim(question, there).denials] == denials


@pytest.mark.parametrize(
    ("new", "there", "warnings"),
    [
        pytest.param(
            claim("ours", "192.0.2.2", service="shop/web"),
            known(services=(holder("web", "192.0.2.2"),)),
            [],
            id="an address that its own Service has",
        ),
        pytest.param(
            claim("ours", "2001:db8::2", service="shop/web"),
            known(services=(holder("other", "2001:db8::2"),)),
            [
                (
                    "HeldByAnother: 2001:db8::2 is held by Service shop/other; "
                    "it is kept for this claim as soon as it is free"
                )
            ],
            id="an address that another Service has",
        ),
        pytest.param(
            claim("ours", "198.51.100.1"),
            known(),
            ["AddressNotInAnyPool: 198.51.100.1 is in no pool, so no Service gets it; add it to a pool"],
            id="an address of no pool",
        ),
        pytest.param(
            claim("ours", "192.0.2.11"),
            known(),
            ["Conflict: spec.addresses: 192.0.2.11 is an address of node worker-1; remove it"],
            id="an address of a node",
        ),
    ],
)
def test_a_user_is_warned_of(new: Raw, there: Known, warnings: list[str]) -> None:
    verdict = review_claim(create(new), there)

    assert verdict.denials == ()
    assert [str(one) for one in verdict.warnings] == warnings
