"""E-mail addresses: read as mail servers would, without asking one."""

from __future__ import annotations

from typing import Final

from email_validator import EmailNotValidError, validate_email

LONGEST: Final = 254
"""Characters that an address may have on its way through mail servers (RFC 5321)."""


def read_email(text: str) -> str | None:
    """Give an address in its usual form, the domain in lower case; None for what is none."""
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        return None
