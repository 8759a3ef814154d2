"""A machine that cannot run a lab is told everything that it lacks, at once."""

import os
import shutil
from pathlib import Path

import pytest

from baremetal_lb.lab import requirements
from baremetal_lb.lab.requirements import MachineError, all_packages, check_machine, complaints, extend_path
from baremetal_lb.lab.state import Options, ProxyMode


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda command: f"/bin/{command}")


@pytest.mark.usefixtures("perfect")
def test_a_machine_that_has_everything_has_no_complaint() -> None:
    assert complaints() == []
    check_machine(Options())


@pytest.mark.usefixtures("perfect")
def test_missing_commands_come_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None if command in {"nft", "nginx"} else "/bin/x")
    with pytest.raises(MachineError, match="apt-get install --no-install-recommends nftables nginx-light"):
        check_machine(Options())


@pytest.mark.usefixtures("perfect")
def test_somebody_who_is_not_root_is_told_so_and_the_rest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _command: None)
    assert [("root" in one, "apt-get" in one) for one in complaints()] == [(True, False), (False, True)]


@pytest.mark.usefixtures("perfect")
@pytest.mark.parametrize("mode", list(ProxyMode))
def test_only_ipvs_needs_more_of_the_kernel(monkeypatch: pytest.MonkeyPatch, mode: ProxyMode) -> None:
    monkeypatch.setattr(requirements, "has_ipvs", lambda: False)
    if mode is not ProxyMode.IPVS:
        check_machine(Options(proxy_mode=mode))
        return
    with pytest.raises(MachineError, match="kernel does not have"):
        check_machine(Options(proxy_mode=mode))


def test_every_package_is_named_once() -> None:
    assert all_packages() == sorted(set(requirements.DEBIAN_PACKAGES.values()))


def test_system_directories_come_last_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/usr/sbin")
    extend_path()
    extend_path()
    assert os.environ["PATH"] == "/usr/bin:/usr/sbin:/usr/local/sbin:/sbin"
    assert Path("/sbin").exists()
