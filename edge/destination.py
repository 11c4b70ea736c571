"""Where a redirect points: a variant's URL with its macros filled and the visitor's query added.

Macros stand in a destination as `{name}`; a name that is not in MACROS is left as it is. Values
are percent-encoded whole, so they can never change the URL's structure. Of the visitor's query,
parameters that the destination sets itself are left out: what the marketer wrote always wins.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_plus

import msgspec

MACROS: Final = ("click_id", "link_id", "slug", "variant", "variant_id", "country", "timestamp")

_MACRO = re.compile(r"\{(" + "|".join(MACROS) + r")\}")
_NOT_IN_A_QUERY = re.compile(r"[^!-~]|[#\"<>]")


class MacroValues(msgspec.Struct, frozen=True):
    """What the macros stand for in one click. `timestamp`: Unix seconds, as text."""

    click_id: str
    link_id: str
    slug: str
    variant: str
    variant_id: str
    country: str
    timestamp: str


class Destination:
    """A destination URL (ASCII), taken apart once so that a click only puts it together."""

    __slots__ = ("_fragment", "_own_names", "_url", "has_macros")

    def __init__(self, url: str) -> None:
        self._url, separator, fragment = url.partition("#")
        self._fragment = separator + fragment
        query = self._url.partition("?")[2]
        self._own_names = frozenset(_parameter_names(query))
        self.has_macros = _MACRO.search(url) is not None

    def locate(self, query: str, values: MacroValues | None) -> str:
        """Give the Location of a click.

        `query`: the visitor's raw query, "" when it is not forwarded. `values` are needed when
        `has_macros`.
        """
        url, fragment = self._url, self._fragment
        if values is not None:
            url, fragment = _fill(url, values), _fill(fragment, values)
        if query:
            query = self._forwarded(query)
        if not query:
            return url + fragment
        if "?" not in url:
            return f"{url}?{query}{fragment}"
        joint = "" if url.endswith(("?", "&")) else "&"
        return f"{url}{joint}{query}{fragment}"

    def _forwarded(self, query: str) -> str:
        if _NOT_IN_A_QUERY.search(query):
            query = _NOT_IN_A_QUERY.sub(lambda match: quote(match[0], safe="", errors="replace"), query)
        if self._own_names:
            query = "&".join(
                part
                for part in query.split("&")
                if unquote_plus(part.partition("=")[0]) not in self._own_names
            )
        return query.strip("&")


def _parameter_names(query: str) -> list[str]:
    return [unquote_plus(part.partition("=")[0]) for part in query.split("&") if part]


def _fill(template: str, values: MacroValues) -> str:
    return _MACRO.sub(lambda match: quote(getattr(values, match[1]), safe=""), template)
