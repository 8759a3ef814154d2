"""Events: Normal for good news, Warning for the rest, and in a form that the API server takes."""

from datetime import UTC, datetime

import pytest

from baremetal_lb.events import Event, Subject
from baremetal_lb.reasons import Reason

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERVICE = Subject("v1", "Service", "shop", "web", "uid-1")
POOL = Subject("baremetal-lb.io/v1", "IPAddressPool", "", "gold", "uid-2")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        pytest.param(Reason.ASSIGNED, "Normal", id="an address is good news"),
        pytest.param(Reason.POOL_EXHAUSTED, "Warning", id="a refusal is not"),
        pytest.param(Reason.ADDRESS_KEPT, "Warning", id="nor is an address that is merely kept"),
    ],
)
def test_type(reason: Reason, kind: str) -> None:
    body = Event(SERVICE, reason, "why").body("controller", NOW)

    assert (body["type"], body["reason"], body["message"]) == (kind, reason.value, "why")


def test_an_event_is_created_beside_its_object() -> None:
    event = Event(SERVICE, Reason.ASSIGNED, "why")

    assert event.path == "/api/v1/namespaces/shop/events"
    assert event.body("controller", NOW)["involvedObject"]["uid"] == "uid-1"


def test_an_event_on_an_object_without_namespace_goes_to_default() -> None:
    event = Event(POOL, Reason.CONFLICT, "why")

    assert event.path == "/api/v1/namespaces/default/events"
    assert event.body("controller", NOW)["metadata"]["namespace"] == "default"


def test_a_message_is_cut_where_the_api_server_would_refuse_it() -> None:
    assert len(Event(SERVICE, Reason.ASSIGNED, "x" * 5000).body("controller", NOW)["message"]) == 1024
