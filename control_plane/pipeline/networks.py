"""Networks that people do not browse from: hosting companies, and scanners of mail.

Blocks that their owners announce as a whole; a few hundred lines cannot be complete. An operator's own
file adds to them (SWITCHYARD_DATACENTER_NETWORKS): the lists that clouds publish, or any other.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DATACENTERS: Final = """
    3.0.0.0/9 3.128.0.0/9 18.128.0.0/9 34.192.0.0/10 44.192.0.0/10 50.16.0.0/14 54.64.0.0/11 54.144.0.0/12
    54.160.0.0/11 54.192.0.0/11 54.224.0.0/11 2600:1f00::/24 2a05:d000::/25
    34.64.0.0/10 34.128.0.0/10 35.184.0.0/13 35.192.0.0/14 35.196.0.0/15 35.198.0.0/16 35.200.0.0/13
    35.208.0.0/12 35.224.0.0/12 35.240.0.0/13 104.154.0.0/15 104.196.0.0/14 130.211.0.0/16 146.148.0.0/17
    2600:1900::/28
    20.33.0.0/16 20.36.0.0/14 20.40.0.0/13 20.48.0.0/12 20.64.0.0/10 40.64.0.0/10 51.103.0.0/16 51.104.0.0/15
    52.224.0.0/11 104.40.0.0/13 137.116.0.0/15 168.61.0.0/16 168.62.0.0/15 191.232.0.0/13 2603:1000::/25
    46.101.0.0/16 64.225.0.0/17 68.183.0.0/16 104.131.0.0/16 128.199.0.0/16 134.209.0.0/16 138.68.0.0/16
    138.197.0.0/16 139.59.0.0/16 142.93.0.0/16 157.230.0.0/16 157.245.0.0/16 159.65.0.0/16 159.89.0.0/16
    159.203.0.0/16 161.35.0.0/16 162.243.0.0/16 164.90.0.0/16 165.22.0.0/16 165.227.0.0/16 167.71.0.0/16
    167.99.0.0/16 167.172.0.0/16 174.138.0.0/17 178.62.0.0/16 178.128.0.0/16 188.166.0.0/16 206.189.0.0/16
    2604:a880::/32 2a03:b0c0::/32
    5.9.0.0/16 65.108.0.0/15 78.46.0.0/15 88.198.0.0/16 88.99.0.0/16 94.130.0.0/16 95.216.0.0/15
    116.202.0.0/15 135.181.0.0/16 136.243.0.0/16 138.201.0.0/16 144.76.0.0/16 148.251.0.0/16 157.90.0.0/16
    159.69.0.0/16 162.55.0.0/16 168.119.0.0/16 176.9.0.0/16 178.63.0.0/16 188.40.0.0/16 195.201.0.0/16
    213.239.192.0/18 2a01:4f8::/31
    51.38.0.0/16 51.68.0.0/16 51.75.0.0/16 51.77.0.0/16 51.83.0.0/16 51.89.0.0/16 51.91.0.0/16 51.178.0.0/16
    51.195.0.0/16 51.210.0.0/16 51.254.0.0/15 54.36.0.0/14 91.121.0.0/16 137.74.0.0/16 144.217.0.0/16
    145.239.0.0/16 147.135.0.0/16 149.56.0.0/16 158.69.0.0/16 167.114.0.0/16 176.31.0.0/16 178.32.0.0/15
    188.165.0.0/16 192.99.0.0/16 198.27.64.0/18 198.50.128.0/17 213.32.0.0/17 217.182.0.0/16 2001:41d0::/32
    2607:5300::/32
    45.33.0.0/17 45.56.64.0/18 45.79.0.0/16 50.116.0.0/18 69.164.192.0/19 74.207.224.0/19 96.126.96.0/19
    109.74.192.0/20 139.162.0.0/16 172.104.0.0/15 173.230.128.0/19 173.255.192.0/18 176.58.96.0/19
    178.79.128.0/18 192.155.80.0/20 198.58.96.0/19 2600:3c00::/28 2a01:7e00::/28
    45.32.0.0/16 45.63.0.0/17 45.76.0.0/15 108.61.0.0/16 140.82.0.0/18 144.202.0.0/17 149.28.0.0/16
    155.138.128.0/17 207.148.0.0/17 2001:19f0::/32
    51.15.0.0/16 51.158.0.0/15 62.210.0.0/16 163.172.0.0/16 195.154.0.0/16 212.47.224.0/19 212.83.128.0/19
    2001:bc8::/32
    129.146.0.0/16 129.213.0.0/16 130.61.0.0/16 132.145.0.0/16 140.238.0.0/16 150.136.0.0/16 152.67.0.0/16
    152.70.0.0/16 158.101.0.0/16 193.122.0.0/15 2603:c000::/24
    47.74.0.0/15 47.88.0.0/14 47.235.0.0/16 47.236.0.0/14 47.240.0.0/14 47.250.0.0/15 47.252.0.0/15
    47.254.0.0/16 8.208.0.0/12 161.117.0.0/16 43.128.0.0/13 49.51.0.0/16 101.32.0.0/15 119.28.0.0/15
    129.226.0.0/16 150.109.0.0/16 162.62.0.0/16 170.106.0.0/16
"""
"""By owner: Amazon, Google, Microsoft, DigitalOcean, Hetzner, OVH, Akamai (Linode), Vultr, Scaleway,
Oracle, Alibaba and Tencent. Services that people's traffic leaves from (relays, VPNs, offices' proxies)
may lie in such blocks too."""

MAIL_SCANNERS: Final = """
    40.92.0.0/15 40.107.0.0/16 52.100.0.0/14 104.47.0.0/17
    64.235.144.0/20 209.222.80.0/21
    67.231.144.0/20 148.163.128.0/19 205.220.160.0/20
    63.128.21.0/24 170.10.128.0/18 205.139.110.0/23 207.211.30.0/23
    68.232.128.0/19
    67.219.240.0/20 85.158.136.0/21 195.245.230.0/23
"""
"""By owner: Exchange Online Protection, Barracuda, Proofpoint, Mimecast, Cisco, Symantec."""


class NetworkList:
    """Blocks of addresses, asked whether an address lies in one of them: two look-ups by halves.

    `blocks`: CIDR. Raises ValueError for what is none.
    """

    def __init__(self, blocks: Iterable[str]) -> None:
        networks = [ipaddress.ip_network(block) for block in blocks]
        self._bounds = {
            length: _merge(network for network in networks if network.max_prefixlen == 8 * length)
            for length in (4, 16)
        }

    def holds(self, packed: bytes) -> bool:
        """Tell whether an address lies in a block. `packed`: see `pack_address`."""
        # Bounds in order, first and behind-last in turn: inside is where an odd number lies before.
        return bisect_right(self._bounds[len(packed)], int.from_bytes(packed, "big")) % 2 == 1


def pack_address(ip: str) -> bytes | None:
    """Give the 4 or 16 bytes of an address; None for what is none. By the C library: every click has one."""
    try:
        if ":" in ip:
            return inet_pton(AF_INET6, ip.partition("%")[0])
        return inet_pton(AF_INET, ip)
    except (OSError, ValueError):
        return None


def _merge(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> list[int]:
    bounds: list[int] = []
    for network in sorted(networks, key=lambda network: int(network.network_address)):
        first, behind = int(network.network_address), int(network.broadcast_address) + 1
        if bounds and first <= bounds[-1]:
            bounds[-1] = max(bounds[-1], behind)
        else:
            bounds += first, behind
    return bounds


def read_networks(text: str) -> list[str]:
    """Read CIDR blocks: one or more per line, `#` begins a comment. Raises ValueError, naming the line."""
    blocks: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for block in line.partition("#")[0].split():
            try:
                ipaddress.ip_network(block)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            blocks.append(block)
    return blocks
