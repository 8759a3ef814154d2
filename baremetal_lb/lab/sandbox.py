"""One test's own corner of a lab's cluster: addresses that nobody else uses, and objects that go when it ends.

Pools are cluster-wide, so each sandbox has its own block of addresses and puts its name into that of every object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from baremetal_lb.addresses import Address, parse_address
from baremetal_lb.cluster.conditions import condition_of
from baremetal_lb.lab import objects
from baremetal_lb.lab.api import MERGE_PATCH, RequestError, changes, request
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.topology import LAN
from baremetal_lb.lab.waiting import wait_for

ADDRESSES_PER_FAMILY = 5
_FIRST_NUMBER, _LAST_NUMBER = 20, 199
BLOCKS = (_LAST_NUMBER - _FIRST_NUMBER + 1) // ADDRESSES_PER_FAMILY
ASSIGNED_CONDITION = "baremetal-lb.io/AddressAssigned"
_CLUSTER_WIDE = {"IPAddressClaim", "IPAddressPool", "L2Advertisement", "Namespace"}
_NO_GRACE = {"gracePeriodSeconds": 0}
# What uses addresses goes before what offers them.
_CLOSING_ORDER = ("Service", "L2Advertisement", "IPAddressPool")


@dataclass(frozen=True, slots=True)
class Block:
    """Five addresses of each family on the lab's segment; the number of a sandbox chooses them."""

    number: int

    def ipv4(self, position: int) -> IPv4Address:
        """Tell the address at a position from 0."""
        first = _FIRST_NUMBER + self.number % BLOCKS * ADDRESSES_PER_FAMILY
        return LAN.ipv4[first + position]

    def ipv6(self, position: int) -> IPv6Address:
        """Tell the address at a position from 0."""
        return LAN.ipv6[(0x1000 + self.number) * 0x10000 + position]

    def ranges(self, count: int = ADDRESSES_PER_FAMILY) -> list[str]:
        """Write the first addresses of both families as a pool has them."""
        last = count - 1
        return [f"{self.ipv4(0)}-{self.ipv4(last)}", f"{self.ipv6(0)}-{self.ipv6(last)}"]


@dataclass(slots=True)
class Sandbox:
    """Makes objects in a namespace of a lab's cluster and removes them."""

    paths: LabPaths
    namespace: str
    number: int
    _made: list[Object] = field(default_factory=list)

    @property
    def block(self) -> Block:
        """The addresses that are this sandbox's."""
        return Block(self.number)

    def name(self, word: str) -> str:
        """Make the name that an object has in this sandbox."""
        return f"{word}-{self.number}"

    def create(self, thing: Object) -> Object:
        """Create an object, here if its kind has namespaces, and remember to remove it; raise RequestError."""
        if thing["kind"] not in _CLUSTER_WIDE:
            thing = {**thing, "metadata": {"namespace": self.namespace, **thing["metadata"]}}
        collection = objects.path(thing).rpartition("/")[0]
        created: Object = request(self.paths, "POST", collection, thing)
        self._made.append(thing)
        return created

    def read(self, kind: str, name: str) -> Object:
        """Read an object; raise RequestError."""
        answer: Object = request(self.paths, "GET", self._path(kind, name))
        return answer

    def patch(self, kind: str, name: str, body: Mapping[str, Any]) -> Object:
        """Merge a patch into an object."""
        path = self._path(kind, name)
        answer: Object = request(self.paths, "PATCH", path, body, content_type=MERGE_PATCH)
        return answer

    def delete(self, kind: str, name: str) -> None:
        """Ask for an object to be removed; one that is not there is fine."""
        try:
            request(self.paths, "DELETE", self._path(kind, name), _NO_GRACE if kind == "Pod" else None)
        except RequestError as error:
            if error.status != 404:
                raise

    def moment(self, kind: str) -> str:
        """Tell the present, as `changes` wants it."""
        return str(request(self.paths, "GET", objects.collection(kind, self.namespace))["metadata"]["resourceVersion"])

    def changes(self, kind: str, since: str) -> list[Object]:
        """Tell every state that an object of a kind was in since that moment, also if it lasted a millisecond only."""
        collection = objects.collection(kind, self.namespace)
        return [one["object"] for one in changes(self.paths, collection, since) if one["type"] != "BOOKMARK"]

    def condition(self, kind: str, name: str, aspect: str = "Ready") -> Object:
        """Read one condition of an object; empty when there is none."""
        return dict(condition_of(self.read(kind, name), aspect))

    def judged(self, kind: str, name: str, reason: str, aspect: str = "Ready") -> Object:
        """Wait until a condition of an object has this reason, and answer it."""
        return wait_for(
            f"{kind} {name} is {reason}",
            lambda: self.condition(kind, name, aspect),
            lambda seen: seen.get("reason") == reason,
        )

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """List the objects of a kind, here if its kind has namespaces, by label."""
        query = f"?labelSelector={selector}" if selector else ""
        listed = request(self.paths, "GET", objects.collection(kind, self.namespace) + query)
        return list(listed["items"])

    def exists(self, kind: str, name: str) -> bool:
        """Tell whether an object is there."""
        try:
            self.read(kind, name)
        except RequestError as error:
            if error.status != 404:
                raise
            return False
        return True

    def offer(self, count: int = ADDRESSES_PER_FAMILY, word: str = "pool", **spec: object) -> str:
        """Create a pool of the first addresses of the block and an advertisement for it; answer the pool's name."""
        name = self.name(word)
        self.create(objects.pool(name, self.block.ranges(count), **spec))
        self.create(objects.advertisement(name, [name]))
        return name

    def request_service(self, word: str, selector: Mapping[str, str], **options: Any) -> "ServiceHandle":
        """Create a Service of type LoadBalancer; see `objects.service` for the options."""
        name = self.name(word)
        self.create(objects.service(name, selector=selector, **options))
        return ServiceHandle(self, name)

    def close(self) -> None:
        """Remove everything, and wait until the Services are gone; their pools then follow by themselves."""
        kinds = [*_CLOSING_ORDER, *(one["kind"] for one in self._made if one["kind"] not in _CLOSING_ORDER)]
        for kind in dict.fromkeys(kinds):
            names = [one["metadata"]["name"] for one in self._made if one["kind"] == kind]
            for name in names:
                self.delete(kind, name)
            if kind == "Service":
                wait_for("the Services are gone", lambda: not any(self.exists("Service", name) for name in names))  # noqa: B023
        self._made.clear()

    def _path(self, kind: str, name: str) -> str:
        return f"{objects.collection(kind, self.namespace)}/{name}"


@dataclass(frozen=True, slots=True)
class ServiceHandle:
    """A Service of a sandbox, and what a user sees of it."""

    sandbox: Sandbox
    name: str

    def addresses(self) -> tuple[Address, ...]:
        """Read the addresses of its status."""
        return addresses_of(self.sandbox.read("Service", self.name))

    def assigned(self, count: int = 2) -> tuple[Address, ...]:
        """Wait until it has this many addresses and answer them."""
        return wait_for(f"{count} addresses of Service {self.name}", self.addresses, lambda seen: len(seen) == count)

    def condition(self) -> Object:
        """Read the condition that tells about its addresses; empty when there is none."""
        return self.sandbox.condition("Service", self.name, ASSIGNED_CONDITION)

    def told(self, reason: str) -> Object:
        """Wait until the condition has this reason, whatever its status, and answer it."""
        return self.sandbox.judged("Service", self.name, reason, ASSIGNED_CONDITION)

    def refused(self, reason: str) -> Object:
        """Wait until the condition says that it has no address for this reason, and answer the condition."""
        return wait_for(
            f"Service {self.name} is refused with {reason}",
            self.condition,
            lambda seen: seen.get("status") == "False" and seen.get("reason") == reason,
        )

    def events(self, reason: str = "") -> list[Object]:
        """List its Events, with one reason if that is given."""
        query = f"?fieldSelector=involvedObject.kind=Service,involvedObject.name={self.name}"
        listed = request(self.sandbox.paths, "GET", objects.collection("Event", self.sandbox.namespace) + query)
        return [one for one in listed["items"] if reason in {"", one["reason"]}]

    def patch(self, body: Mapping[str, Any]) -> None:
        """Merge a patch into it."""
        self.sandbox.patch("Service", self.name, body)

    def delete(self) -> None:
        """Ask for it to be removed."""
        self.sandbox.delete("Service", self.name)


def addresses_of(service: Object) -> tuple[Address, ...]:
    """Tell the addresses of a Service's status."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    return tuple(parse_address(one["ip"]) for one in ingress)
