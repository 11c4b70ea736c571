"""Where a redirect points: a variant's URL with its macros filled and the visitor's query added.

Macros stand in a destination as `{name}`; a name that is not in MACROS is left as it is. Values
are percent-encoded whole, so they can never change the URL's structure. Of the visitor's query,
parameters that the destination sets itself are left out: what the marketer wrote always wins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uuid_utils import UUID

LINK_MACROS: Final = ("link_id", "slug", "variant", "variant_id")
"""The same in every click of a variant: filled once."""
CLICK_MACROS: Final = ("click_id", "country", "timestamp")
MACROS: Final = (*LINK_MACROS, *CLICK_MACROS)

_LINK_MACRO = re.compile(r"\{(" + "|".join(LINK_MACROS) + r")\}")
_NOT_IN_A_QUERY = re.compile(r"[^!$-;=?-~]")
"""What is not visible ASCII, and `"`, `#`, `<`, `>`; as one set of characters, which is searched fastest."""


class Destination:
    """A destination URL (ASCII), taken apart once so that a click only puts it together.

    `constants`: a value for each of LINK_MACROS.
    """

    __slots__ = ("_fragment", "_has_query", "_macros", "_own_names", "_url")

    def __init__(self, url: str, constants: Mapping[str, str]) -> None:
        has_macros = "{" in url
        if has_macros:
            url = _LINK_MACRO.sub(lambda match: quote(constants[match[1]], safe=""), url)
        self._url, separator, fragment = url.partition("#")
        self._fragment = separator + fragment
        query = self._url.partition("?")[2]
        self._has_query = "?" in self._url
        self._own_names = tuple(_parameter_names(query))
        self._macros = tuple((f"{{{name}}}", name) for name in CLICK_MACROS if f"{{{name}}}" in url)

    def locate(self, query: str, click_id: UUID, country: str) -> str:
        """Give the Location of a click.

        `query`: the visitor's raw query, "" when it is not forwarded. `click_id`: a UUIDv7.
        `country`: ISO code or "".
        """
        url, fragment = self._url, self._fragment
        for macro, name in self._macros:
            value = _find_value(name, click_id, country)
            url = url.replace(macro, value)
            if fragment:
                fragment = fragment.replace(macro, value)
        if query:
            query = self._forwarded(query)
        if not query:
            return url + fragment
        if not self._has_query:
            return f"{url}?{query}{fragment}"
        joint = "" if url.endswith(("?", "&")) else "&"
        return f"{url}{joint}{query}{fragment}"

    def _forwarded(self, query: str) -> str:
        if _NOT_IN_A_QUERY.search(query):
            query = _NOT_IN_A_QUERY.sub(lambda match: quote(match[0], safe="", errors="replace"), query)
        if self._may_repeat(query):
            own_names = self._own_names
            query = "&".join(
                part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in own_names
            )
        return query.strip("&")

    def _may_repeat(self, query: str) -> bool:
        """Tell, fast and on the safe side, whether `query` could set a parameter of the destination."""
        if not self._own_names:
            return False
        if "%" in query or "+" in query:
            return True
        for name in self._own_names:  # noqa: SIM110  a generator costs more than the search
            if name in query:
                return True
        return False


def _find_value(name: str, click_id: UUID, country: str) -> str:
    """Give the value of a macro that differs from click to click; none of them needs encoding."""
    if name == "click_id":
        return str(click_id)
    if name == "country":
        return country
    return str((click_id.int >> 80) // 1000)


def _parameter_names(query: str) -> list[str]:
    return [unquote_plus(part.partition("=")[0]) for part in query.split("&") if part]
