"""What a Pod's status says about the states of its containers."""

from dataclasses import replace
from typing import Any

import pytest

from baremetal_lb.lab.kubelet.environment import Place
from baremetal_lb.lab.kubelet.podview import RestartPolicy, parse_pod
from baremetal_lb.lab.kubelet.status import (
    ContainerReport,
    PodReport,
    Running,
    State,
    Terminated,
    Waiting,
    phase_of,
    pod_status,
    restarts,
    setup_policy,
    stopped,
)

NOW = 1_800_000_000.0
PLACE = Place("node1", ("192.0.2.11", "2001:db8:0:2::11"), ("10.244.1.2", "fd00:10:244:1::2"))
NEW, UP = Waiting("ContainerCreating"), Running(NOW)
DONE, BROKEN = Terminated(0, NOW, NOW), Terminated(3, NOW, NOW)
BACKOFF = Waiting("CrashLoopBackOff")


def container(name: str, state: State, **more: Any) -> ContainerReport:
    return ContainerReport(name, "echo", state, **more)


def pod_report(
    *states: State, setup: tuple[State, ...] = (), policy: str = "Always", gates: tuple[str, ...] = (), **more: Any
) -> PodReport:
    raw = {
        "metadata": {"namespace": "shop", "name": "web", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "containers": [],
            "readinessGates": [{"conditionType": gate} for gate in gates],
        },
        "status": more.pop("status", {}),
    }
    return PodReport(
        parse_pod(raw),
        PLACE,
        tuple(container(f"s{number}", state) for number, state in enumerate(setup)),
        tuple(
            container(f"c{number}", state, started=True, passed=True, last=BROKEN if state is BACKOFF else None)
            for number, state in enumerate(states)
        ),
        started_at=NOW,
        has_network=True,
        **more,
    )


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        pytest.param(pod_report(NEW), "Pending", id="nothing started yet"),
        pytest.param(pod_report(NEW, UP), "Pending", id="one never started"),
        pytest.param(pod_report(NEW, setup=(UP,)), "Pending", id="being set up"),
        pytest.param(pod_report(NEW, setup=(DONE, NEW)), "Pending", id="half set up"),
        pytest.param(pod_report(UP, setup=(DONE,)), "Running", id="all run"),
        pytest.param(pod_report(UP, BACKOFF), "Running", id="one waits for its restart"),
        pytest.param(pod_report(DONE), "Running", id="ended, to be restarted"),
        pytest.param(pod_report(DONE, DONE, policy="Never"), "Succeeded", id="all ended well"),
        pytest.param(pod_report(DONE, BROKEN, policy="Never"), "Failed", id="one failed for good"),
        pytest.param(pod_report(UP, BROKEN, policy="Never"), "Running", id="one failed, one runs on"),
        pytest.param(pod_report(DONE, policy="OnFailure"), "Succeeded", id="success is final with OnFailure"),
        pytest.param(pod_report(BROKEN, policy="OnFailure"), "Running", id="failure is not, with OnFailure"),
        pytest.param(pod_report(NEW, setup=(BROKEN,), policy="Never"), "Failed", id="set-up failed for good"),
        pytest.param(pod_report(NEW, setup=(BROKEN,)), "Pending", id="set-up failed, to be tried again"),
        pytest.param(pod_report(DONE, finished=True), "Succeeded", id="torn down"),
        pytest.param(pod_report(BROKEN, finished=True), "Failed", id="torn down by force"),
    ],
)
def test_phase(report: PodReport, expected: str) -> None:
    assert phase_of(report) == expected


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        (RestartPolicy.ALWAYS, 0, True),
        (RestartPolicy.ALWAYS, 1, True),
        (RestartPolicy.ON_FAILURE, 0, False),
        (RestartPolicy.ON_FAILURE, 1, True),
        (RestartPolicy.NEVER, 0, False),
        (RestartPolicy.NEVER, 1, False),
    ],
)
def test_restarts(policy: RestartPolicy, code: int, expected: bool) -> None:
    assert restarts(policy, code) is expected


def test_init_containers_of_a_lasting_pod_run_until_they_succeed() -> None:
    assert setup_policy(RestartPolicy.ALWAYS) is RestartPolicy.ON_FAILURE
    assert setup_policy(RestartPolicy.NEVER) is RestartPolicy.NEVER


def conditions(report: PodReport) -> dict[str, tuple[str, str | None]]:
    document = pod_status(report, (), NOW)
    return {item["type"]: (item["status"], item["reason"]) for item in document["conditions"]}


@pytest.mark.parametrize(
    ("report", "ready"),
    [
        pytest.param(pod_report(UP, UP), ("True", None), id="all ready"),
        pytest.param(pod_report(UP, NEW), ("False", "ContainersNotReady"), id="one is not"),
        pytest.param(pod_report(DONE, policy="Never"), ("False", "PodCompleted"), id="completed"),
        pytest.param(pod_report(BROKEN, policy="Never"), ("False", "PodFailed"), id="failed"),
        pytest.param(pod_report(UP, gates=("g",)), ("False", "ReadinessGatesNotReady"), id="a gate is closed"),
        pytest.param(
            pod_report(UP, gates=("g",), status={"conditions": [{"type": "g", "status": "True"}]}),
            ("True", None),
            id="the gate is open",
        ),
    ],
)
def test_ready_condition(report: PodReport, ready: tuple[str, str | None]) -> None:
    assert conditions(report)["Ready"] == ready


def test_a_container_is_ready_when_it_runs_has_started_and_passes() -> None:
    up = container("c", UP, started=True, passed=True)
    assert up.ready
    assert not any(replace(up, **change).ready for change in ({"started": False}, {"passed": False}, {"state": DONE}))


def test_initialized_once_every_init_container_succeeded() -> None:
    assert conditions(pod_report(NEW, setup=(DONE, UP)))["Initialized"] == ("False", "ContainersNotInitialized")
    assert conditions(pod_report(NEW, setup=(DONE, DONE)))["Initialized"] == ("True", None)


def test_both_families_are_told() -> None:
    document = pod_status(pod_report(UP), (), NOW)
    assert document["podIP"] == "10.244.1.2"
    assert document["podIPs"] == [{"ip": "10.244.1.2"}, {"ip": "fd00:10:244:1::2"}]
    assert document["hostIPs"] == [{"ip": "192.0.2.11"}, {"ip": "2001:db8:0:2::11"}]


def test_a_condition_that_holds_on_keeps_its_time() -> None:
    before = pod_status(pod_report(UP), (), NOW)["conditions"]
    after = pod_status(pod_report(NEW), before, NOW + 60)["conditions"]
    times = {item["type"]: item["lastTransitionTime"] for item in after}
    assert times["Initialized"] == "2027-01-15T08:00:00Z"
    assert times["Ready"] == "2027-01-15T08:01:00Z"


def test_state_of_a_crashed_container() -> None:
    status = pod_status(pod_report(BACKOFF), (), NOW)["containerStatuses"][0]
    assert status["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert not status["ready"]


def test_a_pod_that_was_torn_down_waits_for_nothing() -> None:
    assert stopped(container("c", BACKOFF, last=BROKEN)).state == BROKEN
    assert stopped(container("c", DONE)).state == DONE
    assert stopped(container("c", NEW)).state == NEW
