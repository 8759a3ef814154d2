from datetime import UTC, datetime
from typing import Any

import pytest

from baremetal_lb.cluster.leader_lease import (
    LeaderLease,
    claim_patch,
    new_leader_lease,
    parse_leader_lease,
    release_patch,
    renewal_patch,
)

AT = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)
WRITTEN_AT = "2026-11-23T12:00:00.000005Z"


def stored(raw: dict[str, Any], version: int) -> dict[str, Any]:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(version)}}


def test_what_a_leader_writes_the_others_read() -> None:
    lease = {**new_leader_lease("system", seconds=4.0), **claim_patch(6, "a", at=AT, seconds=4.0)}
    assert parse_leader_lease(stored(lease, 7)) == LeaderLease("a", 7, 4.0)


def test_a_new_lease_is_told_from_one_that_was_let_go() -> None:
    new = parse_leader_lease(stored(new_leader_lease("system", seconds=4.0), 7))
    assert new == LeaderLease("", 7, 4.0, is_new=True)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"acquireTime": WRITTEN_AT}, id="one of ours"),
        pytest.param({"acquireTime": WRITTEN_AT, "holderIdentity": ""}, id="as other clients do it"),
    ],
)
def test_a_lease_that_was_let_go(spec: dict[str, Any]) -> None:
    assert parse_leader_lease(stored({"metadata": {}, "spec": spec}, 7)) == LeaderLease("", 7, 0.0)


def test_others_wait_at_least_as_long_as_the_leader_trusts_it() -> None:
    """The field holds whole seconds."""
    assert new_leader_lease("system", seconds=3.2)["spec"]["leaseDurationSeconds"] == 4
    assert claim_patch(7, "a", at=AT, seconds=3.2)["spec"]["leaseDurationSeconds"] == 4


def test_a_claim_says_since_when_and_a_renewal_leaves_that() -> None:
    claim = claim_patch(7, "a", at=AT, seconds=4.0)
    renewal = renewal_patch(7, "a", at=AT, seconds=4.0)
    assert claim["spec"]["acquireTime"] == claim["spec"]["renewTime"] == WRITTEN_AT
    assert "acquireTime" not in renewal["spec"]


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(claim_patch(7, "a", at=AT, seconds=4.0), id="claim"),
        pytest.param(renewal_patch(7, "a", at=AT, seconds=4.0), id="renewal"),
        pytest.param(release_patch(7), id="release"),
    ],
)
def test_a_patch_fails_where_the_lease_is_another_by_then(patch: dict[str, Any]) -> None:
    assert patch["metadata"] == {"resourceVersion": "7"}


def test_who_lets_go_takes_its_name_away() -> None:
    assert release_patch(7)["spec"] == {"holderIdentity": None}
