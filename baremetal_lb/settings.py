"""Settings of the processes: every default lives here, with its why. Flags and environment are read in `cli/`."""

from dataclasses import dataclass

SYSTEM_NAMESPACE = "baremetal-lb-system"
"""Where our own objects live."""

CONTROLLER_PORT = 7472
SPEAKER_PORT = 7473
"""Metrics and health. Two numbers, since both may run on the network of one node."""

BEAT_PORT = 7474
"""Where speakers hear, by UDP, that other speakers live."""

WEBHOOK_PORT = 9443
"""Where the controller answers the API server. A Service maps 443 to it, so it needs no privilege."""

EXCLUDED_INTERFACES = "docker|podman|cbr|virbr|lxc|veth|cali|cilium|tunl|flannel|kube-ipvs|cni|weave|nodelocaldns|dummy"
"""How the names of interfaces begin (a regular expression) that belong to containers, tunnels and virtual machines:
nothing is announced there unless an L2Advertisement names the interface."""

BEAT_INTERVAL_SECONDS = 0.1
BEAT_MISSES = 3
"""A speaker whose beats were missed so often in a row is asked for on the segment, and replaced if it is silent there,
too. Networks that lose packets often may want more."""

RENEW_SECONDS = 1.0
LEASE_SECONDS = 3.0
"""A speaker that is silent for so long is dead. With n nodes the API server sees n writes a second and shows each to n
watchers, so large clusters may want longer times."""


REFRESH_SECONDS = 0.0
"""Between two announcements of an address that has not moved; 0: none. Neighbours that follow the RFCs ask again by
themselves within a minute or so, and such frames wake every host of the segment: 4,000 addresses, once a minute, are
130 a second. It is for segments with hosts that believe their caches for hours."""


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """How the controller works. Times are in seconds."""

    port: int = CONTROLLER_PORT
    namespace: str = SYSTEM_NAMESPACE

    lease_seconds: float = 3.0
    """A leader that is silent for so long is replaced."""

    renew_seconds: float = 1.0

    claim_retry_seconds: float = 0.5
    """Between two tries to write the Lease."""

    lease_timeout_seconds: float = 1.4
    """As long as an answer can still be in time: an API server that is merely slow costs no leadership."""

    lease_margin_seconds: float = 0.5
    """A leader stops so long before the others may take over, for what it sent at the last moment."""

    patches_in_flight: int = 32
    """More gains nothing: an API server on two cores answers about 1,100 status patches a second at 32."""

    events_in_flight: int = 4
    """Few, so that telling never slows down assigning."""

    events_queued: int = 10_000
    """An Event is a courtesy: beyond this many the newest are dropped and counted."""

    decisions_per_turn: int = 32
    """After this many the event loop gets its turn: about a millisecond's work."""

    relist_seconds: float = 60.0
    """Our own resources are listed this often even where nothing was heard of a change."""

    publish_seconds: float = 1.0
    """Pool counters are written at most this often, however many addresses are given meanwhile."""

    move_seconds: float = 1.0
    """Between two Services that leave an address which their pool gave up (reclaimPolicy Reassign): each is a change
    that its users notice, so somebody can still stop it."""

    quarantine_seconds: float = 600.0
    """An address that a foreign host used is given to nobody for so long after the host was heard last. Nobody listens
    for it meanwhile; whoever gets the address then asks the segment first."""

    first_backoff_seconds: float = 0.2
    last_backoff_seconds: float = 10.0
    """Between two tries of a failed write; it doubles each time."""

    webhook_port: int = WEBHOOK_PORT

    certificate_check_seconds: float = 30.0
    """The webhook's certificate and the API server's trust in it are looked at this often. It is replaced weeks before
    it ends, so nothing hurries."""

    certificate_settle_seconds: float = 2.0
    """The API server is told of a new authority this long before a certificate of it is served."""

    quiet_start_seconds: float = 10.0
    """kopf is imported once the first assignments are out, or after this long: it costs half a second."""

    stale_seconds: float = 30.0
    """A reconciler that has not turned for so long is stuck, and the process is to be restarted."""

    stop_seconds: float = 5.0
    """What is on its way to the API server gets this long to arrive before the process ends."""


@dataclass(frozen=True, slots=True)
class SpeakerSettings:
    """How the speaker of one node works. Times are in seconds."""

    node: str
    namespace: str = SYSTEM_NAMESPACE
    port: int = SPEAKER_PORT

    renew_seconds: float = RENEW_SECONDS
    lease_seconds: float = LEASE_SECONDS

    beat_port: int = BEAT_PORT
    beat_interval_seconds: float = BEAT_INTERVAL_SECONDS
    beat_misses: int = BEAT_MISSES

    stall_seconds: float = 0.3
    """A speaker that stood still for longer asks the segment whether it was replaced."""

    unwell_seconds: float = 3.0
    """A reconciler that has not turned for so long lets the others know, and they take over."""

    linger_seconds: float = 2.0
    """A speaker that stops answers for so long at most, until it has heard the new holders."""

    status_seconds: float = 1.0
    """Between two writes of the SpeakerStatus: all the other speakers read each."""

    status_gather_seconds: float = 0.05
    """What changes together is written together."""

    proxy_health_url: str = ""
    """Where the node's kube-proxy says that it is well; empty: it is not asked. Each proxy has another URL, and with a
    wrong one no node would look able, so there is no default."""

    proxy_check_seconds: float = 2.0
    proxy_timeout_seconds: float = 1.0
    """kube-proxy answers in a millisecond."""

    not_ready_grace_seconds: float = 30.0
    """A Node that is NotReady for longer gives its addresses up. A kubelet that restarts takes less."""

    refresh_seconds: float = REFRESH_SECONDS

    settle_seconds: float = 5.0
    """That nobody announces an address is told after this long: new Services have no endpoints for a moment."""

    events_queued: int = 1_000
    """An Event is a courtesy: beyond this many the newest are dropped and counted."""

    events_per_second: float = 20.0
    """So that a takeover of thousands of addresses does not hurt the API server just when it is needed most."""

    condition_gather_seconds: float = 0.2
    """What the holders of a Service's addresses begin together is told together."""

    condition_lag_seconds: float = 30.0
    """What changes only for nodes that do not announce an address is told after this long: in a large cluster some
    node always comes or goes, and each time that concerns every Service."""

    condition_rest_seconds: float = 5.0
    """Between two writes of one Service's condition, also where a write failed."""

    conditions_per_second: float = 20.0
    """Like Events: a takeover of thousands of addresses is told bit by bit."""

    decisions_per_turn: int = 200
    """After this many the event loop gets its turn, so that ARP questions wait a few milliseconds at most."""

    turn_seconds: float = 1.0
    """The reconciler turns at least this often, so that one that stands still can be told from one at rest."""

    stale_seconds: float = 15.0
    """A reconciler that has not turned for so long is stuck, and the process is to be restarted."""

    @property
    def beat_speaker_seconds(self) -> float:
        """How long the beats vouch for a speaker that does not say that it is well: as long as for a silent node."""
        return self.beat_misses * self.beat_interval_seconds

    @property
    def renew_timeout_seconds(self) -> float:
        """Shorter than the interval: a renewal that hangs must not hold up the next one."""
        return 0.9 * self.renew_seconds

    @property
    def trust_seconds(self) -> float:
        """How long we take ourselves for connected without seeing a renewal of our own (see election/liveness.py)."""
        return self.lease_seconds - self.renew_seconds
