from baremetal_lb.addresses import AddressRange
from baremetal_lb.announce.offer import Offer, OfferedInterface, offer_of, offer_status, parse_offer
from baremetal_lb.api.status import NETWORKS_MAX, OFFERED_MAX, SpeakerStatus
from baremetal_lb.l2.interfaces import Interface

LANS = (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8:0:2::/64"))
ETH0 = Interface(2, "eth0", b"\2\0\0\0\0\1", networks=LANS)
VETH7 = Interface(3, "veth7", b"\2\0\0\0\0\2", only_by_name=True)


def test_an_unusual_interface_is_offered_where_an_advertisement_names_it() -> None:
    assert offer_of((ETH0, VETH7), ()).by_name == frozenset()
    offer = offer_of((ETH0, VETH7), {"veth7"})
    assert offer.usual == {"eth0"}
    assert offer.by_name == {"veth7"}


def test_what_a_speaker_writes_the_others_read() -> None:
    offer = offer_of((ETH0, VETH7), {"veth7"}, proxy_answers=False)
    raw = {"metadata": {"name": "node1"}, "status": offer_status(offer)}
    assert parse_offer(raw) == offer
    status = SpeakerStatus.read(raw).status
    assert (status.interface_names, status.proxy_answers) == ("eth0,veth7", False)


def test_a_node_that_has_said_nothing_offers_nothing() -> None:
    assert parse_offer({"metadata": {"name": "node1"}}) == Offer()


def test_a_node_without_measure_says_as_much_as_fits() -> None:
    many = AddressRange.parse("198.18.0.0/24").addresses()
    networks = tuple(AddressRange(one, one) for one in many)
    offer = offer_of(
        (Interface(one, f"interface-{one:05}", b"\2\0\0\0\0\1", networks=networks) for one in range(999)),
        {"interface-00900"},
    )
    assert len(offer.interfaces) == OFFERED_MAX
    assert len(offer.interfaces[0].networks) == NETWORKS_MAX
    assert offer.interfaces[-1].name == "interface-00900"
    SpeakerStatus.read({"metadata": {"name": "node1"}, "status": offer_status(offer)})


def test_only_interfaces_with_one_of_the_networks_are_within_them() -> None:
    offer = Offer((OfferedInterface("eth0", networks=LANS), OfferedInterface("eth1", networks=LANS[:1])))
    assert offer.within(LANS[1:]) == {"eth0"}
    assert offer.within(()) == frozenset()
