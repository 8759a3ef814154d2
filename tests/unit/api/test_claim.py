"""What a claim may say, and how a fault of it is told."""

from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.api.base import InvalidResourceError
from baremetal_lb.api.claim import IPAddressClaim, IPAddressClaimSpec


def read(**spec: Any) -> IPAddressClaimSpec:
    return IPAddressClaim.read({"metadata": {"name": "printer"}, "spec": spec}).spec


def test_a_claim_is_read() -> None:
    spec = read(
        addresses=["192.0.2.10", "2001:DB8::10"], service={"namespace": "web", "name": "shop"}, description="the shop"
    )
    assert spec.addresses == (ip_address("192.0.2.10"), ip_address("2001:db8::10"))
    assert spec.service is not None
    assert (spec.service.namespace, spec.service.name, spec.description) == ("web", "shop", "the shop")


def test_a_claim_may_be_for_no_service() -> None:
    assert read(addresses=["192.0.2.10"]).service is None


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param({}, "spec.addresses: Field required", id="a claim has addresses"),
        pytest.param({"addresses": []}, "spec.addresses: is empty; write at least one address", id="at least one"),
        pytest.param(
            {"addresses": [f"192.0.2.{n}" for n in range(17)]},
            "spec.addresses: Tuple should have at most 16 items after validation, not 17",
            id="at most 16",
        ),
        pytest.param(
            {"addresses": ["2001:db8::1", "2001:db8::1"]},
            'spec.addresses: "2001:db8::1" is there twice; remove one',
            id="each once",
        ),
        pytest.param(
            {"addresses": ["192.0.2.10/32"]},
            "spec.addresses[0]: '192.0.2.10/32' is not a single address; "
            "write each address by itself, without a prefix length",
            id="no prefix length of IPv4",
        ),
        pytest.param(
            {"addresses": ["2001:db8::/64"]},
            "spec.addresses[0]: '2001:db8::/64' is not a single address; "
            "write each address by itself, without a prefix length",
            id="no network of IPv6",
        ),
        pytest.param(
            {"addresses": ["192.0.2.1-192.0.2.2"]},
            "spec.addresses[0]: '192.0.2.1-192.0.2.2' is not a single address; "
            "write each address by itself, without a prefix length",
            id="no range",
        ),
        pytest.param(
            {"addresses": [" 192.0.2.1"]}, "spec.addresses[0]: ' 192.0.2.1' has blanks; write 192.0.2.1", id="no blanks"
        ),
        pytest.param({"addresses": ["shop"]}, "spec.addresses[0]: 'shop' is not an IP address", id="no word"),
        pytest.param(
            {"addresses": [1]},
            "spec.addresses[0]: 1 is not a text; write 192.0.2.10 or 2001:db8::10",
            id="no number",
        ),
        pytest.param(
            {"addresses": ["0" * 46]}, "spec.addresses[0]: has more than 45 characters", id="no text of any length"
        ),
        pytest.param(
            {"addresses": ["fe80::1%eth0"]},
            "spec.addresses[0]: 'fe80::1%eth0' has a zone; write it without '%eth0'",
            id="no zone",
        ),
        pytest.param(
            {"addresses": ["192.0.2.1"], "service": {"name": "shop"}},
            "spec.service.namespace: Field required",
            id="a Service has a namespace",
        ),
        pytest.param(
            {"addresses": ["192.0.2.1"], "service": {"namespace": "web", "name": "a.b"}},
            "spec.service.name: String should match pattern '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
            id="a Service has a name that can be",
        ),
        pytest.param(
            {"addresses": ["192.0.2.1"], "description": "x" * 257},
            "spec.description: String should have at most 256 characters",
            id="a description is short",
        ),
    ],
)
def test_a_fault_says_what_to_do(spec: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidResourceError) as caught:
        read(**spec)
    assert caught.value.faults == (fault,)
