"""What SWITCHYARD_REDIS_URL may say: one server, or the nodes that a cluster is asked at first.

    redis://[user:password@]host:port/0                     rediss:// with TLS, unix:// for a socket
    redis+cluster://[user:password@]host:port,host:port     rediss+cluster:// with TLS

Whatever follows a question mark is an option of redis-py, as for one server.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

SINGLE: Final = ("redis", "rediss", "unix")
CLUSTER: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
PORT: Final = 6379


class RedisUrl(msgspec.Struct, frozen=True):
    """A URL taken apart. `nodes`: what to ask at first, as host:port; empty for a single server.

    `template`: the URL of a single server, with {node} in place of host and port.
    """

    template: str
    nodes: tuple[str, ...] = ()

    def of_node(self, node: str) -> str:
        """Give the URL of one node, as host:port."""
        return self.template.replace("{node}", node) if self.nodes else self.template


def read_redis_url(url: str) -> RedisUrl:
    """Take a URL apart. Raises ValueError, which does not repeat the password."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in {*SINGLE, *CLUSTER}:
        known = ", ".join(f"{name}://" for name in (*SINGLE, *CLUSTER))
        raise ValueError(f"SWITCHYARD_REDIS_URL must begin with one of {known}")
    if scheme in SINGLE:
        return RedisUrl(url)
    place, question, options = rest.partition("?")
    if _splits_account(rest):
        raise ValueError(
            "SWITCHYARD_REDIS_URL has an '@' after its '?'; write a '?' in the password as %3F,"
            " and an '@' in an option as %40"
        )
    account, at, place = place.rpartition("@")
    hosts, _slash, database = place.partition("/")
    if database not in {"", "0"}:
        raise ValueError(
            f"SWITCHYARD_REDIS_URL names database {database!r}; a cluster has database 0 and no other"
        )
    if "{" in account + options:
        raise ValueError("SWITCHYARD_REDIS_URL has a '{' in its password or options; write it as %7B")
    template = f"{CLUSTER[scheme]}://{account}{at}{{node}}/0{question}{options}"
    return RedisUrl(template, tuple(_read_node(host) for host in hosts.split(",")))


def _read_node(host: str) -> str:
    """Give host:port, with brackets around an IPv6 address."""
    try:
        parts = urlsplit(f"//{host.strip()}")
        name, port = parts.hostname, parts.port or PORT
    except ValueError:
        name = None
    if not name or parts.username or parts.query or parts.fragment:
        raise ValueError(f"SWITCHYARD_REDIS_URL names the node {host!r}, which is not host:port")
    return join_address(name, port)


def join_address(host: str, port: int) -> str:
    """Give host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_password(url: str) -> str:
    """Give a URL fit for a message."""
    scheme, _mark, rest = url.partition("://")
    place = "" if _splits_account(rest) else rest.partition("?")[0].rpartition("@")[2]
    return f"{scheme}://{place}" if place else scheme


def _splits_account(rest: str) -> bool:
    """Tell whether what stands before the question mark may be a part of a password."""
    place, _question, options = rest.partition("?")
    return "@" in options and "@" not in place
