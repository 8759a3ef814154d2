"""A cluster at rest: once everything is said, the controllers and speakers write their Leases, and nothing else."""

import time
from functools import partial

import pytest

from baremetal_lb.lab import objects
from baremetal_lb.lab.audit import writes_of
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}
SETTLED_SECONDS, REST_SECONDS = 2.0, 10.0


@pytest.mark.usefixtures("webhook_away")
def test_at_rest_nothing_is_written(sandbox: Sandbox, lab: Lab) -> None:
    """Also while Services wait, share, and keep what they would not get today, and resources have faults."""
    pool = sandbox.offer(4)
    ipv4, ipv6 = sandbox.block.ranges(3)
    claim = sandbox.name("claim")
    sandbox.create(objects.claim(claim, [str(sandbox.block.ipv4(0)), str(sandbox.block.ipv6(0))]))
    sandbox.judged("IPAddressClaim", claim, "Reserved")
    sandbox.request_service("web", ECHO).assigned()
    shared = {"baremetal-lb.io/sharing-key": "k"}
    for number in (80, 81):
        ports = [{"port": number, "targetPort": objects.ECHO_PORT}]
        sandbox.request_service(f"shared{number}", ECHO, ports=ports, annotations=shared).assigned()
    kept = sandbox.request_service("kept", ECHO)
    kept.assigned()
    sandbox.patch("IPAddressPool", pool, {"spec": {"addresses": [ipv4, ipv6]}})
    kept.told("AddressKept")
    sandbox.request_service("waiting", ECHO).refused("PoolExhausted")
    newer = sandbox.name("newer")
    sandbox.create(objects.pool(newer, [ipv4, ipv6]))
    sandbox.judged("IPAddressPool", newer, "Conflict")

    wait_for("all is said", partial(_written_within, lab, SETTLED_SECONDS), lambda written: not written, within=60)
    assert _written_within(lab, REST_SECONDS) == []


def _written_within(lab: Lab, seconds: float) -> list[str]:
    before = {process: len(writes_of(lab.paths, process)) for process in ("controller", "speaker")}
    time.sleep(seconds)
    after = [one for process, known in before.items() for one in writes_of(lab.paths, process)[known:]]
    return [one for one in after if " leases " not in one]
