"""Make an e-mail of a message: what it says, from whom, to whom."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape
from typing import TYPE_CHECKING, Final

import idna

from control_plane.delivery.outcomes import DeliveryRefused
from control_plane.delivery.templates import FALLBACK, LANGUAGES, render

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.delivery.branding import Branding
    from control_plane.delivery.templates import Text
    from control_plane.domains.messages.model import Mail

LONGEST_ADDRESS: Final = 254
LONGEST_NAME: Final = 100
NO_ADDRESS: Final = "the address is no e-mail address"

_SPACE_OR_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_PAGE: Final = """<!doctype html>
<html lang="{language}">
<head><meta charset="utf-8"><title>{title}</title></head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 2em auto; padding: 0 1em">
{content}
{footer}</body>
</html>
"""


def compose(mail: Mail, branding: Branding, *, sender: Address, identity: str, now: datetime) -> EmailMessage:
    """Compose an e-mail. `identity`: the same at every attempt, so that copies can be told.

    Raises DeliveryRefused when it is addressed to nobody.
    """
    text = render(mail.template, mail.language, {"product": branding.product} | mail.data)
    # Header values are checked as they are set: none can begin another header.
    message = EmailMessage(policy=SMTP)
    name = _SPACE_OR_CONTROL.sub(" ", branding.from_name).strip()[:LONGEST_NAME]
    message["From"] = Address(name or sender.display_name, sender.username, sender.domain)
    message["To"] = read_address(mail.to)
    if reply_to := _read_optional(branding.reply_to):
        message["Reply-To"] = reply_to
    message["Subject"] = _SPACE_OR_CONTROL.sub(" ", text.subject).strip()
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{identity}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    language = mail.language if mail.language in LANGUAGES else FALLBACK
    footer = f"\n\n-- \n{branding.footer_text}" if branding.footer_text else ""
    message.set_content(f"{text.body}{footer}\n")
    message.add_alternative(_lay_out(text, branding, language), subtype="html")
    # Last, for whatever describes the content is taken along when another part is added.
    message["Content-Language"] = language
    return message


def read_address(text: str) -> Address:
    """Read the address of a recipient. Raises DeliveryRefused."""
    local, _at, domain = text.rpartition("@")
    if not (local and domain) or _SPACE_OR_CONTROL.search(text) or len(text) > LONGEST_ADDRESS:
        raise DeliveryRefused(NO_ADDRESS)
    try:
        return Address(username=local, domain=_to_ascii(domain))
    except (ValueError, IndexError, HeaderParseError):
        raise DeliveryRefused(NO_ADDRESS) from None


def read_sender(text: str) -> Address:
    """Read SWITCHYARD_MAIL_FROM: an address, or a name and an address. Raises ValueError."""
    name, address = parseaddr(text)
    try:
        found = read_address(address)
    except DeliveryRefused as error:
        raise ValueError("SWITCHYARD_MAIL_FROM must be as in: Name <name@example.com>") from error
    return Address(name, found.username, found.domain)


def _read_optional(text: str) -> Address | None:
    try:
        return read_address(text)
    except DeliveryRefused:
        return None


def _to_ascii(domain: str) -> str:
    """Write a name in letters of any script as the DNS has it."""
    if domain.isascii():
        return domain
    return idna.encode(domain, uts46=True).decode()  # IDNAError is a ValueError


def _lay_out(text: Text, branding: Branding, language: str) -> str:
    footer = f'<div style="color: #555">{branding.footer_html}</div>\n' if branding.footer_html else ""
    return _PAGE.format(language=language, title=escape(text.subject), content=text.html, footer=footer)
