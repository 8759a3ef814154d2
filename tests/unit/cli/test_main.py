"""Every verb can be had, and none is imported for another."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from baremetal_lb.cli.main import VERBS, app


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    answer = CliRunner().invoke(app, [verb, "--help"])
    assert answer.exit_code == 0, answer.output
    assert verb in answer.output


def test_help_lists_all_verbs() -> None:
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    assert all(verb in answer.output for verb in VERBS)


def test_an_unknown_verb_is_refused() -> None:
    answer = CliRunner().invoke(app, ["juggle"])
    assert answer.exit_code == 2
    assert "juggle" in answer.output


def test_finding_a_verb_imports_no_other() -> None:
    """The speaker runs on every node; what the lab needs is not for its memory."""
    question = "import sys, baremetal_lb.cli.main; print([m for m in sys.modules if m.startswith('baremetal_lb.lab')])"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
