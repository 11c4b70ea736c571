"""Look names up in the DNS: texts and addresses.

    LookupFailed
    └── NameEmpty    the DNS has answered: there is no such name, or nothing of the kind at it

Only DNS counts, never this machine's own list of hosts.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final

import dns.asyncresolver
import dns.exception
import dns.resolver
from dns.nameserver import Do53Nameserver

if TYPE_CHECKING:
    from dns.rdtypes.txtbase import TXTBase

    from control_plane.core.public_addresses import Address

LOOKUP_TIMEOUT_S: Final = 5.0
"""For one look-up, with all its attempts."""

ATTEMPT_TIMEOUT_S: Final = 2.0
"""For one server's answer, so that another one gets its turn."""


class LookupFailed(Exception):  # noqa: N818  named for what happened
    """No server gave an answer: nothing is known of the name."""


class NameEmpty(LookupFailed):
    """There is no such name, or it has no records of the kind."""


class NameResolver:
    """Asks DNS servers: those given as (address, port), or the system's when there are none."""

    def __init__(self, servers: tuple[tuple[str, int], ...] = ()) -> None:
        self._servers = servers

    async def find_texts(self, name: str) -> list[str]:
        """Give the TXT records at a name, the strings of each joined. Raises NameEmpty, LookupFailed."""
        answer = await self._ask(name, "TXT")
        return [_join(record) for record in answer]

    async def find_addresses(self, name: str) -> list[Address]:
        """Give the addresses of a name, IPv4 first. Raises NameEmpty, LookupFailed.

        What could not be learned of one kind does not matter where the other has addresses.
        """
        answers = await asyncio.gather(
            *(self._ask(name, kind) for kind in ("A", "AAAA")), return_exceptions=True
        )
        found = [answer for answer in answers if isinstance(answer, dns.resolver.Answer)]
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if not found:
            raise next((error for error in failures if not isinstance(error, NameEmpty)), failures[0])
        return [ipaddress.ip_address(record.address) for answer in found for record in answer]

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                return await self._open().resolve(f"{name}.", kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN) as error:
            raise NameEmpty(f"there is no name {name} in the DNS") from error
        except dns.resolver.NoAnswer as error:
            raise NameEmpty(f"{name} has no {kind} record") from error
        except (dns.exception.Timeout, TimeoutError) as error:
            raise LookupFailed(f"the DNS gave no answer for {name} within {LOOKUP_TIMEOUT_S:g} s") from error
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"the DNS failed to answer for {name}") from error

    def _open(self) -> dns.asyncresolver.Resolver:
        """Make a resolver. Each look-up has its own: what the system's servers are may change."""
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.lifetime, resolver.timeout = LOOKUP_TIMEOUT_S, ATTEMPT_TIMEOUT_S
        return resolver


def _join(record: TXTBase) -> str:
    return b"".join(record.strings).decode("utf-8", "replace")
