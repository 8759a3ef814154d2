"""A Pod, reduced to what this kubelet acts on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

Raw = Mapping[str, Any]
"""A part of the Pod that another file reads where it is used: a volume, a probe, an environment variable."""


class RestartPolicy(StrEnum):
    """`spec.restartPolicy`."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class PodKey(NamedTuple):
    """One incarnation of a Pod: a later one of the same name has another UID."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}_{self.name}_{self.uid}"

    @property
    def path(self) -> str:
        """Its path at the API server."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def short_uid(self) -> str:
        """Eight hexadecimal digits that name its namespace and its interface."""
        return self.uid.replace("-", "")[:8]


class VolumeMount(NamedTuple):
    """Where a container sees a volume, or a part of it."""

    volume: str
    path: str
    sub_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container of a Pod's spec."""

    name: str
    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    working_directory: str
    environment: tuple[Raw, ...]
    environment_from: tuple[Raw, ...]
    mounts: tuple[VolumeMount, ...]
    security: Raw
    ports: Mapping[str, int]
    probes: Mapping[str, Raw]
    before_stop: Raw | None


@dataclass(frozen=True, slots=True)
class PodView:
    """What the API server says of a Pod. `grace_seconds` is set once it is to be deleted."""

    key: PodKey
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    service_account: str
    hostname: str
    host_network: bool
    restart_policy: RestartPolicy
    security: Raw
    volumes: tuple[Raw, ...]
    setup_containers: tuple[ContainerView, ...]
    containers: tuple[ContainerView, ...]
    readiness_gates: tuple[str, ...]
    grace_seconds: float | None
    default_grace_seconds: float
    status: Raw

    @property
    def phase(self) -> str:
        """The phase that the API server has."""
        return str(self.status.get("phase", "Pending"))

    @property
    def started_at(self) -> float | None:
        """When a kubelet first took it on."""
        text = self.status.get("startTime")
        return None if text is None else datetime.fromisoformat(text).timestamp()

    @property
    def all_containers(self) -> tuple[ContainerView, ...]:
        """Those that set the Pod up, then those that stay."""
        return self.setup_containers + self.containers

    def volume(self, name: str) -> Raw:
        """Find a volume by its name."""
        return next(volume for volume in self.volumes if volume["name"] == name)

    def last_status_of(self, container: str) -> Raw:
        """What the API server last heard of a container."""
        statuses: Sequence[Raw] = [
            *(self.status.get("initContainerStatuses") or ()),
            *(self.status.get("containerStatuses") or ()),
        ]
        return next((status for status in statuses if status["name"] == container), {})


def parse_pod(raw: Raw) -> PodView:
    """Reduce an API server's Pod."""
    metadata, spec = raw["metadata"], raw["spec"]
    deleting = "deletionTimestamp" in metadata
    return PodView(
        key=PodKey(metadata["namespace"], metadata["name"], metadata["uid"]),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        service_account=spec.get("serviceAccountName", "default"),
        hostname=spec.get("hostname") or metadata["name"],
        host_network=bool(spec.get("hostNetwork")),
        restart_policy=RestartPolicy(spec.get("restartPolicy", "Always")),
        security=spec.get("securityContext") or {},
        volumes=tuple(spec.get("volumes") or ()),
        setup_containers=tuple(_parse_container(item) for item in spec.get("initContainers") or ()),
        containers=tuple(_parse_container(item) for item in spec["containers"]),
        readiness_gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or ()),
        grace_seconds=float(metadata.get("deletionGracePeriodSeconds") or 0) if deleting else None,
        default_grace_seconds=float(spec.get("terminationGracePeriodSeconds", 30)),
        status=raw.get("status") or {},
    )


def _parse_container(raw: Raw) -> ContainerView:
    probes = {kind: raw[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness") if f"{kind}Probe" in raw}
    return ContainerView(
        name=raw["name"],
        image=raw.get("image", ""),
        command=tuple(raw.get("command") or ()),
        arguments=tuple(raw.get("args") or ()),
        working_directory=raw.get("workingDir", ""),
        environment=tuple(raw.get("env") or ()),
        environment_from=tuple(raw.get("envFrom") or ()),
        mounts=tuple(_parse_mount(mount) for mount in raw.get("volumeMounts") or ()),
        security=raw.get("securityContext") or {},
        ports={port["name"]: port["containerPort"] for port in raw.get("ports") or () if "name" in port},
        probes=probes,
        before_stop=(raw.get("lifecycle") or {}).get("preStop"),
    )


def _parse_mount(raw: Raw) -> VolumeMount:
    return VolumeMount(raw["name"], raw["mountPath"], raw.get("subPath", ""), bool(raw.get("readOnly")))
