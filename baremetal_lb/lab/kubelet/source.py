"""What the kubelet reads for its Pods at the API server: ConfigMaps, Secrets, tokens and where the API itself is."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baremetal_lb.kube.client import ApiError, KubeClient
from baremetal_lb.lab.kubelet.podview import PodKey, PodView, Raw

RENEW_AT = 0.8
"""A token is asked for anew when this share of its life is over."""

MAX_KNOWN = 500
"""How many objects are remembered; at this number all are forgotten and learnt anew."""

_COLLECTIONS = {"configMap": "configmaps", "secret": "secrets"}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class ObjectSource:
    """Reads with the node's own credentials, so only what Pods bound to this node name."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._tokens: dict[tuple[PodKey, str, int], _Token] = {}
        self._known: dict[str, Mapping[str, bytes]] = {}
        self._cluster: dict[str, str] = {}

    async def data(self, kind: str, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Read a `configMap` or `secret`; None where there is none. Raises ApiError.

        While the API server is away, what it said last counts: a container must be able to start again then.
        """
        path = f"/api/v1/namespaces/{namespace}/{_COLLECTIONS[kind]}/{name}"
        try:
            raw = await self._client.get(path)
        except ApiError as error:
            if error.status == 404:
                self._known.pop(path, None)
                return None
            if path in self._known:
                return self._known[path]
            raise
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[path] = _decode(raw, kind)
        return self._known[path]

    async def token(self, pod: PodView, request: Raw) -> str:
        """Answer a token of the Pod's service account that is bound to the Pod; raises ApiError."""
        seconds = int(request.get("expirationSeconds", 3600))
        slot = (pod.key, request.get("audience", ""), seconds)
        held = self._tokens.get(slot)
        if held is not None and time.time() < held.renew_at:
            return held.text
        path = f"/api/v1/namespaces/{pod.key.namespace}/serviceaccounts/{pod.service_account}/token"
        status = (await self._client.create(path, _token_request(pod.key, request, seconds)))["status"]
        now, expires_at = time.time(), datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
        self._tokens[slot] = _Token(status["token"], now + RENEW_AT * (expires_at - now))
        return self._tokens[slot].text

    def forget(self, key: PodKey) -> None:
        """Drop the tokens of a Pod that is gone."""
        self._tokens = {slot: token for slot, token in self._tokens.items() if slot[0] != key}

    async def cluster_environment(self) -> Mapping[str, str]:
        """Tell the variables by which every container finds the API server; raises ApiError."""
        if not self._cluster:
            service = await self._client.get("/api/v1/namespaces/default/services/kubernetes")
            spec = service["spec"]
            port = str(spec["ports"][0]["port"])
            self._cluster = {
                "KUBERNETES_SERVICE_HOST": spec["clusterIP"],
                "KUBERNETES_SERVICE_PORT": port,
                "KUBERNETES_SERVICE_PORT_HTTPS": port,
            }
        return self._cluster


def _decode(raw: Raw, kind: str) -> Mapping[str, bytes]:
    """Read the data of a Secret (all in base64) or a ConfigMap (plain text, and what is binary in base64)."""
    plain = {} if kind == "secret" else raw.get("data") or {}
    encoded = (raw.get("data") if kind == "secret" else raw.get("binaryData")) or {}
    return {
        **{key: text.encode() for key, text in plain.items()},
        **{key: base64.b64decode(text) for key, text in encoded.items()},
    }


def _token_request(key: PodKey, request: Raw, seconds: int) -> dict[str, Any]:
    audiences = [request["audience"]] if request.get("audience") else []
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": key.name, "uid": key.uid},
        },
    }
