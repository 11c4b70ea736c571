"""Amounts are read exactly, or not at all."""

from __future__ import annotations

import pytest

from edge.contract.money import BadMoneyError, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.90", "USD", 1990),
        (" 0.29 ", "USD", 29),
        ("1e3", "USD", 100_000),
        ("-0", "USD", 0),
        ("1990.000", "JPY", 1990),
        ("1.005", "KWD", 1005),
        ("9999999999999.99", "USD", 999_999_999_999_999),
    ],
)
def test_reads_minor_units(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor
    assert parse_amount(format_amount(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0.99999999999999999999999999999", "at most 2 decimals"),
        ("1.00000000000000000000000000001", "at most 2 decimals"),
        ("1e-30", "at most 2 decimals"),
        ("1e-2000000", "a decimal number"),
        ("1e999999999999", "a decimal number"),
        ("1e900000", "less than"),
        ("10000000000000", "less than"),
        ("-0.01", "negative"),
        ("Infinity", "a decimal number"),
        ("NaN", "a decimal number"),
        ("1_0", "a decimal number"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "a decimal number"),
        ("", "a decimal number"),
    ],
)
def test_rounds_nothing(text: str, rule: str) -> None:
    with pytest.raises(BadMoneyError, match=rule):
        parse_amount(text, "USD")
