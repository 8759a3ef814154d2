"""What the controller learns of the addresses that the cluster itself uses, and at what price."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.config.model import Surroundings
from baremetal_lb.controller.surroundings_reader import NODES_PATH, SERVICE_CIDRS_PATH, SurroundingsReader
from baremetal_lb.kube.client import ApiError

PAGE = 2


class PagedApi:
    """Lists Nodes in pages of two, and the ranges of Services where it is new enough."""

    def __init__(self, nodes: int) -> None:
        self.nodes = [
            {
                "metadata": {"name": f"worker-{number}"},
                "spec": {"podCIDRs": [f"10.244.{number}.0/24"]},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": f"192.0.2.{number}"},
                        {"type": "ExternalIP", "address": "2001:db8::1"},
                    ]
                },
            }
            for number in range(nodes)
        ]
        self.refusal: ApiError | None = None
        self.reads: list[str] = []

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        self.reads.append(path)
        if path == NODES_PATH:
            assert int(query["limit"]) > 0
            start = int(query.get("continue", 0))
            rest = {"continue": str(start + PAGE)} if start + PAGE < len(self.nodes) else {}
            return {"metadata": rest, "items": self.nodes[start : start + PAGE]}
        assert path == SERVICE_CIDRS_PATH
        if self.refusal:
            raise self.refusal
        return {"metadata": {}, "items": [{"spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}}]}

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


def ranges(*texts: str) -> tuple[AddressRange, ...]:
    return tuple(map(AddressRange.parse, texts))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
async def test_every_page_is_read(count: int) -> None:
    known = await SurroundingsReader(PagedApi(count), 60.0).read()

    assert len(known.pod_ranges) == count
    assert [str(one) for one in known.node_addresses if one.version == 4] == [f"192.0.2.{n}" for n in range(count)]


async def test_both_families_are_known() -> None:
    assert await SurroundingsReader(PagedApi(1), 60.0).read() == Surroundings(
        {ip_address("192.0.2.0"): "worker-0", ip_address("2001:db8::1"): "worker-0"},
        ranges("10.244.0.0/24"),
        ranges("10.96.0.0/16", "fd00:10:96::/112"),
    )


async def test_an_address_that_two_nodes_tell_is_the_first_ones() -> None:
    known = await SurroundingsReader(PagedApi(4), 60.0).read()

    assert known.node_addresses[ip_address("2001:db8::1")] == "worker-0"


async def test_an_old_api_server_does_not_know_the_ranges_of_services() -> None:
    api = PagedApi(1)
    api.refusal = ApiError(404, "NotFound", "the server could not find the requested resource")

    known = await SurroundingsReader(api, 60.0).read()

    assert (known.service_ranges, len(known.pod_ranges)) == ((), 1)


async def test_any_other_refusal_is_told_and_read_again() -> None:
    api = PagedApi(1)
    api.refusal = ApiError(403, "Forbidden", "servicecidrs is forbidden")
    reader = SurroundingsReader(api, 60.0)

    with pytest.raises(ApiError, match="forbidden"):
        await reader.read()
    api.refusal = None
    assert (await reader.read()).service_ranges


@pytest.mark.parametrize(
    ("seconds", "reads"),
    [
        pytest.param(59.0, 2, id="what is young enough is not read again"),
        pytest.param(60.0, 4, id="what is old is read again"),
    ],
)
async def test_nodes_are_read_once_in_a_while(seconds: float, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    api = PagedApi(1)
    reader = SurroundingsReader(api, 60.0)
    before = await reader.read()

    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + seconds)
    after = await reader.read()

    assert (len(api.reads), after) == (reads, before)
