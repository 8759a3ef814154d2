from baremetal_lb.announce.readiness import Readiness


def test_a_node_is_overdue_when_its_grace_is_over() -> None:
    readiness = Readiness(30.0)
    readiness.seen("node1", 0.0, not_ready=True)
    readiness.seen("node1", 10.0, not_ready=True)
    readiness.seen("node2", 20.0, not_ready=True)
    for now, overdue, deadline in ((29.9, set(), 30.0), (30.0, {"node1"}, 50.0), (50.0, {"node1", "node2"}, None)):
        assert readiness.overdue(now) == overdue
        assert readiness.next_deadline(now) == deadline


def test_a_node_that_was_ready_in_between_has_its_grace_anew() -> None:
    readiness = Readiness(30.0)
    readiness.seen("node1", 0.0, not_ready=True)
    readiness.seen("node1", 20.0, not_ready=False)
    readiness.seen("node1", 25.0, not_ready=True)
    assert readiness.overdue(54.0) == frozenset()
    assert readiness.overdue(55.0) == {"node1"}
