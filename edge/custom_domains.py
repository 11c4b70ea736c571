"""Which site a request is for: a custom domain, or the service's own names.

Whatever host is no custom domain counts as one of the service's own names. So a worker that does not
know the custom domains knows no site at all, and answers no link.

There are few domains, so all of them are in memory. What a Host header comes to is worked out once and
remembered, but not for ever: visitors may write into it what they like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from edge.contract.domain_record import NOBODY, BadDomainError, DomainRecord, decode_domain, encode_domain
from edge.contract.redis_keys import link_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge.link_cache import CachedLink

log = structlog.get_logger()

HOSTS_REMEMBERED: Final = 1024
LONGEST_HOST_REMEMBERED: Final = 262
"""Characters: the longest name, a dot, a colon and a port. Both bound what a flood of hosts may hold."""


class Site:
    """Where links are looked up. `prefix`: of the keys of its links."""

    __slots__ = ("domain", "prefix", "record", "tenant_id")

    def __init__(self, record: DomainRecord) -> None:
        self.record = record
        self.domain = record.domain
        self.tenant_id = record.tenant_id
        self.prefix = link_key(record.domain, "")

    def leads_to(self, link: CachedLink) -> bool:
        """Tell whether visitors are sent on: the link is active, and its tenant has the domain."""
        record, domain = link.record, self.domain
        return (
            link.is_active and record.domain == domain and (not domain or record.tenant_id == self.tenant_id)
        )


OWN_NAMES: Final = Site(DomainRecord("", 0, NOBODY))
"""Every host that is no custom domain. Links of all tenants."""


class _Hosts(dict[str, Site]):
    """The site of each host, as it was spelt, worked out when it is first asked for."""

    __slots__ = ("_sites",)

    def __init__(self, sites: dict[str, Site]) -> None:
        self._sites = sites

    def __missing__(self, host: str) -> Site:
        site = self._sites.get(read_name(host), OWN_NAMES)
        if len(host) <= LONGEST_HOST_REMEMBERED:
            if len(self) >= HOSTS_REMEMBERED:
                self.clear()
            self[host] = site
        return site


class CustomDomains:
    """The custom domains, kept by the link feed alone."""

    def __init__(self) -> None:
        self._sites: dict[str, Site] = {}
        self.by_host: dict[str, Site] = _Hosts(self._sites)
        """The site of any host, however it is spelt and whatever port it names."""
        self.are_known = False
        """Whether there is no custom domain but these, as far as Redis told."""
        self.matter = True
        """Whether hosts must be looked at: not once it is known that there is no custom domain."""
        self.revision = 0
        """Grows with every change."""

    def __len__(self) -> int:
        return len(self._sites)

    def put(self, domain: str, value: bytes) -> None:
        """Take over a domain's record as it is in Redis, unless a newer version is here."""
        record = _read(domain, value)
        known = self._sites.get(domain)
        if known is None or known.record.version <= record.version:
            self._sites[domain] = Site(record)
            self._note_change()

    def replace(self, values: Mapping[str, bytes]) -> None:
        """Take over the records of all domains, in place of what was known."""
        self._sites.clear()
        self._sites.update((domain, Site(_read(domain, value))) for domain, value in values.items())
        self.are_known = True
        self._note_change()

    def read_values(self) -> dict[str, bytes]:
        """Give all records, as `replace` takes them."""
        return {domain: encode_domain(site.record) for domain, site in self._sites.items()}

    def _note_change(self) -> None:
        self.by_host.clear()
        self.matter = not self.are_known or bool(self._sites)
        self.revision += 1


def read_name(host: str) -> str:
    """Give the name in a Host header, without port and final dot; of several hosts the first."""
    return host.partition(",")[0].strip(" \t").lower().partition(":")[0].removesuffix(".")


def split_changes(keys: Iterable[str]) -> tuple[set[str], set[str]]:
    """Give of what has changed the keys of links, and the domains. See redis_keys.link_changes."""
    links, domains = set[str](), set[str]()
    for key in keys:
        if key.endswith("/"):
            domains.add(key[:-1])
        else:
            links.add(key)
    return links, domains


def _read(domain: str, value: bytes) -> DomainRecord:
    """Decode a record. One that cannot be read leads to nobody's links rather than to those of others."""
    try:
        return decode_domain(value)
    except BadDomainError:
        log.exception("domain_record_unreadable", domain=domain)
        return DomainRecord(domain, 0, NOBODY)
