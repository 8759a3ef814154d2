from datetime import UTC, datetime

from baremetal_lb.cluster.lease import LeaseView, held, new_lease, parse_lease, released

AT = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)


def test_what_a_speaker_writes_the_others_read() -> None:
    lease = held(new_lease("system", "node1", "uid1"), "node1/abc", at=AT, seconds=3.0)
    assert parse_lease(lease) == LeaseView("node1", "node1/abc", "2026-11-23T12:00:00.000005Z")
    assert lease["spec"]["leaseDurationSeconds"] == 3
    assert not parse_lease(lease).released


def test_a_new_run_acquires_and_the_same_run_renews() -> None:
    first = held(new_lease("system", "node1", "uid1"), "node1/abc", at=AT, seconds=3.0)
    later = datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
    renewed = held(first, "node1/abc", at=later, seconds=3.0)
    taken = held(first, "node1/def", at=later, seconds=3.0)
    assert renewed["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert renewed["spec"]["renewTime"] != first["spec"]["renewTime"]
    assert taken["spec"]["acquireTime"] == taken["spec"]["renewTime"]


def test_a_released_lease_has_no_holder() -> None:
    lease = held(new_lease("system", "node1", "uid1"), "node1/abc", at=AT, seconds=3.0)
    assert parse_lease(released(lease)).released
    assert parse_lease(new_lease("system", "node1", "uid1")).released


def test_what_others_wrote_there_is_kept() -> None:
    lease = new_lease("system", "node1", "uid1")
    lease["metadata"]["annotations"] = {"theirs": "kept"}
    renewed = held(lease, "node1/abc", at=AT, seconds=3.0)
    assert renewed["metadata"]["annotations"]["theirs"] == "kept"


def test_a_lease_goes_with_its_node() -> None:
    assert new_lease("system", "node1", "uid1")["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "uid1"}
    ]
