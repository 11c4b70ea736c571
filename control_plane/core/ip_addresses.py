"""Addresses and blocks of addresses, so read that a v4 address is one however it arrives."""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def read_address(text: str) -> IpAddress | None:
    """Read an address without its zone; a v4 address inside v6 becomes v4. None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_network(text: str) -> IpNetwork | None:
    """Read a block such as 192.0.2.0/24, or a single address; None for what is neither.

    A block of v4 addresses inside v6 becomes v4, as the addresses do that are matched against it.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv4Network):
        return network
    if network.network_address.scope_id is not None:
        return None
    mapped = network.network_address.ipv4_mapped
    if mapped is None or not network.subnet_of(_MAPPED):
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))


def show_network(network: IpNetwork) -> str:
    """Write a block as 192.0.2.0/24, and one of a single address as that address."""
    return str(network.network_address) if network.num_addresses == 1 else str(network)
