from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.public_addresses import is_public

SPECIAL_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
]  # fmt: skip
SPECIAL_V6 = [
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64",
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
    "fec0::/10", "ff00::/8", "fd00:ec2::254/128",
]  # fmt: skip

any_v4 = st.one_of(
    st.ip_addresses(v=4), *(st.ip_addresses(network=IPv4Network(block)) for block in SPECIAL_V4)
)
any_v6 = st.one_of(
    st.ip_addresses(v=6), *(st.ip_addresses(network=IPv6Network(block)) for block in SPECIAL_V6)
)


@given(st.one_of(any_v4, any_v6))
def test_what_is_not_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or not is_public(address)


@pytest.mark.parametrize("block", SPECIAL_V4)
@given(data=st.data())
def test_special_ipv4_is_refused(block: str, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=IPv4Network(block)))
    assert not is_public(address)


@pytest.mark.parametrize("block", SPECIAL_V6)
@given(data=st.data())
def test_special_ipv6_is_refused(block: str, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=IPv6Network(block)))
    assert not is_public(address)


@given(any_v4)
def test_ipv4_in_ipv6_is_no_way_around(inner: IPv4Address) -> None:
    number = int(inner)
    mapped, compatible = IPv6Address((0xFFFF << 32) | number), IPv6Address(number)
    translated = IPv6Address(int(IPv6Address("64:ff9b::")) | number)
    tunnelled = IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert not any(is_public(address) for address in (mapped, compatible, tunnelled))
    assert is_public(translated) == is_public(inner)


@pytest.mark.parametrize(
    "text",
    ["169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "::ffff:169.254.169.254",
     "64:ff9b::169.254.169.254", "fe80::1%eth0", "2606:4700::1111%1"],
)  # fmt: skip
def test_metadata_services_and_zones_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))
