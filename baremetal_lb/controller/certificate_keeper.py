"""Keeps the webhook's certificate good: in a Secret that all replicas share, and known to the API server.

Level-triggered, on every replica alike. The order is what matters when a certificate is replaced: first the API server
is told to trust the new authority beside the old one, and only in a later turn, when it has had time to hear of it, is
the new certificate served. Whichever of two replicas is slower loses the race for the Secret, since its resourceVersion
is out of date by then, and takes what the other one made.
"""

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import structlog

from baremetal_lb.admission.certificate import needs_rotation, trusted_authorities
from baremetal_lb.controller.api import ApiWriter
from baremetal_lb.controller.webhook_certificate import (
    ServingCertificate,
    make_certificate,
    read_bundle,
    read_certificate,
    write_bundle,
)
from baremetal_lb.kube.client import ApiError
from baremetal_lb.settings import SYSTEM_NAMESPACE, ControllerSettings

SERVER_NAME = f"controller-webhook.{SYSTEM_NAMESPACE}.svc"
SECRET_PATH = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/controller-webhook"
CONFIGURATION_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/baremetal-lb"

log = structlog.get_logger()


class CertificateKeeper:
    """Calls `serve` with certificate and key (PEM) whenever another certificate is to be served."""

    def __init__(self, client: ApiWriter, settings: ControllerSettings, serve: Callable[[bytes], None]) -> None:
        self._client = client
        self._settings = settings
        self._serve = serve
        self._served = b""

    async def run(self) -> None:
        """Keep it for ever."""
        while True:
            try:
                is_settled = await self.turn(datetime.now(UTC))
            except ApiError as error:
                is_settled = error.status != 409
                if is_settled:
                    log.warning("webhook certificate not kept", error=str(error))
            await asyncio.sleep(
                self._settings.certificate_check_seconds if is_settled else self._settings.certificate_settle_seconds
            )

    async def turn(self, now: datetime) -> bool:
        """Do the next step; tell whether it was the last one. Raises ApiError."""
        certificate = await self._certificate(now)
        if not await self._is_trusted(certificate):
            return False
        if certificate.chain != self._served:
            self._served = certificate.chain
            self._serve(certificate.chain)
            log.info("serving the webhook", name=SERVER_NAME, until=certificate.facts.valid_until.isoformat())
        return True

    async def _certificate(self, now: datetime) -> ServingCertificate:
        """The certificate of the Secret, replaced if need be."""
        secret = await self._client.get(SECRET_PATH)
        present = read_certificate(secret.get("data") or {})
        if present and not needs_rotation(present.facts, SERVER_NAME, now):
            return present
        made = make_certificate(SERVER_NAME, now)
        version = {"resourceVersion": secret["metadata"]["resourceVersion"]}
        await self._client.patch(SECRET_PATH, {"metadata": version, "data": made.secret_data()})
        log.info("webhook certificate made", name=SERVER_NAME, until=made.facts.valid_until.isoformat())
        return made

    async def _is_trusted(self, certificate: ServingCertificate) -> bool:
        """Whether the API server knows the certificate's authority by now; if not, tell it."""
        try:
            configuration = await self._client.get(CONFIGURATION_PATH)
        except ApiError as error:
            if error.status != 404:
                raise
            return True  # Somebody removed it, so nobody calls us.
        patch = trust_patch(configuration, certificate.authority)
        if patch is None:
            return True
        await self._client.patch(CONFIGURATION_PATH, patch)
        return False


def trust_patch(configuration: Mapping[str, Any], authority: bytes) -> dict[str, Any] | None:
    """The merge patch by which every webhook of the configuration trusts the authority too; None where each does."""
    webhooks = deepcopy(configuration.get("webhooks") or [])
    for webhook in webhooks:
        trusted = read_bundle(webhook["clientConfig"].get("caBundle") or "")
        if authority not in trusted:
            webhook["clientConfig"]["caBundle"] = write_bundle(trusted_authorities(authority, trusted))
    if webhooks == (configuration.get("webhooks") or []):
        return None
    return {"metadata": {"resourceVersion": configuration["metadata"]["resourceVersion"]}, "webhooks": webhooks}
