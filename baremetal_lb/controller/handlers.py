"""kopf, for what it is good at: hearing at once of any change of our own resources, and serving the webhook.

It runs in a thread with an event loop of its own, because its operator takes over signals and, when it ends, cancels
every task of the loop it is in. Its handlers act on nothing but the fact that something changed: kopf forgets deletions
it was cut off for, so whoever is told lists everything anew.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import kopf
import structlog

from baremetal_lb.api.base import GROUP, VERSION
from baremetal_lb.controller.resource_loader import KINDS
from baremetal_lb.controller.webhook import Webhook
from baremetal_lb.controller.webhook_server import add_webhook

RESTART_SECONDS = 5.0
"""How long to wait before kopf is started again, should it ever end by itself."""

BACKOFF_SECONDS = (0.5, 1.0, *(3.0,) * 1000)
"""Between two tries to reach the API server. Left to itself kopf waits ever longer, and is deaf when it comes back."""

CONNECT_SECONDS = 3.0
"""Left to itself kopf waits for the kernel, which asks a network that healed again only after half a minute or more."""

log = structlog.get_logger()


class Credentials(Protocol):
    """How the process logs in: the part of `kubernetes.aio`'s Configuration that is needed here."""

    host: str
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """The token with its scheme in front, as fresh as it is now."""


def follow_resources(
    credentials: Credentials,
    on_change: Callable[[], object],
    stop: threading.Event,
    webhook: Webhook | None = None,
) -> None:
    """Call `on_change` (in this thread) whenever a resource of ours changes, and serve the webhook, until `stop`."""
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    # It calls every refusal of the webhook an error; the webhook itself tells of them.
    logging.getLogger("kopf.objects").setLevel(logging.CRITICAL)
    while not stop.is_set():
        registry, settings = build_registry(credentials, on_change), build_settings()
        if webhook is not None:
            add_webhook(webhook, registry, settings)
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry,
                    settings=settings,
                    clusterwide=True,
                    # Else kopf asks for the user's name, and the user of the image has none.
                    identity="controller",
                    stop_flag=stop,
                )
            )
        except Exception as error:  # whatever ended kopf: the resources are still listed every minute
            log.error("kopf ended", error=repr(error), retry_seconds=RESTART_SECONDS)
            stop.wait(RESTART_SECONDS)


def build_registry(credentials: Credentials, on_change: Callable[[], object]) -> kopf.OperatorRegistry:
    """Register the handlers: `on.event` only, since any other kind would write annotations and finalizers."""
    registry = kopf.OperatorRegistry()

    async def log_in(**_kwargs: Any) -> kopf.ConnectionInfo:
        scheme, _blank, token = (await credentials.get_api_key_with_prefix("BearerToken") or "").partition(" ")
        return kopf.ConnectionInfo(
            server=credentials.host,
            ca_path=credentials.ssl_ca_cert,
            scheme=scheme or None,
            token=token or None,
            certificate_path=credentials.cert_file,
            private_key_path=credentials.key_file,
        )

    async def resource_changed(**_kwargs: Any) -> None:
        on_change()

    kopf.on.login(registry=registry)(log_in)
    for kind in KINDS:
        kopf.on.event(GROUP, VERSION, kind.names.plural, registry=registry)(resource_changed)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """No Events, no peering and no look at CRDs of our own accord: each would need rights that nothing else needs.

    And soon back after an outage, since Services are decided on again by then, with the pools as they were.
    """
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.error_backoffs = BACKOFF_SECONDS
    settings.networking.connect_timeout = settings.watching.connect_timeout = CONNECT_SECONDS
    return settings
