"""Phone numbers, as E.164 writes them."""

from __future__ import annotations


def read_phone_number(text: str) -> str | None:
    """Give a number in E.164, as in +5511987654321; None for what is none, or has no country code."""
    # Imported here: it takes a quarter of a second, and few requests hold a number.
    import phonenumbers  # noqa: PLC0415

    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    e164: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164
