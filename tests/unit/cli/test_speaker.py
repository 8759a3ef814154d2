import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from baremetal_lb.cli import speaker as verb
from baremetal_lb.cli.main import app
from baremetal_lb.settings import SpeakerSettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SpeakerSettings]:
    """Catch what the speaker would be started with."""
    settings: list[SpeakerSettings] = []

    async def run_speaker(given: SpeakerSettings, _kubeconfig: Path | None) -> None:
        settings.append(given)

    monkeypatch.setattr(verb, "run_speaker", run_speaker)
    monkeypatch.setattr(verb, "configure_logging", lambda *_: None)
    return settings


def test_the_pod_says_which_node_it_is_on(started: list[SpeakerSettings]) -> None:
    answer = CliRunner().invoke(app, ["speaker"], env={"NODE_NAME": "node1", "NAMESPACE": "elsewhere"})
    assert answer.exit_code == 0, answer.output
    assert started == [SpeakerSettings("node1", namespace="elsewhere")]


def test_whom_to_ask_for_the_proxy_s_health_comes_from_the_environment(started: list[SpeakerSettings]) -> None:
    url = "http://127.0.0.1:10256/healthz"
    answer = CliRunner().invoke(app, ["speaker", "--node-name=node1"], env={"PROXY_HEALTH_URL": url})
    assert answer.exit_code == 0, answer.output
    assert started == [SpeakerSettings("node1", proxy_health_url=url)]


def test_times_follow_from_those_given(started: list[SpeakerSettings]) -> None:
    arguments = ["speaker", "--node-name=node1", "--renew-seconds=2", "--lease-seconds=8"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (settings,) = started
    assert settings.renew_timeout_seconds < 2
    assert settings.trust_seconds == 6


def test_beats_are_set_by_flag_or_environment(started: list[SpeakerSettings]) -> None:
    arguments = ["speaker", "--node-name=node1", "--beat-misses=5", "--beat-port=17474"]
    answer = CliRunner().invoke(app, arguments, env={"BEAT_INTERVAL_SECONDS": "0.2"})
    assert answer.exit_code == 0, answer.output
    (settings,) = started
    assert (settings.beat_interval_seconds, settings.beat_misses, settings.beat_port) == (0.2, 5, 17474)
    assert settings.beat_speaker_seconds == pytest.approx(1.0)


@pytest.mark.parametrize("package", ["kubernetes", "rich", "scapy", "kopf", "pyroute2", "cryptography"])
def test_it_does_not_carry_what_it_does_not_use(package: str) -> None:
    """20 MB the first one, 10 MB the second, on every node."""
    check = f"import sys, baremetal_lb.cli.speaker; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["speaker"], id="without a node"),
        pytest.param(
            ["speaker", "--node-name=node1", "--renew-seconds=2", "--lease-seconds=5"],
            id="a Lease that two late renewals would end",
        ),
        pytest.param(["speaker", "--node-name=node1", "--beat-misses=0"], id="beats of which none may be missed"),
    ],
)
def test_what_is_refused(started: list[SpeakerSettings], arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments, env={"NODE_NAME": ""}).exit_code == 2
    assert started == []
