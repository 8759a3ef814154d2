"""One row for each rule that keeps an interface from carrying announcements."""

import re
from dataclasses import replace

import pytest

from baremetal_lb.addresses import AddressRange
from baremetal_lb.l2.interfaces import Interface, Unsuitable, inspect
from baremetal_lb.l2.links import Link, LinkFlag, OperationalState
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import EXCLUDED_INTERFACES

MAC = bytes.fromhex("02005e005301")
EXCLUDED = re.compile(EXCLUDED_INTERFACES)
NETWORKS = (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8:0:2::/64"))
ETH0 = Link(2, "eth0", LinkFlag.UP | LinkFlag.BROADCAST, MAC, OperationalState.UP)


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        pytest.param(replace(ETH0, flags=ETH0.flags | LinkFlag.LOOPBACK), Reason.INTERFACE_IS_LOOPBACK, id="loopback"),
        pytest.param(replace(ETH0, flags=ETH0.flags | LinkFlag.NOARP), Reason.INTERFACE_WITHOUT_ARP, id="no ARP"),
        pytest.param(replace(ETH0, flags=LinkFlag.UP), Reason.INTERFACE_WITHOUT_ARP, id="point to point"),
        pytest.param(replace(ETH0, mac=b""), Reason.INTERFACE_WITHOUT_MAC, id="no MAC"),
        pytest.param(replace(ETH0, mac=bytes(6)), Reason.INTERFACE_WITHOUT_MAC, id="a MAC of zeros"),
        pytest.param(replace(ETH0, mac=bytes(range(20))), Reason.INTERFACE_WITHOUT_MAC, id="InfiniBand"),
        pytest.param(replace(ETH0, has_master=True, port_of="bridge"), Reason.INTERFACE_IS_PORT, id="bridge port"),
        pytest.param(replace(ETH0, has_master=True, port_of="bond"), Reason.INTERFACE_IS_PORT, id="bond port"),
        pytest.param(replace(ETH0, has_master=True), Reason.INTERFACE_IS_PORT, id="port of something unknown"),
        pytest.param(replace(ETH0, flags=LinkFlag.BROADCAST), Reason.INTERFACE_DOWN, id="switched off"),
        pytest.param(replace(ETH0, state=OperationalState.DOWN), Reason.INTERFACE_DOWN, id="no carrier"),
        pytest.param(replace(ETH0, state=OperationalState.LOWER_LAYER_DOWN), Reason.INTERFACE_DOWN, id="parent down"),
        pytest.param(replace(ETH0, state=OperationalState.DORMANT), Reason.INTERFACE_DOWN, id="waiting for 802.1X"),
    ],
)
def test_unsuitable(link: Link, reason: Reason) -> None:
    """D13."""
    assert inspect(link, EXCLUDED) == Unsuitable("eth0", reason)


@pytest.mark.parametrize(
    ("link", "only_by_name"),
    [
        pytest.param(ETH0, False, id="an ordinary card"),
        pytest.param(replace(ETH0, state=OperationalState.UNKNOWN), False, id="a driver that knows no state"),
        pytest.param(replace(ETH0, has_master=True, port_of="vrf"), False, id="a member of a VRF"),
        pytest.param(replace(ETH0, name="eth0.100"), False, id="a VLAN"),
        pytest.param(replace(ETH0, name="bond0"), False, id="a bond itself"),
        pytest.param(replace(ETH0, name="br0"), False, id="a bridge itself"),
        pytest.param(replace(ETH0, name="myveth"), False, id="an excluded word that is not the beginning"),
        *(
            pytest.param(replace(ETH0, name=name), True, id=f"{name} belongs to something else")
            for name in ["docker0", "virbr0", "vethwe-bridge", "cali123abc", "cni0", "flannel.1", "lxcbr0", "dummy0"]
        ),
    ],
)
def test_suitable(link: Link, only_by_name: bool) -> None:
    """D13 and D15; D16: there a member of a VRF is never used."""
    judged = inspect(replace(link, carrier_changes=3, networks=NETWORKS), EXCLUDED)
    assert judged == Interface(2, link.name, MAC, only_by_name, carrier_changes=3, networks=NETWORKS)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"networks": NETWORKS}, True, id="only the node's own addresses"),
        pytest.param({"mac": bytes(6)}, False, id="the MAC"),
        pytest.param({"carrier_changes": 1}, False, id="the line was cut"),
        pytest.param({"name": "lan0"}, False, id="the name"),
    ],
)
def test_what_neighbours_can_notice(change: dict[str, object], same: bool) -> None:
    eth0 = Interface(2, "eth0", MAC)
    assert replace(eth0, **change).looks_the_same_as(eth0) is same  # type: ignore[arg-type]  # rows of several types
