"""Every Prometheus metric we export. Each process makes its own set, in a registry of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "baremetal_lb"


# --- controller -------------------------------------------------------------------------------------------------------


class ControllerMetrics:
    """What the controller counts."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        Info(f"{PREFIX}_build", "What runs.", registry=registry).info({"version": version})
        self.leader = Gauge(f"{PREFIX}_leader", "1 where this replica leads.", registry=registry)
        self.leader_transitions = Counter(
            f"{PREFIX}_leader_transitions",
            "How often this replica began to lead, or ceased to.",
            ["to"],
            registry=registry,
        )
        self.pool_addresses_total = _pool_gauge("pool_addresses", "Addresses that the pool may give out.", registry)
        self.pool_addresses_assigned = _pool_gauge(
            "pool_addresses_assigned", "Addresses of the pool that Services hold.", registry
        )
        self.pool_addresses_reserved = _pool_gauge(
            "pool_addresses_reserved", "Addresses kept for a claim, or of a node, that no Service holds.", registry
        )
        self.pool_addresses_available = _pool_gauge(
            "pool_addresses_available", "Addresses that the pool can still give.", registry
        )
        self.pool_addresses_quarantined = _pool_gauge(
            "pool_addresses_quarantined", "Free addresses that nobody gets because a foreign host uses them.", registry
        )
        self.services = Gauge(
            f"{PREFIX}_services",
            "Services of type LoadBalancer that are ours, by what was decided on them.",
            ["reason"],
            registry=registry,
        )
        self.addresses_left = Counter(
            f"{PREFIX}_addresses_left",
            "Addresses that a Service had to leave, by why.",
            ["reason"],
            registry=registry,
        )
        self.allocation_seconds = Histogram(
            f"{PREFIX}_allocation_seconds",
            "From the change of a Service to its new address in the status.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.writes = Counter(
            f"{PREFIX}_api_writes",
            "Writes to the API server, by what was written and how it ended.",
            ["what", "result"],
            registry=registry,
        )
        self.events_dropped = Counter(
            f"{PREFIX}_events_dropped", "Events not told because too many were waiting.", registry=registry
        )
        self.watch_reconnects = Gauge(
            f"{PREFIX}_watch_reconnects", "How often a watch was lost since the start.", ["kind"], registry=registry
        )
        self.config_problems = Gauge(
            f"{PREFIX}_config_problems",
            "Faults of custom resources, by kind and reason.",
            ["kind", "reason"],
            registry=registry,
        )

    def count_term(self, *, leads: bool) -> None:
        """A term begins or ends."""
        self.leader.set(int(leads))
        self.leader_transitions.labels("leader" if leads else "standby").inc()

    def forget_decisions(self) -> None:
        """Drop what only a leader knows."""
        for gauge in (
            self.pool_addresses_total,
            self.pool_addresses_assigned,
            self.pool_addresses_reserved,
            self.pool_addresses_available,
            self.pool_addresses_quarantined,
            self.services,
            self.config_problems,
        ):
            gauge.clear()


def _pool_gauge(name: str, documentation: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(f"{PREFIX}_{name}", documentation, ["pool", "family"], registry=registry)


# --- speaker ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnnouncedAddress:
    """An address that the responder holds on an interface, with what it sent for it."""

    services: tuple[str, ...]
    address: str
    interface: str
    replies: int
    announcements: int


@dataclass(frozen=True, slots=True)
class SpeakerSnapshot:
    """What a speaker is doing at the moment of a scrape, read from where it is done."""

    announced: Iterable[AnnouncedAddress] = ()
    addresses_by_reason: Mapping[str, int] = field(default_factory=dict)
    conflicts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Addresses that foreign hosts use, each with the interface and the MAC address of the host."""
    speakers_alive: int = 0
    view_trusted: bool = False
    peers: Mapping[str, int] = field(default_factory=dict)
    beats: Mapping[str, int] = field(default_factory=dict)
    beat_restarts: int = 0
    frames_received: int = 0
    frames_malformed: Mapping[str, int] = field(default_factory=dict)
    send_failures: Mapping[str, int] = field(default_factory=dict)
    heard_on_segment: Mapping[str, int] = field(default_factory=dict)
    watch_reconnects: Mapping[str, int] = field(default_factory=dict)


class SpeakerMetrics:
    """What a speaker counts itself."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        Info(f"{PREFIX}_build", "What runs.", registry=registry).info({"version": version})
        self.decisions = Counter(
            f"{PREFIX}_election_decisions",
            "Decisions on who announces an address, by the reason they came to.",
            ["reason"],
            registry=registry,
        )
        self.takeovers = Counter(
            f"{PREFIX}_takeovers", "Addresses that this node began to announce, by why.", ["cause"], registry=registry
        )
        self.lease_writes = Counter(
            f"{PREFIX}_lease_writes", "Renewals of this node's Lease, by how they ended.", ["result"], registry=registry
        )
        self.events = Counter(
            f"{PREFIX}_events", "Events for users, by what became of them.", ["result"], registry=registry
        )
        self.condition_writes = Counter(
            f"{PREFIX}_condition_writes",
            "Writes of Services' condition Announced, by how they ended.",
            ["result"],
            registry=registry,
        )
        self.decision_seconds = Histogram(
            f"{PREFIX}_decision_seconds",
            "How long one round of decisions took.",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
            registry=registry,
        )


class SpeakerCollector(Collector):
    """Turns a snapshot, taken at the time of the scrape, into metrics: no series outlives what it tells of."""

    def __init__(self, snapshot: Callable[[], SpeakerSnapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that is read rather than counted."""
        now = self._snapshot()
        yield from _announced(now.announced)
        yield _by("addresses", "Addresses of Services, by what was decided.", "reason", now.addresses_by_reason)
        yield _conflicts(now.conflicts)
        yield GaugeMetricFamily(f"{PREFIX}_speakers_alive", "Living speakers that we know.", now.speakers_alive)
        yield GaugeMetricFamily(
            f"{PREFIX}_view_trusted", "1 while our own renewals come back to us.", int(now.view_trusted)
        )
        yield _by("peers", "Nodes that we beat with, by what their beats say.", "state", now.peers)
        yield _count("beats", "Beats, by what became of them.", "result", now.beats)
        yield CounterMetricFamily(
            f"{PREFIX}_beat_process_restarts", "How often the beat process had to be started again.", now.beat_restarts
        )
        yield CounterMetricFamily(f"{PREFIX}_frames_received", "Frames the filters let through.", now.frames_received)
        yield _count("frames_malformed", "Malformed frames, dropped.", "reason", now.frames_malformed)
        yield _count("send_failures", "Frames that the kernel refused.", "error", now.send_failures)
        yield _count("segment", "Probes sent for addresses, and whom they met.", "what", now.heard_on_segment)
        yield _by("watch_reconnects", "How often a watch was lost since the start.", "kind", now.watch_reconnects)


def _announced(announced: Iterable[AnnouncedAddress]) -> Iterator[Metric]:
    holder = GaugeMetricFamily(
        f"{PREFIX}_speaker_announced",
        "1 for each address that this node announces.",
        labels=["service", "address", "interface"],
    )
    labels = ["address", "interface"]
    replies = CounterMetricFamily(f"{PREFIX}_replies", "Questions (ARP, NDP) answered.", labels=labels)
    sent = CounterMetricFamily(f"{PREFIX}_announcements", "Unasked announcements sent.", labels=labels)
    for one in announced:
        for service in one.services:
            holder.add_metric([service, one.address, one.interface], 1)
        replies.add_metric([one.address, one.interface], one.replies)
        sent.add_metric([one.address, one.interface], one.announcements)
    yield from (holder, replies, sent)


def _conflicts(conflicts: Mapping[str, tuple[str, str]]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}_address_conflicts",
        "1 for each address of ours that a foreign host uses.",
        labels=["address", "interface", "mac"],
    )
    for address, (interface, mac) in conflicts.items():
        family.add_metric([address, interface, mac], 1)
    return family


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _count(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
