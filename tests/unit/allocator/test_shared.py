"""Which addresses are shared under a key, and on which there is room for more ports."""

from ipaddress import ip_address

import pytest

from baremetal_lb.addresses import Address
from baremetal_lb.allocator.shared import SharedAddresses
from baremetal_lb.allocator.sharing import NO_SHARING, Sharing
from baremetal_lb.cluster.service import Port

ADDRESSES = pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(ip_address("192.0.2.1"), ip_address("192.0.2.2"), id="IPv4"),
        pytest.param(ip_address("2001:db8::1"), ip_address("2001:db8::2"), id="IPv6"),
    ],
)


def sharing(*ports: int, key: str = "k") -> Sharing:
    return Sharing(key, "shop", ports=frozenset(Port("TCP", number) for number in ports))


@ADDRESSES
def test_there_is_room_where_no_port_is_taken(one: Address, other: Address) -> None:
    index = SharedAddresses()
    index.join(one, sharing(80))
    index.join(other, sharing(443))

    assert index.with_room_for(sharing(81)) == {one, other}
    assert index.with_room_for(sharing(80)) == {other}
    assert index.with_room_for(sharing(81, 443)) == {one}
    assert index.with_room_for(sharing(80, 443)) == set()
    assert index.with_room_for(sharing()) == {one, other}


@ADDRESSES
def test_keys_have_nothing_to_do_with_each_other(one: Address, other: Address) -> None:
    index = SharedAddresses()
    index.join(one, sharing(80))
    index.join(other, sharing(80, key="j"))

    assert index.with_room_for(sharing(81)) == {one}
    assert index.with_room_for(sharing(80, key="j")) == set()
    assert index.with_room_for(sharing(81, key="unheard of")) == set()


@ADDRESSES
def test_who_has_no_key_neither_joins_nor_finds(one: Address, other: Address) -> None:
    index = SharedAddresses()
    index.join(one, NO_SHARING)
    index.join(other, sharing(80))

    assert index.with_room_for(NO_SHARING) == set()
    index.leave(one, NO_SHARING)
    assert index.with_room_for(sharing(81)) == {other}


@ADDRESSES
def test_an_address_is_there_until_the_last_has_left(one: Address, other: Address) -> None:
    index = SharedAddresses()
    for ports in (80, 443):
        index.join(one, sharing(ports))
    index.join(other, sharing(80))

    index.leave(one, sharing(80))
    assert index.with_room_for(sharing(80)) == {one}
    index.leave(one, sharing(443))
    assert index.with_room_for(sharing(443)) == {other}
    index.leave(other, sharing(80))
    assert index.with_room_for(sharing(443)) == set()
