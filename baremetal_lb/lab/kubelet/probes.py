"""Probes: when they are due and what their results add up to (pure), and how one is made (at the end).

A probe is asked from the node's network namespace, as a real kubelet does: the Pod must be reachable from its node.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from baremetal_lb.lab.container import Container
from baremetal_lb.lab.kubelet.podview import Raw

USER_AGENT = "kube-probe/lab"
READ_BYTES = 10 * 1024
"""How much of a page is read; the rest is not asked for."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """One probe of a container, with the API's defaults filled in by the API server."""

    action: Raw
    delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int
    success_threshold: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What a probe's results add up to: `passed` changes only after as many equal results as its threshold says."""

    passed: bool
    same_results: int = 0
    last_result: bool | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One answer; the text is for an Event."""

    ok: bool
    message: str = ""


def parse_probe(raw: Raw) -> ProbeSettings:
    """Read a probe of a Pod's spec."""
    return ProbeSettings(
        action=raw,
        delay_seconds=float(raw.get("initialDelaySeconds", 0)),
        period_seconds=float(raw.get("periodSeconds", 10)),
        timeout_seconds=float(raw.get("timeoutSeconds", 1)),
        failure_threshold=int(raw.get("failureThreshold", 3)),
        success_threshold=int(raw.get("successThreshold", 1)),
    )


def count(settings: ProbeSettings, tally: Tally, *, ok: bool) -> Tally:
    """Add one result."""
    same_results = tally.same_results + 1 if tally.last_result is ok else 1
    threshold = settings.success_threshold if ok else settings.failure_threshold
    passed = ok if same_results >= threshold else tally.passed
    return Tally(passed, same_results, ok)


def port_number(port: int | str, names: Mapping[str, int]) -> int:
    """Resolve a probe's port, which may be the name of a container's port; raises ValueError."""
    if isinstance(port, int):
        return port
    if port in names:
        return names[port]
    if port.isdigit():
        return int(port)
    raise ValueError(f"no container port is named {port!r}")


@dataclass(frozen=True, slots=True)
class Prober:
    """Makes probes of one container; `address` is its Pod's (or its node's, in the host network)."""

    container: Container
    address: str
    port_names: Mapping[str, int]

    async def ask(self, settings: ProbeSettings) -> ProbeResult:
        """Make one probe; every failure is a result."""
        try:
            return await asyncio.wait_for(self._act(settings.action, settings), settings.timeout_seconds)
        except TimeoutError:
            return ProbeResult(ok=False, message=f"no answer within {settings.timeout_seconds:g} s")
        except aiohttp.ClientConnectorError as error:
            return ProbeResult(ok=False, message=f"cannot connect to {error.host} port {error.port}: {error.strerror}")
        except (OSError, ValueError, aiohttp.ClientError) as error:
            return ProbeResult(ok=False, message=str(error) or type(error).__name__)

    async def _act(self, action: Raw, settings: ProbeSettings) -> ProbeResult:
        if "exec" in action:
            done = await self.container.execute(action["exec"]["command"], settings.timeout_seconds)
            return ProbeResult(done.code == 0, done.output.strip())
        if "httpGet" in action:
            return await self._get(action["httpGet"])
        if "tcpSocket" in action:
            return await self._connect(action["tcpSocket"])
        return ProbeResult(ok=False, message=f"no such action here: {', '.join(action)}")

    async def _get(self, action: Raw) -> ProbeResult:
        host, port = action.get("host") or self.address, port_number(action["port"], self.port_names)
        host = f"[{host}]" if ":" in host else host
        url = f"{action.get('scheme', 'HTTP').lower()}://{host}:{port}/{action.get('path', '/').lstrip('/')}"
        # A kubelet does not verify the certificate of a probed HTTPS server: hence `ssl=False`.
        headers = {"User-Agent": USER_AGENT, "Connection": "close"}
        headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or ()}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
        ):
            body = await answer.content.read(READ_BYTES)
        message = f"HTTP probe failed with statuscode: {answer.status} {body[:200].decode(errors='replace')}"
        return ProbeResult(200 <= answer.status < 400, message)

    async def _connect(self, action: Raw) -> ProbeResult:
        host, port = action.get("host") or self.address, port_number(action["port"], self.port_names)
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
        return ProbeResult(ok=True)
