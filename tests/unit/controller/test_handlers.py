"""kopf's part: it is told nothing but to say that something changed, and logs in as the process does."""

import asyncio
import threading

import kopf
import pytest

from baremetal_lb.controller.handlers import build_registry, build_settings, follow_resources


class FakeCredentials:
    """What `kubernetes.aio` knows after reading a kubeconfig."""

    host = "https://192.0.2.2:6443"
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:
        return "Bearer s3cret" if identifier == "BearerToken" else None


def registry() -> kopf.OperatorRegistry:
    return build_registry(FakeCredentials(), lambda: None)


def test_only_events_of_our_resources_are_handled() -> None:
    """Any other kind of handler would write finalizers and annotations."""
    built = registry()

    assert {handler.selector.any_name for handler in built._watching._handlers} == {
        "ipaddresspools",
        "ipaddressclaims",
        "l2advertisements",
    }
    assert not built._changing._handlers
    assert not built._spawning._handlers
    assert not built._indexing._handlers


async def test_it_logs_in_with_the_token_of_the_process() -> None:
    (handler,) = registry()._activities._handlers

    info = await handler.fn()

    assert (info.server, info.scheme, info.token) == ("https://192.0.2.2:6443", "Bearer", "s3cret")


async def test_a_change_is_passed_on_without_its_content() -> None:
    calls: list[None] = []
    built = build_registry(FakeCredentials(), lambda: calls.append(None))

    for handler in built._watching._handlers:
        await handler.fn(body={}, event={"type": None})

    assert len(calls) == 3


def test_it_writes_nothing_of_its_own_accord() -> None:
    settings = build_settings()

    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True


def test_it_comes_back_soon_however_long_the_api_server_was_away() -> None:
    """Services are decided on again by then; a pool that changed meanwhile must not go unheard."""
    networking = build_settings().networking
    waits = list(networking.error_backoffs)

    assert max(waits) <= 3.0
    assert sum(waits) > 1800
    assert networking.connect_timeout == 3.0


def test_it_is_started_again_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, starts = threading.Event(), []

    async def operator(**_: object) -> None:
        starts.append(asyncio.get_running_loop())
        if len(starts) == 2:
            stop.set()
        raise RuntimeError("no more")

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr("baremetal_lb.controller.handlers.RESTART_SECONDS", 0.0)

    follow_resources(FakeCredentials(), lambda: None, stop)

    assert len(starts) == 2
