"""Kubernetes Events: what `kubectl describe` shows of our decisions, in the same words as conditions and logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baremetal_lb.reasons import Reason

COMPONENT = "baremetal-lb"
NAMESPACE_OF_CLUSTER_OBJECTS = "default"
"""Where Kubernetes itself puts Events about objects without a namespace."""

GOOD_NEWS = frozenset(
    {
        Reason.ASSIGNED,
        Reason.FOREIGN_ADDRESS,
        Reason.RELEASED,
        Reason.VALID,
        Reason.RESERVED,
        Reason.BOUND,
        Reason.ANNOUNCED,
        Reason.ELECTED,
        Reason.CONFLICT_ENDED,
    }
)
"""What is told as Normal; everything else is a Warning."""

MAX_MESSAGE_LENGTH = 1024
"""The API server refuses longer messages of Events."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object an Event is about; `namespace` is empty where the kind has none."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell the user of an object."""

    subject: Subject
    reason: Reason
    message: str

    @property
    def path(self) -> str:
        """The collection to create it in."""
        return f"/api/v1/namespaces/{self._namespace}/events"

    def body(self, component: str, now: datetime) -> Mapping[str, Any]:
        """The core/v1 Event, as told by `component` of ours."""
        at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self.subject.name[:200]}.", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": self.subject.api_version,
                "kind": self.subject.kind,
                "namespace": self.subject.namespace,
                "name": self.subject.name,
                "uid": self.subject.uid,
            },
            "type": "Normal" if self.reason in GOOD_NEWS else "Warning",
            "reason": self.reason,
            "message": self.message[:MAX_MESSAGE_LENGTH],
            "source": {"component": f"{COMPONENT}-{component}"},
            "reportingComponent": f"{COMPONENT}-{component}",
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }

    @property
    def _namespace(self) -> str:
        return self.subject.namespace or NAMESPACE_OF_CLUSTER_OBJECTS
