"""English names of countries, from the Unicode CLDR, read when the first one is wanted."""

from __future__ import annotations

from functools import cache

_NO_COUNTRY = "ZZ"
"""CLDR's name for what is none."""


def name_country(code: str | None) -> str | None:
    """Give the name of a country by its ISO 3166-1 code; None for what is no country."""
    if code is None or code == _NO_COUNTRY:
        return None
    return _read_names().get(code)


@cache
def _read_names() -> dict[str, str]:
    from babel import Locale  # noqa: PLC0415  takes a tenth of a second, which only this needs

    return {code: name for code, name in Locale("en").territories.items() if len(code) == len(_NO_COUNTRY)}
