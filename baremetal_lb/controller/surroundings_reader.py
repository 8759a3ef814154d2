"""Reads which addresses the cluster itself uses: those of its nodes, and the ranges of its Pods and Services.

Nodes are large (each lists its images) and may be thousands. So they are read in pages, of which only the addresses are
kept, and only once in a while, however often our own resources change.
"""

import asyncio

from baremetal_lb.addresses import Address, AddressRange, merged
from baremetal_lb.cluster.node import parse_node_network
from baremetal_lb.cluster.ranges import parse_service_cidr
from baremetal_lb.config.model import Surroundings
from baremetal_lb.controller.api import ApiWriter
from baremetal_lb.kube.client import ApiError
from baremetal_lb.kube.pages import pages

NODES_PATH = "/api/v1/nodes"
SERVICE_CIDRS_PATH = "/apis/networking.k8s.io/v1/servicecidrs"

NODES_PER_PAGE = 200
"""About 2.5 MB: some 35 ms of work for the event loop."""


class SurroundingsReader:
    """Answers with what it read last, for as long as that is not too old."""

    def __init__(self, client: ApiWriter, max_age_seconds: float) -> None:
        self._client = client
        self._max_age_seconds = max_age_seconds
        self._known: Surroundings | None = None
        self._read_at = 0.0

    async def read(self) -> Surroundings:
        """Tell what the cluster uses; raise ApiError."""
        now = asyncio.get_running_loop().time()
        if self._known is None or now - self._read_at >= self._max_age_seconds:
            self._known = await self._read()
            self._read_at = now
        return self._known

    async def _read(self) -> Surroundings:
        node_addresses: dict[Address, str] = {}
        pod_ranges: list[AddressRange] = []
        async for page in pages(self._client.get, NODES_PATH, limit=NODES_PER_PAGE):
            for node in map(parse_node_network, page["items"]):
                for address in node.addresses:
                    node_addresses.setdefault(address, node.name)
                pod_ranges += node.pod_ranges
        return Surroundings(node_addresses, merged(pod_ranges), merged(await self._service_ranges()))

    async def _service_ranges(self) -> list[AddressRange]:
        """None where the API server is too old to tell (before Kubernetes 1.33)."""
        try:
            answer = await self._client.get(SERVICE_CIDRS_PATH)
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [block for raw in answer["items"] for block in parse_service_cidr(raw)]
