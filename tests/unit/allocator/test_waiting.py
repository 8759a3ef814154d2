"""Who waits for an address, and who of them would share one."""

from baremetal_lb.allocator.waiting import WaitingServices
from baremetal_lb.cluster.service import ServiceKey

WEB, MAIL, DNS = ServiceKey("shop", "web"), ServiceKey("shop", "mail"), ServiceKey("shop", "dns")


def test_who_waits_is_found_by_key() -> None:
    waiting = WaitingServices()
    waiting.add(WEB, "k")
    waiting.add(MAIL, "k")
    waiting.add(DNS, "")

    assert set(waiting.all()) == {WEB, MAIL, DNS}
    assert set(waiting.under("k")) == {WEB, MAIL}
    assert set(waiting.under("j")) == set()


def test_who_would_share_with_nobody_is_found_by_no_key() -> None:
    waiting = WaitingServices()
    waiting.add(DNS, "")

    assert set(waiting.under("")) == set()


def test_who_waits_under_another_key_does_so_no_longer_under_the_first() -> None:
    waiting = WaitingServices()
    waiting.add(WEB, "k")
    waiting.add(WEB, "j")

    assert (set(waiting.under("k")), set(waiting.under("j"))) == (set(), {WEB})
    assert set(waiting.all()) == {WEB}


def test_who_waits_no_longer_is_found_no_more() -> None:
    waiting = WaitingServices()
    for service in (WEB, MAIL):
        waiting.add(service, "k")

    waiting.discard(WEB)
    waiting.discard(DNS)
    assert (set(waiting.all()), set(waiting.under("k"))) == ({MAIL}, {MAIL})

    waiting.clear()
    assert (set(waiting.all()), set(waiting.under("k"))) == (set(), set())
