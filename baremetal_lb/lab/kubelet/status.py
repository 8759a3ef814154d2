"""What a Pod's status says, computed from the states of its containers (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from baremetal_lb.lab.kubelet.environment import Place
from baremetal_lb.lab.kubelet.podview import PodView, Raw, RestartPolicy


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started, or between two runs."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Its process runs."""

    started_at: float


@dataclass(frozen=True, slots=True)
class Terminated:
    """Its process ended."""

    code: int
    started_at: float
    finished_at: float
    reason: str = ""
    message: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ContainerReport:
    """One container, as its status tells it. `passed` is the last word of its readiness probe."""

    name: str
    image: str
    state: State = Waiting("ContainerCreating")
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    passed: bool = False

    @property
    def ready(self) -> bool:
        """Whether it serves: running, started up, and its readiness probe passes."""
        return isinstance(self.state, Running) and self.started and self.passed

    @property
    def code(self) -> int | None:
        """Its exit code, where it has ended and is not waiting for another start."""
        return self.state.code if isinstance(self.state, Terminated) else None


@dataclass(frozen=True, slots=True)
class PodReport:
    """A whole Pod at one moment; `finished` once it was torn down."""

    pod: PodView
    place: Place
    setup: tuple[ContainerReport, ...]
    containers: tuple[ContainerReport, ...]
    started_at: float
    has_network: bool
    finished: bool = False

    @property
    def policy(self) -> RestartPolicy:
        """The restart policy that counts: nothing of a finished Pod starts again."""
        return RestartPolicy.NEVER if self.finished else self.pod.restart_policy


def restarts(policy: RestartPolicy, code: int) -> bool:
    """Tell whether a container that ended with this code is started again."""
    if policy is RestartPolicy.ALWAYS:
        return True
    return policy is RestartPolicy.ON_FAILURE and code != 0


def setup_policy(policy: RestartPolicy) -> RestartPolicy:
    """Tell the policy for an init container: once it succeeded, it is done."""
    return RestartPolicy.NEVER if policy is RestartPolicy.NEVER else RestartPolicy.ON_FAILURE


def phase_of(report: PodReport) -> str:
    """Tell the Pod's phase."""
    policy = report.policy
    if any(_is_final(item, setup_policy(policy)) and item.code != 0 for item in report.setup):
        return "Failed"
    if not all(_is_done(item) for item in report.setup):
        return "Pending"
    if any(isinstance(item.state, Waiting) and item.last is None for item in report.containers):
        return "Pending"
    if not all(_is_final(item, policy) for item in report.containers):
        return "Running"
    return "Succeeded" if all(item.code == 0 for item in report.containers) else "Failed"


def pod_status(report: PodReport, conditions: Sequence[Raw], now: float) -> dict[str, Any]:
    """Write the status document; a condition that holds on keeps its transition time from `conditions`."""
    document: dict[str, Any] = {
        "phase": phase_of(report),
        "conditions": [_carried_on(condition, conditions, now) for condition in _conditions(report)],
        "hostIP": report.place.host_addresses[0],
        "hostIPs": [{"ip": address} for address in report.place.host_addresses],
        "startTime": timestamp(report.started_at),
        "containerStatuses": [_container_status(item, report.pod) for item in report.containers],
    }
    if report.setup:
        document["initContainerStatuses"] = [_container_status(item, report.pod) for item in report.setup]
    if report.place.pod_addresses:
        document["podIP"] = report.place.pod_addresses[0]
        document["podIPs"] = [{"ip": address} for address in report.place.pod_addresses]
    return document


def stopped(report: ContainerReport) -> ContainerReport:
    """Tell a container's last report after its Pod was torn down: nothing runs or waits any more."""
    if isinstance(report.state, Terminated) or report.last is None:
        return report
    return replace(report, state=report.last, last=None, started=False, passed=False)


def timestamp(seconds: float) -> str:
    """Write a time as the API does."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(report: PodReport) -> list[dict[str, str]]:
    phase = phase_of(report)
    initialized = all(_is_done(item) for item in report.setup)
    unready = [item.name for item in report.containers if not item.ready]
    gates = _open_gates(report.pod)
    return [
        _condition("PodReadyToStartContainers", ok=report.has_network),
        _condition("Initialized", ok=initialized, reason="ContainersNotInitialized"),
        _readiness("ContainersReady", phase, unready, ()),
        _readiness("Ready", phase, unready, gates),
    ]


def _readiness(kind: str, phase: str, unready: Sequence[str], gates: Sequence[str]) -> dict[str, str]:
    if phase == "Succeeded":
        return _condition(kind, ok=False, reason="PodCompleted")
    if phase == "Failed":
        return _condition(kind, ok=False, reason="PodFailed")
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return _condition(kind, ok=False, reason="ContainersNotReady", message=message)
    return _condition(kind, ok=not gates, reason="ReadinessGatesNotReady", message=" ".join(gates))


def _open_gates(pod: PodView) -> list[str]:
    """Name the readiness gates that their owners have not set to True."""
    passed = {item["type"] for item in pod.status.get("conditions") or () if item["status"] == "True"}
    return [gate for gate in pod.readiness_gates if gate not in passed]


def _condition(kind: str, *, ok: bool, reason: str = "", message: str = "") -> dict[str, str]:
    if ok:
        return {"type": kind, "status": "True"}
    texts = {"reason": reason, "message": message}
    return {"type": kind, "status": "False"} | {name: text for name, text in texts.items() if text}


def _carried_on(condition: dict[str, str], earlier: Sequence[Raw], now: float) -> dict[str, Any]:
    for old in earlier:
        if old["type"] == condition["type"] and old["status"] == condition["status"]:
            return {"lastTransitionTime": old.get("lastTransitionTime"), "reason": None, "message": None, **condition}
    return {"lastTransitionTime": timestamp(now), "reason": None, "message": None, **condition}


def _container_status(report: ContainerReport, pod: PodView) -> dict[str, Any]:
    status: dict[str, Any] = {
        "name": report.name,
        "image": report.image,
        "imageID": "",
        "ready": report.ready,
        "started": report.started,
        "restartCount": report.restarts,
        "state": _state(report.state),
        "lastState": {} if report.last is None else _state(report.last),
    }
    if not isinstance(report.state, Waiting) or report.last is not None:
        status["containerID"] = f"lab://{pod.key.uid}/{report.name}/{report.restarts}"
    return status


def _state(state: State) -> dict[str, Mapping[str, Any]]:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
        case Running(started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case Terminated(code, started_at, finished_at, reason, message):
            text = {"message": message} if message else {}
            return {
                "terminated": {
                    "exitCode": code,
                    "reason": reason or ("Completed" if code == 0 else "Error"),
                    "startedAt": timestamp(started_at),
                    "finishedAt": timestamp(finished_at),
                    **text,
                }
            }


def _is_done(report: ContainerReport) -> bool:
    return report.code == 0


def _is_final(report: ContainerReport, policy: RestartPolicy) -> bool:
    return isinstance(report.state, Terminated) and not restarts(policy, report.state.code)
