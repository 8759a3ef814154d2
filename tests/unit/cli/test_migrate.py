"""`baremetal-lb migrate metallb`: YAML to stdout or a file, notes to stderr, exit codes for scripts."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from baremetal_lb.api.l2 import L2Advertisement
from baremetal_lb.api.pool import IPAddressPool
from baremetal_lb.cli import cluster, migrate
from baremetal_lb.cli.main import app

POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: east, namespace: metallb-system, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {addresses: ["192.0.2.0/25", "2001:db8:7::/120"]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
"""
PEER = """
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: uplink, namespace: metallb-system}
"""
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {type: LoadBalancer, clusterIPs: [10.96.0.9], ipFamilies: [IPv4]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
"""


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["migrate", "metallb", *arguments], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "metallb.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_the_output_can_be_applied(file: Callable[[str], str]) -> None:
    answer = run("-f", file(POOL))
    pool, advertisement = yaml.safe_load_all(answer.stdout)
    assert answer.exit_code == 0
    assert IPAddressPool.read(pool).metadata.name == "east"
    assert L2Advertisement.read(advertisement).metadata.name == "lan"
    assert "2 resources written; notes: none" in answer.stderr


def test_several_files_and_stdin_are_one_input(file: Callable[[str], str]) -> None:
    answer = run("-f", file(POOL), "-f", "-", stdin=SERVICE)
    assert "Service default/web: 203.0.113.1 is in no converted pool" in answer.stderr


def test_the_output_goes_to_a_file(file: Callable[[str], str], tmp_path: Path) -> None:
    target = tmp_path / "ours.yaml"
    answer = run("-f", file(POOL), "-o", str(target))
    assert answer.stdout == ""
    assert len(list(yaml.safe_load_all(target.read_text()))) == 2


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_an_error_is_told_and_counts_where_it_should(
    file: Callable[[str], str], strict: tuple[str, ...], code: int
) -> None:
    answer = run("-f", file(POOL + PEER), *strict)
    assert answer.exit_code == code
    assert "error   BGPPeer metallb-system/uplink" in answer.stderr
    assert "uplink" not in answer.stdout


def test_the_class_is_passed_on(file: Callable[[str], str]) -> None:
    answer = run("-f", file(POOL), "--load-balancer-class", "example.com/lb")
    assert "example.com/lb" in answer.stdout


@pytest.mark.parametrize("arguments", [(), ("--cluster", "-f", "-")])
def test_one_input_has_to_be_named(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("text", ["{broken", "a: \x00"])
def test_a_file_that_is_no_yaml_is_told(file: Callable[[str], str], text: str) -> None:
    answer = run("-f", file(text))
    assert answer.exit_code == 1
    assert "metallb.yaml" in answer.stderr


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    answer = run("-f", str(tmp_path / "none.yaml"))
    assert answer.exit_code == 1
    assert "none.yaml" in answer.stderr


def test_a_cluster_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    answer = run("--cluster", "--kubeconfig", str(tmp_path / "none"))
    assert answer.exit_code == 1
    assert "the cluster can't be read" in answer.stderr


class TestReadingACluster:
    """Of an API server that has some of MetalLB's kinds and answers 404 for the others."""

    @pytest.fixture
    def busy(self) -> set[str]:
        """Paths at which the server is busy when it is asked for the first time."""
        return set()

    @pytest.fixture
    async def kubeconfig(self, tmp_path: Path, busy: set[str]) -> AsyncIterator[Path]:
        items = [one for one in yaml.safe_load_all(POOL.replace("2026-01-01T00:00:00Z", "null")) if one]
        lists: dict[str, dict[str, Any]] = {
            "/apis/metallb.io/v1beta1/ipaddresspools": {"kind": "IPAddressPoolList", "items": items[:1]},
            "/apis/metallb.io/v1alpha1/addresspools": {
                "kind": "AddressPoolList",
                "apiVersion": "metallb.io/v1alpha1",
                "items": [{"metadata": {"name": "old"}, "spec": {"protocol": "bgp", "addresses": ["198.51.100.0/24"]}}],
            },
            "/api/v1/services": {"kind": "ServiceList", "apiVersion": "v1", "items": []},
            "/api/v1/namespaces/metallb-system/configmaps": {"kind": "ConfigMapList", "apiVersion": "v1", "items": []},
        }

        async def answer(request: web.Request) -> web.Response:
            if request.path in busy:
                busy.remove(request.path)
                return web.json_response({"reason": "TooManyRequests"}, status=429)
            if request.path not in lists:
                return web.json_response({"reason": "NotFound"}, status=404)
            return web.json_response(lists[request.path])

        server = TestServer(web.Application())
        server.app.router.add_get("/{path:.*}", answer)
        async with server:
            path = tmp_path / "config"
            path.write_text(json.dumps(login(str(server.make_url("")))))
            yield path

    async def test_a_kind_that_is_not_there_is_fine(self, kubeconfig: Path) -> None:
        lists = await migrate._read_cluster(kubeconfig, None, "metallb-system")
        assert [one["kind"] for one in lists] == [
            "IPAddressPoolList",
            "AddressPoolList",
            "ServiceList",
            "ConfigMapList",
        ]

    async def test_a_server_that_is_busy_is_asked_again(
        self, kubeconfig: Path, busy: set[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "BUSY_SECONDS", 0.0)
        busy.add("/api/v1/services")
        lists = await migrate._read_cluster(kubeconfig, None, "metallb-system")
        assert "ServiceList" in [one["kind"] for one in lists]

    async def test_a_context_that_is_not_there_is_told(self, kubeconfig: Path) -> None:
        with pytest.raises(migrate.UnreadableError, match="nowhere"):
            await migrate._read_cluster(kubeconfig, "nowhere", "metallb-system")


def login(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
