"""Judges an IPAddressClaim that is about to be written: whether its addresses are another's."""

from collections.abc import Iterator

from baremetal_lb.addresses import Address
from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import Finding, Question, Verdict, combine, judge, split
from baremetal_lb.config.compile_claims import compile_claims
from baremetal_lb.config.model import Claim
from baremetal_lb.config.reading import RawObject
from baremetal_lb.reasons import Reason


def review_claim(question: Question, known: Known) -> Verdict:
    """Judge what is about to happen to a claim; letting go of addresses harms nobody."""
    if question.new is None:
        return Verdict()
    old, faults_before = _read(question.old)
    new, faults = _read(question.new)
    if new is None:
        return judge(faults, faults_before)
    _, remarks = split(compile_claims((question.new,), known.surroundings.node_addresses)[1])
    others = [claim for raw in known.claims if (claim := _read(raw)[0]) and claim.name != new.name]
    rivalry = judge(_rivals(new, others), _rivals(old, others) if old else ())
    return combine(rivalry, Verdict(warnings=(*remarks, *_held_by_another(new, known), *_in_no_pool(new, known))))


def _read(raw: RawObject | None) -> tuple[Claim | None, tuple[Finding, ...]]:
    """Read a claim by itself, or all that is wrong with it."""
    if raw is None:
        return None, ()
    claims, problems = compile_claims((raw,), {})
    return next(iter(claims), None), split(problems)[0]


def _rivals(claim: Claim, others: list[Claim]) -> Iterator[Finding]:
    kept_for: dict[Address, str] = {address: other.name for other in others for address in other.addresses}
    for address in claim.addresses:
        if address in kept_for:
            yield Finding(
                Reason.CONFLICT,
                f"spec.addresses: {address} is kept for claim {kept_for[address]} already; "
                "remove it from one of the two",
            )


def _held_by_another(claim: Claim, known: Known) -> Iterator[Finding]:
    for service in (neighbour.view for neighbour in known.near(claim.addresses)):
        for address in service.ingress if service.key != claim.service else ():
            if address in claim.addresses:
                yield Finding(
                    Reason.HELD_BY_ANOTHER,
                    f"{address} is held by Service {service.key}; it is kept for this claim as soon as it is free",
                )


def _in_no_pool(claim: Claim, known: Known) -> Iterator[Finding]:
    for address in claim.addresses:
        if known.config.pool_of(address) is None:
            yield Finding(
                Reason.ADDRESS_NOT_IN_ANY_POOL, f"{address} is in no pool, so no Service gets it; add it to a pool"
            )
