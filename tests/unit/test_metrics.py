from prometheus_client import CollectorRegistry

from baremetal_lb.metrics import AnnouncedAddress, SpeakerCollector, SpeakerMetrics, SpeakerSnapshot

WEB = AnnouncedAddress(("default/web", "default/api"), "192.0.2.100", "eth0", replies=7, announcements=5)
SNAPSHOT = SpeakerSnapshot(
    announced=[WEB],
    addresses_by_reason={"Elected": 1},
    conflicts={"2001:db8::100": ("eth0", "02:00:00:00:00:99")},
    speakers_alive=3,
    view_trusted=True,
    peers={"alive": 2, "silent": 1},
    beats={"sent": 20, "refused BadSignature": 3},
    beat_restarts=1,
    frames_received=9,
    frames_malformed={"Truncated": 2},
    send_failures={"ENOBUFS": 1},
    heard_on_segment={"probes": 4},
    watch_reconnects={"Node": 4},
)


def test_a_speaker_is_read_at_the_time_of_the_scrape() -> None:
    """What it no longer does has no series any more."""
    registry = CollectorRegistry()
    SpeakerMetrics(registry, "test")
    shown = [SNAPSHOT]
    registry.register(SpeakerCollector(lambda: shown[0]))
    labels = {"address": "192.0.2.100", "interface": "eth0"}
    for service in WEB.services:
        announced = {**labels, "service": service}
        assert registry.get_sample_value("baremetal_lb_speaker_announced", announced) == 1
    assert registry.get_sample_value("baremetal_lb_replies_total", labels) == 7
    assert registry.get_sample_value("baremetal_lb_announcements_total", labels) == 5
    assert registry.get_sample_value("baremetal_lb_addresses", {"reason": "Elected"}) == 1
    conflict = {"address": "2001:db8::100", "interface": "eth0", "mac": "02:00:00:00:00:99"}
    assert registry.get_sample_value("baremetal_lb_address_conflicts", conflict) == 1
    assert registry.get_sample_value("baremetal_lb_speakers_alive") == 3
    assert registry.get_sample_value("baremetal_lb_view_trusted") == 1
    assert registry.get_sample_value("baremetal_lb_peers", {"state": "alive"}) == 2
    assert registry.get_sample_value("baremetal_lb_beats_total", {"result": "refused BadSignature"}) == 3
    assert registry.get_sample_value("baremetal_lb_beat_process_restarts_total") == 1
    assert registry.get_sample_value("baremetal_lb_frames_received_total") == 9
    assert registry.get_sample_value("baremetal_lb_frames_malformed_total", {"reason": "Truncated"}) == 2
    assert registry.get_sample_value("baremetal_lb_send_failures_total", {"error": "ENOBUFS"}) == 1
    assert registry.get_sample_value("baremetal_lb_segment_total", {"what": "probes"}) == 4
    assert registry.get_sample_value("baremetal_lb_watch_reconnects", {"kind": "Node"}) == 4
    shown[0] = SpeakerSnapshot()
    assert registry.get_sample_value("baremetal_lb_speaker_announced", {**labels, "service": "default/web"}) is None
