"""The HTTP port: what the kubelet and Prometheus get to read."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from baremetal_lb.health import HealthReport, serve_http
from baremetal_lb.metrics import ControllerMetrics

WELL = HealthReport(is_live=True, is_ready=True)
STARTING = HealthReport(is_live=True, is_ready=False, detail="still reading")
STUCK = HealthReport(is_live=False, is_ready=True, detail="stuck")


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("report", "live", "ready"),
    [
        pytest.param(WELL, 200, 200, id="well"),
        pytest.param(STARTING, 200, 503, id="live but not ready"),
        pytest.param(STUCK, 503, 503, id="not live, so not ready either"),
    ],
)
async def test_probes(report: HealthReport, live: int, ready: int) -> None:
    async with serve_http(0, lambda: report, CollectorRegistry(), host="127.0.0.1") as port:
        assert await fetch(port, "/healthz") == (live, f"{report.detail}\n")
        assert await fetch(port, "/readyz") == (ready, f"{report.detail}\n")


async def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    ControllerMetrics(registry, "1.2.3")

    async with serve_http(0, lambda: WELL, registry, host="127.0.0.1") as port:
        status, text = await fetch(port, "/metrics")

    assert status == 200
    assert 'baremetal_lb_build_info{version="1.2.3"} 1.0' in text
