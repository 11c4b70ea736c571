"""Which names a tenant may claim, and how they are written: lower-case A-labels."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import idna

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Collection

    from publicsuffixlist import PublicSuffixList

LONGEST_DOMAIN: Final = 253
"""Characters, so that a name in the DNS takes no more than 255 bytes."""

CLOSED_SUFFIXES: Final = frozenset({"localhost", "local", "internal", "onion"})
"""Names that the public DNS has nothing to say of."""

_NOT_OF_NAMES: Final = re.compile(r"[\s:/?#@\\\[\]%]")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What ends in such a label is an address to a browser, however it is written."""


def normalise_domain(text: str, own_hosts: Collection[str]) -> str:
    """Give a domain as it is stored and compared. `own_hosts`: those that the service itself answers on.

    Raises Invalid, naming the rule that the text breaks.
    """
    rule = _shape_fault(text)
    domain = ""
    if rule is None:
        try:
            domain = idna.encode(text.removesuffix("."), uts46=True).decode().lower()
        except idna.IDNAError as error:
            rule = f"must be a domain name: {error}"
        else:
            rule = _name_fault(domain, own_hosts)
    if rule is not None:
        raise Invalid([Fault("domain", rule, text)])
    return domain


def _shape_fault(text: str) -> str | None:
    """Tell what keeps a text from being a name at all."""
    if len(text) > LONGEST_DOMAIN:
        return f"must be at most {LONGEST_DOMAIN} characters long"
    if "*" in text:
        return "must be one name, without a wildcard"
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        pass
    else:
        return "must be a name, not an IP address"
    if _NOT_OF_NAMES.search(text):
        return "must be a bare domain name, without scheme, port, path or spaces, as in go.acme.com"
    return None


def _name_fault(domain: str, own_hosts: Collection[str]) -> str | None:
    """Tell what keeps a name from being claimed."""
    labels = domain.split(".")
    if len(domain) > LONGEST_DOMAIN:
        return f"must be at most {LONGEST_DOMAIN} characters long"
    if _NUMBER.fullmatch(labels[-1]):
        return "must be a name, not an IP address"
    if labels[-1] in CLOSED_SUFFIXES:
        return f"must be a public name: nobody else can look up .{labels[-1]}"
    if len(labels) == 1 or _public_suffixes().privatesuffix(domain) is None:
        return "must be a registered name or one below it, not a suffix that others register names under"
    if domain in own_hosts:
        return "must not be this service's own host"
    return None


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    """Load the list when it is first needed: it is long."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  only who claims a domain needs it

    return PublicSuffixList()
