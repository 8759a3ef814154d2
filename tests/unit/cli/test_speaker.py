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


def test_times_follow_from_those_given(started: list[SpeakerSettings]) -> None:
    arguments = ["speaker", "--node-name=node1", "--renew-seconds=2", "--lease-seconds=8"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (settings,) = started
    assert settings.renew_timeout_seconds < 2
    assert settings.trust_seconds == 6


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["speaker"], id="without a node"),
        pytest.param(
            ["speaker", "--node-name=node1", "--renew-seconds=2", "--lease-seconds=5"],
            id="a Lease that two late renewals would end",
        ),
    ],
)
def test_what_is_refused(started: list[SpeakerSettings], arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments, env={"NODE_NAME": ""}).exit_code == 2
    assert started == []
