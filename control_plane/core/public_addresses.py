"""Which addresses belong to the public internet: the only ones that a URL of a stranger may lead to.

Loopback, private networks, link-local (and with it the metadata services of clouds), carrier-grade NAT,
multicast, documentation, reserved space, and whatever wraps such an address in IPv6 are all refused.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_REFUSED_V4: Final = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; some of its addresses count as global
    IPv4Network("192.88.99.0/24"),  # relays from IPv6, withdrawn
    IPv4Network("168.63.129.16/32"),  # Azure's host, to every machine that runs on it
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that was ever given out. Mapped and compatible IPv4, and much else, lies outside."""

_REFUSED_V6: Final = (
    IPv6Network("2001::/23"),  # protocol assignments; Teredo wraps IPv4
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4 wraps IPv4
    IPv6Network("3fff::/20"),  # documentation
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Leads to the IPv4 address in its last 32 bits; networks without IPv4 resolve names to it."""


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not any(address in network for network in _REFUSED_V4)
        )
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _GLOBAL_V6 and address.is_global and not any(address in network for network in _REFUSED_V6)
    )
