"""Look at a domain for the proof of a claim. Talks to the network, never to the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core.dns_servers import read_servers
from control_plane.core.guarded_fetch import FetchFailed, GuardedFetcher, TargetUnknown
from control_plane.core.name_resolver import LookupFailed, NameEmpty, NameResolver
from control_plane.domains.custom_domains import challenges
from control_plane.domains.custom_domains.model import Finding, Sight

if TYPE_CHECKING:
    from control_plane.domains.custom_domains.model import Claim

HTTP_PORT: Final = 80
OK: Final = 200


class Probe:
    """Finds proofs. `file_port`: where files are fetched from; anything but 80 needs `allow_private`."""

    def __init__(
        self, resolver: NameResolver, *, allow_private: bool = False, file_port: int = HTTP_PORT
    ) -> None:
        self._resolver = resolver
        self._fetcher = GuardedFetcher(resolver, allow_private=allow_private)
        self._file_port = file_port

    async def look(self, claim: Claim) -> Finding:
        """Look for a claim's proof, in the way that the claim names."""
        return await (self._look_at_record(claim) if claim.method == "DNS_TXT" else self._look_at_file(claim))

    async def _look_at_record(self, claim: Claim) -> Finding:
        name, proof = challenges.record_name(claim.domain), challenges.proof_of(claim.challenge)
        try:
            texts = await self._resolver.find_texts(name)
        except NameEmpty as error:
            return Finding(Sight.MISSING, f"Nothing was found: {error}.")
        except LookupFailed as error:
            return Finding(Sight.UNKNOWN, f"Nothing could be learned: {error}.")
        if any(text.strip() == proof for text in texts):
            return Finding(Sight.PROVEN, f"The TXT record at {name} is as it should be.")
        return Finding(Sight.MISSING, f"{_count(len(texts), 'TXT record')} at {name}, not the one asked for.")

    async def _look_at_file(self, claim: Claim) -> Finding:
        url, path = challenges.file_url(claim.domain, claim.challenge), challenges.file_path(claim.challenge)
        port = "" if self._file_port == HTTP_PORT else f":{self._file_port}"
        try:
            answer = await self._fetcher.fetch(f"http://{claim.domain}{port}{path}")
        except TargetUnknown as error:
            return Finding(Sight.UNKNOWN, f"Nothing could be learned: {error}.")
        except FetchFailed as error:
            return Finding(Sight.MISSING, f"{url} could not be fetched: {error}.")
        if answer.status != OK:
            return Finding(Sight.MISSING, f"{url} answered {answer.status}; it must answer 200 itself.")
        if answer.body.strip() == challenges.proof_of(claim.challenge).encode():
            return Finding(Sight.PROVEN, f"The file at {url} is as it should be.")
        return Finding(Sight.MISSING, f"{url} answered something else than the content asked for.")


def open_probe(dns_resolvers: str, *, allow_private: bool) -> Probe:
    """Make the probe that settings ask for. `dns_resolvers`: `address:port` with commas."""
    return Probe(NameResolver(read_servers(dns_resolvers)), allow_private=allow_private)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
