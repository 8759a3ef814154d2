"""The frames that scapy builds once, and the way they come to a process without scapy."""

import subprocess
import sys

import pytest

from baremetal_lb.l2.templates import Templates, build_templates


def test_the_child_process_writes_what_scapy_builds() -> None:
    output = subprocess.run([sys.executable, "-m", Templates.__module__], check=True, capture_output=True).stdout
    assert Templates.from_json(output.decode()) == build_templates()


def test_a_process_that_only_reads_templates_has_no_scapy() -> None:
    program = "import sys; import baremetal_lb.l2.io; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("text", ["", "[]", '{"arp_reply": "00"}', '{"arp_reply": "xx"}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Templates.from_json(text)
