"""Money: exact amounts in minor units, by the currency's number of decimals (ISO 4217).

The rial has none here, whatever ISO 4217 says: nobody trades in its hundredths.
"""

from __future__ import annotations

from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal
from typing import Final

from edge.contract.currencies import DECIMALS

MOST_MINOR: Final = 10**15
"""Amounts are below: a thousand of the largest sales fit into 64 bits, and into a double exactly."""


_EXACT: Final = Context(prec=40, traps=[InvalidOperation, Overflow, Inexact, Subnormal, Clamped])
"""Rounds nothing: 32 characters, and the decimals of a currency, are fewer digits."""


class BadMoneyError(ValueError):
    """Text that is no amount of a currency; the message is the rule that it breaks."""


def parse_currency(text: str) -> str:
    """Give a currency's code in upper case. Raises BadMoneyError."""
    code = text.strip().upper()
    if code not in DECIMALS:
        raise BadMoneyError("must be a currency of ISO 4217, such as USD")
    return code


def parse_amount(text: str, currency: str) -> int:
    """Read a decimal number, such as `19.90`, as minor units of `currency`. Raises BadMoneyError."""
    decimals = DECIMALS[currency]
    try:
        amount = Decimal(text.strip()) if len(text) <= 32 and text.isascii() and "_" not in text else None  # noqa: PLR2004  more digits than any amount has
        minor = amount.scaleb(decimals, _EXACT) if amount is not None else None
    except (InvalidOperation, Overflow, Inexact, Subnormal, Clamped):
        amount = minor = None
    if amount is None or minor is None or not amount.is_finite():
        raise BadMoneyError("must be a decimal number, such as 19.90")
    if amount < 0:
        raise BadMoneyError("must not be negative")
    if minor != minor.to_integral_value():
        raise BadMoneyError(f"must have at most {decimals} decimals in {currency}")
    if minor >= MOST_MINOR:
        raise BadMoneyError(f"must be less than {format_amount(MOST_MINOR, currency)} in {currency}")
    return int(minor)


def format_amount(minor: int, currency: str) -> str:
    """Write minor units with all of the currency's decimals: 1990 of USD is `19.90`."""
    return str(Decimal(minor).scaleb(-DECIMALS[currency]))
