from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.ip_addresses import read_address, read_network, show_network

if TYPE_CHECKING:
    import ipaddress


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1"),
        ("::/0", "::/0"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_blocks_are_read_and_shown(text: str, shown: str) -> None:
    network = read_network(text)
    assert network is not None
    assert show_network(network) == shown


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.1/8", "10.0.0.0/33", "010.0.0.0/8", "1", "fe80::1%eth0", "fe80::%1/64", " ::1"]
)
def test_what_is_no_block(text: str) -> None:
    assert read_network(text) is None


@given(st.ip_addresses(v=4))
def test_a_v4_address_is_one_however_it_arrives(address: ipaddress.IPv4Address) -> None:
    assert read_address(f"::ffff:{address}") == read_address(str(address)) == address


@given(st.text(max_size=50))
def test_no_text_breaks_it(text: str) -> None:
    read_address(text)
    read_network(text)
