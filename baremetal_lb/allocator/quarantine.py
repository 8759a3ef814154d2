"""Quarantine: which addresses of a pool nobody gets because a foreign host uses them, and until when.

The pool's status is the only store. An address enters it when a speaker first reports a conflict, and leaves it a while
after the last one has ceased to: once nobody has the address, no speaker listens for the host any more, so silence
says little.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from baremetal_lb.addresses import Address, sort_key
from baremetal_lb.api.pool import QUARANTINED_MAX, ConflictPolicy, QuarantinedAddress
from baremetal_lb.config.model import ConflictingHost, Pool

Conflicts = Mapping[Address, ConflictingHost]


def quarantine(
    pool: Pool, present: Iterable[QuarantinedAddress], conflicts: Conflicts, now: datetime, *, seconds: float
) -> tuple[QuarantinedAddress, ...]:
    """Say what is to be in a pool's quarantine from now on; `present` is what its status says."""
    if pool.conflict_policy is not ConflictPolicy.QUARANTINE:
        return ()
    entries = {address: _entry(address, host) for address, host in conflicts_in(pool, conflicts).items()}
    for one in present:
        until = one.until or now.replace(microsecond=0) + timedelta(seconds=seconds)
        if one.address in pool and one.address not in entries and until > now:
            entries[one.address] = one.model_copy(update={"until": until})
    return tuple(entries[address] for address in sorted(entries, key=sort_key)[:QUARANTINED_MAX])


def conflicts_in(pool: Pool, conflicts: Conflicts) -> Conflicts:
    """The conflicts that concern a pool, in the order of the addresses."""
    return {address: conflicts[address] for address in sorted(conflicts, key=sort_key) if address in pool}


def _entry(address: Address, host: ConflictingHost) -> QuarantinedAddress:
    return QuarantinedAddress.model_validate({"address": str(address), **asdict(host)})
