"""The webhook, served by kopf: one path for each kind (see manifests/webhook.yaml).

kopf starts it once the certificate is there, in the loop and the thread in which it runs.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import kopf

from baremetal_lb.admission.model import Operation, Question
from baremetal_lb.api.base import GROUP, VERSION
from baremetal_lb.controller.certificate_keeper import SERVER_NAME
from baremetal_lb.controller.resource_loader import KINDS
from baremetal_lb.controller.webhook import Webhook

FORBIDDEN = 403
POLL_SECONDS = 0.2
NEVER = float("inf")

Raw = dict[str, Any]


def add_webhook(webhook: Webhook, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
    """Have kopf serve the webhook. `settings.admission.managed` stays None: its configuration is ours to keep."""
    resources = [(GROUP, VERSION, kind.names.plural) for kind in KINDS]
    for group, version, plural in [*resources, ("", "v1", "services")]:
        kopf.on.validate(group, version, plural, id=plural, registry=registry)(_handler(webhook, plural))
    settings.admission.server = _server(webhook)


def _handler(webhook: Webhook, plural: str) -> Any:
    async def answer(
        *,
        operation: str,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
        warnings: list[str],
        **_kwargs: Any,
    ) -> None:
        question = Question(Operation(operation), old and dict(old), new and dict(new))
        verdict = await webhook.review(plural, question)
        warnings += [str(warning) for warning in verdict.warnings]
        if verdict.denials:
            raise kopf.AdmissionError(verdict.text, code=FORBIDDEN)

    return answer


def _server(webhook: Webhook) -> Any:
    async def serve(review: Any) -> AsyncIterator[Mapping[str, Any]]:
        async def forgetful(request: Raw, **hints: Any) -> Raw:
            answer: Raw = await review(_without_uids(request), **hints)
            return answer

        while not (path := webhook.certificate.path):  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(POLL_SECONDS)
        server = kopf.WebhookServer(
            port=webhook.port,
            host=SERVER_NAME,
            context=webhook.certificate.context,
            certfile=path,
            pkeyfile=path,
            # It would start anew for another certificate, and be away meanwhile.
            file_check_interval=NEVER,
        )
        async for client_config in server(forgetful):
            yield client_config

    return serve


def _without_uids(request: Raw) -> Raw:
    """Take away by what kopf would remember each object for ever: of Services it never hears that they are gone."""
    content = request["request"]
    anonymous = {
        name: {**raw, "metadata": {**raw["metadata"], "uid": ""}}
        for name in ("object", "oldObject")
        if (raw := content.get(name))
    }
    return {**request, "request": {**content, **anonymous}}
