"""The webhook on a real socket with real TLS, and what stands between kopf and our verdicts."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import kopf
import pytest

from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import Finding, Verdict
from baremetal_lb.controller import webhook as module
from baremetal_lb.controller.certificate_keeper import SERVER_NAME
from baremetal_lb.controller.webhook import Webhook
from baremetal_lb.controller.webhook_certificate import ServingCertificate, make_certificate
from baremetal_lb.controller.webhook_server import add_webhook
from baremetal_lb.reasons import Reason

POOL = {"metadata": {"name": "gold", "uid": "7"}, "spec": {"addresses": ["192.0.2.0/33", "2001:db8::/129"]}}


def free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_certificate() -> ServingCertificate:
    return make_certificate(SERVER_NAME, datetime.now(UTC))


def webhook_of(known: Known | None) -> Webhook:
    return Webhook(free_port(), asyncio.get_running_loop(), lambda: known)


def served_by_kopf(webhook: Webhook) -> tuple[kopf.OperatorRegistry, kopf.OperatorSettings]:
    registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    add_webhook(webhook, registry, settings)
    return registry, settings


@asynccontextmanager
async def serving(webhook: Webhook, reviewed: list[dict[str, Any]]) -> AsyncIterator[None]:
    """Serve with a review that takes note of what kopf would be given."""

    async def review(request: dict[str, Any], **hints: Any) -> dict[str, Any]:
        reviewed.append({**request, "hints": hints})
        return {"allowed": True}

    _, settings = served_by_kopf(webhook)
    generator = settings.admission.server(review)
    started = asyncio.create_task(anext(generator))
    try:
        async with asyncio.timeout(10):
            await started
        yield
    finally:
        await generator.aclose()


async def ask(webhook: Webhook, trusted: ServingCertificate) -> None:
    """Ask as the API server does, on a connection of its own."""
    context = ssl.create_default_context(cadata=trusted.authority.decode())
    body = {"request": {"object": POOL, "oldObject": None}}
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{webhook.port}/ipaddresspools"
        async with session.post(url, json=body, ssl=context, server_hostname=SERVER_NAME) as answer:
            assert await answer.json() == {"allowed": True}


async def test_the_certificate_is_replaced_while_it_serves() -> None:
    webhook, first, second = webhook_of(None), new_certificate(), new_certificate()
    webhook.certificate.use(first.chain)
    async with serving(webhook, []):
        await ask(webhook, first)
        webhook.certificate.use(second.chain)
        await ask(webhook, second)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(webhook, first)


async def test_it_waits_for_its_certificate() -> None:
    webhook = webhook_of(None)
    _, settings = served_by_kopf(webhook)
    starting = asyncio.create_task(anext(settings.admission.server(None)))
    for _ in range(5):
        await asyncio.sleep(0)

    assert not starting.done()
    starting.cancel()


async def test_kopf_is_not_told_what_it_would_never_forget() -> None:
    webhook, reviewed, certificate = webhook_of(None), list[dict[str, Any]](), new_certificate()
    webhook.certificate.use(certificate.chain)
    async with serving(webhook, reviewed):
        await ask(webhook, certificate)

    assert reviewed[0]["request"]["object"] == {**POOL, "metadata": {"name": "gold", "uid": ""}}
    assert reviewed[0]["hints"]["webhook"] == "ipaddresspools"


async def answer(webhook: Webhook, warnings: list[str]) -> None:
    registry, _ = served_by_kopf(webhook)
    (handler,) = (one for one in registry._webhooks._handlers if one.id == "ipaddresspools")
    await handler.fn(operation="CREATE", old=None, new=POOL, warnings=warnings)


def test_each_kind_has_a_handler_of_its_own() -> None:
    webhook = Webhook(0, asyncio.new_event_loop(), lambda: None)
    registry, settings = served_by_kopf(webhook)
    webhook.loop.close()

    assert {"ipaddresspools", "l2advertisements", "services"} <= {one.id for one in registry._webhooks._handlers}
    assert settings.admission.managed is None


async def test_a_denial_reaches_the_user_as_forbidden() -> None:
    with pytest.raises(kopf.AdmissionError, match="InvalidSpec") as denial:
        await answer(webhook_of(Known()), [])

    assert denial.value.code == 403


async def test_warnings_reach_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Verdict(warnings=(Finding(Reason.CONFLICT, "look out"),))
    monkeypatch.setattr(module, "review", lambda *_: said)
    warnings: list[str] = []

    await answer(webhook_of(Known()), warnings)

    assert warnings == ["Conflict: look out"]
