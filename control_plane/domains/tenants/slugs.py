"""Slugs of tenants: they are typed at sign-in and may become the first label of a host."""

from __future__ import annotations

import re
import secrets
import unicodedata
from typing import Final

SHORTEST: Final = 3
LONGEST: Final = 63
"""As many characters as a label of a host may have."""

SUFFIX_LENGTH: Final = 6
_RESERVED: Final = """
about account accounts admin administrator api app apps assets auth billing blog cdn config console
dashboard default dev docs edge email files ftp graphql health help home host imap internal login
logout mail metrics monitor null oauth official ops owner payments ping pop postmaster public
register root security self service settings signin signup smtp ssl staff staging static status
store superadmin support switchyard sys system tenant tenants undefined user users webhook webhooks
webmail www
"""
RESERVED: Final = frozenset(_RESERVED.split())
"""Names that look as if they were the service's own, or that its hosts may need."""

_SLUG: Final = re.compile(r"(?!..--)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
"""Two hyphens after two characters would make a host's label one in Punycode."""

_OTHER: Final = re.compile(r"[^a-z0-9]+")


def find_broken_rule(slug: str) -> str | None:
    """Give the rule that a slug breaks, a phrase that begins with "must"; None if it keeps all."""
    if not SHORTEST <= len(slug) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    if not _SLUG.fullmatch(slug):
        return "must consist of lower-case letters and digits, and hyphens between them"
    return "must not be a reserved name" if slug in RESERVED else None


def is_slug(text: str) -> bool:
    """Tell whether a tenant could have this slug: what could not need not be looked for."""
    return len(text) <= LONGEST and _SLUG.fullmatch(text) is not None


def derive_slug(name: str) -> str:
    """Make a slug of a tenant's name: "Café Noir, Inc." becomes cafe-noir-inc."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = _OTHER.sub("-", plain).strip("-")[: LONGEST - SUFFIX_LENGTH - 1].strip("-")
    return slug if find_broken_rule(slug) is None else add_suffix(slug or "tenant")


def add_suffix(slug: str) -> str:
    """Make a slug that nobody has yet, most probably."""
    return f"{slug[: LONGEST - SUFFIX_LENGTH - 1].strip('-')}-{secrets.token_hex(SUFFIX_LENGTH // 2)}"
