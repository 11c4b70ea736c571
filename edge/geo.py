"""The visitor's country, from the best source at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import iptocc
import maxminddb

if TYPE_CHECKING:
    from edge.request import Headers

_CODE_LENGTH = 2
_NOT_A_COUNTRY = frozenset({"XX", "T1", "A1", "A2", "O1", "EU", "AP"})
"""What CDNs and databases put in place of a country: unknown, Tor, proxies, continents."""


class CountryLookup:
    """Country codes: a trusted proxy's header, else the operator's database, else iptocc.

    `database`: path of an mmdb file with `country.iso_code`, "" for none. `header`: lower-case
    name of the proxy's header. Raises OSError or maxminddb.InvalidDatabaseError.
    """

    def __init__(self, *, database: str, header: str) -> None:
        self._header = header.lower()
        self._reader = maxminddb.open_database(database) if database else None

    def find_country(self, address: str, trusted_headers: Headers | None) -> str:
        """Give the ISO 3166-1 alpha-2 code of `address`, "" when nobody knows.

        `trusted_headers`: the request's headers when they come from a proxy of ours.
        """
        if trusted_headers is not None:
            code = trusted_headers.get(self._header) or ""
            if code.isascii() and _is_country(code := code.upper()):
                return code
        if self._reader is None:
            code = iptocc.country_code(address) or ""
            return "" if code in _NOT_A_COUNTRY else code
        return self._look_up(self._reader, address)

    def _look_up(self, reader: maxminddb.Reader, address: str) -> str:
        try:
            found = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if _is_country(code) else ""


def _is_country(code: object) -> TypeGuard[str]:
    return (
        isinstance(code, str)
        and len(code) == _CODE_LENGTH
        and code.isascii()
        and code.isalpha()
        and code not in _NOT_A_COUNTRY
    )
