"""The webhook: what a user of kubectl hears at once, and that a cluster does without it."""

import json
import socket
import ssl
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.controller.certificate_keeper import CONFIGURATION_PATH, SECRET_PATH, SERVER_NAME
from baremetal_lb.controller.webhook_certificate import make_certificate, read_bundle
from baremetal_lb.lab import objects
from baremetal_lb.lab.api import MERGE_PATCH
from baremetal_lb.lab.lab import PRODUCT_NAMESPACE, Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.sandbox import Sandbox, ServiceHandle
from baremetal_lb.lab.topology import CONTROL_PLANE
from baremetal_lb.lab.waiting import wait_for
from baremetal_lb.settings import WEBHOOK_PORT

ECHO = {"app": "echo"}
KNOWN_WITHIN_SECONDS = 10.0
ROTATED_WITHIN_SECONDS = 90.0
"""Each replica looks every half minute, and once more before it serves what it found."""


class Said(NamedTuple):
    """What kubectl told its user."""

    done: bool
    words: str


def kubectl(lab: Lab, *arguments: str, stdin: str | None = None) -> Said:
    argv = lab.kubectl_command(*arguments)
    ended = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    return Said(ended.returncode == 0, ended.stderr)


def apply(lab: Lab, thing: Object, *, namespace: str = "") -> Said:
    """Ask whether an object may be applied, and leave everything as it is."""
    return kubectl(
        lab, "apply", "--dry-run=server", "--filename=-", f"--namespace={namespace}", stdin=json.dumps(thing)
    )


def is_denied(ask: Callable[[], Said], kind: str, why: str) -> None:
    """Pin for what the webhook of a kind refuses it, as soon as every replica may know."""
    words = f'admission webhook "{kind}.baremetal-lb.io" denied the request: {why}\n'
    said = wait_for("it is refused", ask, lambda seen: words in seen.words, within=KNOWN_WITHIN_SECONDS)
    assert not said.done


def is_warned(ask: Callable[[], Said], *warnings: str) -> None:
    """Pin that it is accepted, and what its author is warned of, as soon as every replica may know."""
    told = [f"Warning: {warning}" for warning in warnings]
    wait_for("its author is warned", ask, lambda seen: _warnings(seen) == told, within=KNOWN_WITHIN_SECONDS)


def _warnings(said: Said) -> list[str]:
    """What its author was warned of, but for kubectl's own remark on objects that it did not create."""
    if not said.done:
        return [said.words]
    lines = [line for line in said.words.splitlines() if line.startswith("Warning: ")]
    return [line for line in lines if "last-applied-configuration" not in line]


@pytest.fixture(autouse=True)
def answering(lab: Lab) -> None:
    """Every replica serves the webhook: one that has just started does so a few seconds after it is ready."""
    wait_for("every replica serves the webhook", partial(_is_served_everywhere, lab), within=60)


@pytest.fixture
def pool(sandbox: Sandbox) -> str:
    return sandbox.offer()


@pytest.fixture
def web(sandbox: Sandbox, pool: str) -> ServiceHandle:  # noqa: ARG001 - it needs addresses
    """A Service with the first addresses of the pool."""
    service = sandbox.request_service("web", ECHO)
    service.assigned()
    return service


def asking(sandbox: Sandbox, address: object, **annotations: str) -> Object:
    named = {f"baremetal-lb.io/{key}": value for key, value in annotations.items()}
    return objects.service(
        sandbox.name("asker"), selector=ECHO, annotations={"baremetal-lb.io/addresses": str(address), **named}
    )


class TestAPool:
    def test_that_overlaps_with_another_is_refused(self, lab: Lab, sandbox: Sandbox, pool: str) -> None:
        for common in sandbox.block.ranges(2):
            ask = partial(apply, lab, objects.pool(sandbox.name("newer"), [common]))
            shared = AddressRange.parse(common)
            is_denied(
                ask,
                "ipaddresspools",
                f"Conflict: spec.addresses: {shared} is in pool {pool} too; remove it from one of the two, or delete "
                f"pool {pool} first: its Services stay, and this pool takes them over",
            )

    def test_does_not_lose_addresses_in_use(self, lab: Lab, sandbox: Sandbox, pool: str, web: ServiceHandle) -> None:
        rest = [f"{sandbox.block.ipv4(3)}/32", f"{sandbox.block.ipv6(3)}/128"]
        holder = f"(Service {sandbox.namespace}/{web.name})"
        held = ", ".join(f"{address} {holder}" for address in web.addresses())
        is_denied(
            partial(apply, lab, objects.pool(pool, rest)),
            "ipaddresspools",
            f"AddressInUse: takes addresses from Services that have them: {held}; delete those Services first, set "
            "spec.reclaimPolicy to Reassign as well so that they get others, or delete the pool and create those that "
            "take them over",
        )
        is_warned(
            partial(apply, lab, objects.pool(pool, rest, reclaimPolicy="Reassign")),
            f"AddressInUse: takes addresses from Services that have them, which get others one by one: {held}",
        )

    def test_that_is_in_use_is_deleted_with_a_warning(
        self, lab: Lab, sandbox: Sandbox, pool: str, web: ServiceHandle
    ) -> None:
        is_warned(
            partial(kubectl, lab, "delete", "--dry-run=server", "ipaddresspool", pool),
            f"PoolBeingDeleted: pool {pool} gives no new addresses from now on. Services have some of it "
            f"({sandbox.namespace}/{web.name}): they keep them, and the pool goes when the last of them is gone or "
            "other pools have taken them over",
        )

    def test_that_is_renamed_while_it_is_in_use_keeps_its_services(
        self, lab: Lab, sandbox: Sandbox, pool: str, web: ServiceHandle
    ) -> None:
        """Delete the old one, create the new one: nothing is in the way, and no address changes."""
        addresses = web.addresses()
        sandbox.delete("IPAddressPool", pool)
        renamed = objects.pool(sandbox.name("renamed"), sandbox.block.ranges())
        is_warned(partial(apply, lab, renamed))
        sandbox.create(renamed)
        wait_for("the old pool is gone", lambda: not sandbox.exists("IPAddressPool", pool))
        assert web.addresses() == addresses

    def test_of_the_clusters_own_addresses_is_accepted_with_a_warning(self, lab: Lab, sandbox: Sandbox) -> None:
        node = lab.topology.nodes[0]
        for address in node.addresses:
            own = f"{address}/{address.max_prefixlen}"
            is_warned(
                partial(apply, lab, objects.pool(sandbox.name("own"), [own])),
                f"OverlapsCluster: spec.addresses: the cluster itself uses {address} (node {node.name}); "
                "take them out of the pool, or name them in spec.excludedAddresses",
            )

    def test_passes_when_nothing_is_wrong_with_it(self, lab: Lab, sandbox: Sandbox) -> None:
        is_warned(partial(apply, lab, objects.pool(sandbox.name("fine"), ["198.51.100.0/28", "2001:db8:100::/124"])))


def test_an_advertisement_of_an_unknown_pool_is_accepted_with_a_warning(lab: Lab) -> None:
    is_warned(
        partial(apply, lab, objects.advertisement("mistaken", ["atlantis"])),
        "UnknownPool: spec.ipAddressPools[0]: there is no pool atlantis; create it or remove the name",
    )


@pytest.mark.usefixtures("pool")
class TestAClaim:
    def test_of_an_address_that_another_claims_is_refused(self, lab: Lab, sandbox: Sandbox) -> None:
        address = str(sandbox.block.ipv6(4))
        first = sandbox.create(objects.claim(sandbox.name("first"), [address]))["metadata"]["name"]
        is_denied(
            partial(apply, lab, objects.claim(sandbox.name("second"), [address])),
            "ipaddressclaims",
            f"Conflict: spec.addresses: {address} is kept for claim {first} already; remove it from one of the two",
        )

    def test_of_what_a_service_has_is_accepted_with_a_warning(
        self, lab: Lab, sandbox: Sandbox, web: ServiceHandle
    ) -> None:
        address = web.addresses()[0]
        is_warned(
            partial(apply, lab, objects.claim(sandbox.name("late"), [str(address)])),
            f"HeldByAnother: {address} is held by Service {sandbox.namespace}/{web.name}; "
            "it is kept for this claim as soon as it is free",
        )

    def test_of_an_address_of_no_pool_is_accepted_with_a_warning(self, lab: Lab, sandbox: Sandbox) -> None:
        is_warned(
            partial(apply, lab, objects.claim(sandbox.name("lost"), ["203.0.113.1"])),
            "AddressNotInAnyPool: 203.0.113.1 is in no pool, so no Service gets it; add it to a pool",
        )


class TestAService:
    def test_that_asks_for_anothers_address_is_refused(self, lab: Lab, sandbox: Sandbox, web: ServiceHandle) -> None:
        for address in web.addresses():
            ask = partial(apply, lab, asking(sandbox, address), namespace=sandbox.namespace)
            is_denied(ask, "services", _in_use(address, sandbox, web))

    def test_that_may_not_share_is_refused(self, lab: Lab, sandbox: Sandbox, web: ServiceHandle) -> None:
        web.patch({"metadata": {"annotations": {"baremetal-lb.io/sharing-key": "k"}}})
        for address in web.addresses():
            asker = asking(sandbox, address, **{"sharing-key": "k"})
            is_denied(
                partial(apply, lab, asker, namespace=sandbox.namespace),
                "services",
                f"SharingRefused: {address} is held by Service {sandbox.namespace}/{web.name} and can't be shared "
                "with it: both have port 80/TCP; ask for another address",
            )

    @pytest.mark.parametrize(
        ("annotations", "warning"),
        [
            pytest.param(
                {"baremetal-lb.io/addresses": "203.0.113.1"},
                "AddressNotInAnyPool: 203.0.113.1 is in no pool; add it to one or ask for another address",
                id="an address of no pool",
            ),
            pytest.param(
                {"metallb.universe.tf/loadBalancerIPs": "2001:db8:ffff::1"},
                "AddressNotInAnyPool: 2001:db8:ffff::1 is in no pool; add it to one or ask for another address",
                id="an address of no pool, in MetalLB's words",
            ),
            pytest.param(
                {"baremetal-lb.io/addresses": "garbage"},
                "InvalidRequest: cannot read the requested addresses: 'garbage' is not an IP address",
                id="what is no address",
            ),
            pytest.param(
                {"baremetal-lb.io/pool": "gold", "metallb.io/address-pool": "silver"},
                "ContradictoryRequest: annotations baremetal-lb.io/pool and metallb.io/address-pool ask for different "
                "things; remove one of the two",
                id="two things at once",
            ),
            pytest.param(
                {"baremetal-lb.io/pool": "atlantis"},
                "PoolNotFound: there is no valid pool atlantis; create it or name another",
                id="an unknown pool",
            ),
        ],
    )
    def test_hears_what_its_condition_will_say(
        self, lab: Lab, sandbox: Sandbox, annotations: dict[str, str], warning: str
    ) -> None:
        name = sandbox.name("asker")
        made = objects.service(name, selector=ECHO, annotations=annotations)
        is_warned(partial(apply, lab, made, namespace=sandbox.namespace), warning)
        reason, _, message = warning.partition(": ")
        asker = sandbox.request_service("asker", ECHO, annotations=annotations)
        assert asker.refused(reason)["message"] == message


@pytest.mark.usefixtures("webhook_away")
def test_without_it_the_condition_says_the_same(sandbox: Sandbox, web: ServiceHandle) -> None:
    """More of what the controller does by itself is in test_bad_input.py."""
    address = web.addresses()[1]
    asker = sandbox.request_service("asker", ECHO, annotations={"baremetal-lb.io/addresses": str(address)})
    assert f"AddressInUse: {asker.refused('AddressInUse')['message']}" == _in_use(address, sandbox, web)


@pytest.mark.usefixtures("healthy_afterwards")
def test_while_no_controller_runs_everything_is_accepted_and_judged_later(
    lab: Lab, sandbox: Sandbox, pool: str
) -> None:
    replicas = _deployment(lab)["spec"]["replicas"]
    newer = sandbox.name("younger")  # which comes last, too, where both were made in one second
    try:
        _scale(lab, 0)
        wait_for("no controller is there", partial(_controllers, lab), lambda pods: not pods)
        sandbox.create(objects.pool(newer, sandbox.block.ranges(2)))
    finally:
        _scale(lab, replicas)
    ready = wait_for("the pool is judged", partial(sandbox.condition, "IPAddressPool", newer), within=60)
    assert (ready["status"], ready["reason"]) == ("False", "Conflict")
    assert pool in ready["message"]


def test_its_certificate_is_replaced_while_it_is_asked(lab: Lab, sandbox: Sandbox, pool: str) -> None:  # noqa: ARG001
    """Not one question is left unanswered while a certificate that has nearly ended gives way to a new one."""
    ending = make_certificate(SERVER_NAME, datetime.now(UTC) - timedelta(days=89))
    overlapping = objects.pool(sandbox.name("newer"), sandbox.block.ranges(2))
    wait_for("it is refused", partial(apply, lab, overlapping), lambda said: not said.done)
    lab.request("PATCH", SECRET_PATH, {"data": dict(ending.secret_data())}, content_type=MERGE_PATCH)
    deadline = time.monotonic() + ROTATED_WITHIN_SECONDS
    while _authority(lab) == ending.authority or not _is_served_everywhere(lab):
        assert time.monotonic() < deadline, "the old certificate is still there"
        assert not apply(lab, overlapping).done
    assert not apply(lab, overlapping).done


def _authority(lab: Lab) -> bytes:
    return b64decode(lab.get_json(SECRET_PATH).get("data", {}).get("ca.crt", ""))


def _is_served_everywhere(lab: Lab) -> bool:
    """Tell whether the API server trusts the authority of the Secret, and every replica serves a certificate of it."""
    authority = _authority(lab)
    webhooks = lab.get_json(CONFIGURATION_PATH)["webhooks"]
    if not all(authority in read_bundle(one["clientConfig"].get("caBundle", "")) for one in webhooks):
        return False
    hosts = [pod["status"].get("podIP", "") for pod in _controllers(lab)]
    return all(lab.inside(CONTROL_PLANE, partial(_convinces, host, authority.decode())) for host in hosts)


def _convinces(host: str, authority: str) -> bool:
    context = ssl.create_default_context(cadata=authority)
    try:
        with (
            socket.create_connection((host, WEBHOOK_PORT), timeout=3) as plain,
            context.wrap_socket(plain, server_hostname=SERVER_NAME),
        ):
            return True
    except OSError:
        return False


def _in_use(address: object, sandbox: Sandbox, holder: ServiceHandle) -> str:
    return (
        f"AddressInUse: {address} is held by Service {sandbox.namespace}/{holder.name}; ask for another address, free "
        "this one, or let both share it (annotation baremetal-lb.io/sharing-key)"
    )


def _deployment(lab: Lab) -> Object:
    found: Object = lab.get_json(f"/apis/apps/v1/namespaces/{PRODUCT_NAMESPACE}/deployments/controller")
    return found


def _scale(lab: Lab, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{PRODUCT_NAMESPACE}/deployments/controller"
    lab.request("PATCH", path, {"spec": {"replicas": replicas}}, content_type=MERGE_PATCH)


def _controllers(lab: Lab) -> list[Any]:
    pods = f"/api/v1/namespaces/{PRODUCT_NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=controller"
    found: list[Any] = lab.get_json(pods)["items"]
    return found
