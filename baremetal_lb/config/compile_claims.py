"""IPAddressClaims -> reservations: each address is kept for one of them at most."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from baremetal_lb.addresses import Address
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.cluster.service import ServiceKey
from baremetal_lb.config.model import OLDEST, Claim
from baremetal_lb.config.problems import Problem
from baremetal_lb.config.reading import RawObject, read_all
from baremetal_lb.reasons import Reason


def compile_claims(
    raw_claims: Iterable[RawObject], node_addresses: Mapping[Address, str]
) -> tuple[list[Claim], list[Problem]]:
    """Keep each address for the claim created first; one that a node has is kept for none.

    A claim keeps what is left to it. It is left out of the Config where that is nothing.
    """
    resources, problems = read_all(IPAddressClaim, raw_claims)
    kept: list[Claim] = []
    kept_for: dict[Address, str] = {}
    for claim in sorted(map(_claim, resources), key=lambda claim: (claim.created_at, claim.name)):
        faults = {address: _fault(address, node_addresses, kept_for) for address in claim.addresses}
        left = tuple(address for address, fault in faults.items() if not fault)
        problems += [
            Problem("IPAddressClaim", claim.name, Reason.CONFLICT, f"spec.addresses: {fault}", fatal=not left)
            for fault in faults.values()
            if fault
        ]
        if left:
            kept.append(replace(claim, addresses=left))
            kept_for |= dict.fromkeys(left, claim.name)
    return kept, problems


def _fault(address: Address, node_addresses: Mapping[Address, str], kept_for: Mapping[Address, str]) -> str:
    """Why an address cannot be kept for a younger claim; empty where it can."""
    if address in node_addresses:
        return f"{address} is an address of node {node_addresses[address]}; remove it"
    if address in kept_for:
        return f"{address} is kept for the older claim {kept_for[address]}; remove it from one of the two"
    return ""


def _claim(resource: IPAddressClaim) -> Claim:
    spec = resource.spec
    return Claim(
        name=resource.metadata.name,
        addresses=tuple(dict.fromkeys(spec.addresses)),
        service=ServiceKey(spec.service.namespace, spec.service.name) if spec.service else None,
        created_at=resource.metadata.creation_timestamp or OLDEST,
    )
