"""What the speaker watches. The handlers only take facts in and wake the reconciler."""

from collections.abc import Callable
from typing import Any, TypeVar

from baremetal_lb.cluster.endpoints import parse_endpoint_slice
from baremetal_lb.cluster.lease import SPEAKER_SELECTOR, parse_lease
from baremetal_lb.cluster.node import parse_node
from baremetal_lb.kube.client import KubeClient
from baremetal_lb.kube.watch import Key, Watch
from baremetal_lb.speaker.reconciler import Reconciler
from baremetal_lb.speaker.state import parse_addressed_service
from baremetal_lb.speaker.statement import parse_statement

API_GROUP = "/apis/baremetal-lb.io/v1"
T = TypeVar("T")


def watches(client: KubeClient, namespace: str, reconciler: Reconciler) -> dict[str, Watch[Any]]:
    """Make the watches, by kind; they are to be run."""
    state = reconciler.state

    def then_wake(take_in: Callable[[Key, T | None], None]) -> Callable[[Key, T | None], None]:
        def handle(key: Key, view: T | None) -> None:
            take_in(key, view)
            reconciler.wake()

        return handle

    return {
        "Service": Watch(
            client,
            "/api/v1/services",
            parse_addressed_service,
            then_wake(state.service_changed),
            field_selector="spec.type=LoadBalancer",
        ),
        "EndpointSlice": Watch(
            client,
            "/apis/discovery.k8s.io/v1/endpointslices",
            parse_endpoint_slice,
            then_wake(state.slice_changed),
            label_selector="!service.kubernetes.io/headless",
        ),
        "Node": Watch(client, "/api/v1/nodes", parse_node, then_wake(reconciler.node_changed)),
        "IPAddressPool": Watch(client, f"{API_GROUP}/ipaddresspools", _unparsed, then_wake(state.pool_changed)),
        "L2Advertisement": Watch(
            client, f"{API_GROUP}/l2advertisements", _unparsed, then_wake(state.l2_advertisement_changed)
        ),
        "SpeakerStatus": Watch(
            client, f"{API_GROUP}/speakerstatuses", parse_statement, then_wake(reconciler.status_changed)
        ),
        "Lease": Watch(
            client,
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
            parse_lease,
            reconciler.lease_changed,
            on_connection=reconciler.lease_stream_changed,
            label_selector=SPEAKER_SELECTOR,
        ),
    }


def _unparsed(raw: dict[str, Any]) -> dict[str, Any]:
    """Custom resources are few, and are compiled all together."""
    return raw
