"""What branding may hold: nothing that could do more than be shown, in a page, a style sheet or a mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.email_addresses import read_email
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.web_addresses import find_broken_rule, normalise_host
from control_plane.domains.tenants.footer_html import sanitise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control_plane.domains.tenants.model import Branding

COLORS: Final = ("primary_color", "secondary_color", "accent_color", "background_color")
URLS: Final = (
    "logo_url",
    "logo_dark_url",
    "favicon_url",
    "og_image_url",
    "support_url",
    "terms_url",
    "privacy_url",
    "watermark_image_url",
)
ADDRESSES: Final = ("email_from_address", "email_reply_to")

_COLOR: Final = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")
_FONT_FAMILY: Final = re.compile(r"[A-Za-z][A-Za-z0-9 -]*(?:, ?[A-Za-z][A-Za-z0-9 -]*)*")


def settle_branding(branding: Branding) -> Branding:
    """Give branding as it is stored: addresses and hosts normalised, the footer sanitised.

    Raises Invalid with every fault.
    """
    faults = list(_find_faults(branding))
    addresses = {}
    for name in ADDRESSES:
        value = getattr(branding, name)
        if value is not None:
            addresses[name] = read_email(value)
            if addresses[name] is None:
                faults.append(Fault(name, "must be an e-mail address", value))
    hosts = [_normalise_pattern(host) for host in branding.embed_allowed_hosts]
    faults += [
        Fault(
            f"embed_allowed_hosts[{n}]", "must be a host name, or *. and one", branding.embed_allowed_hosts[n]
        )
        for n, host in enumerate(hosts)
        if host is None
    ]
    if faults:
        raise Invalid(faults)
    footer = branding.email_footer_html
    return msgspec.structs.replace(
        branding,
        **addresses,
        embed_allowed_hosts=tuple(dict.fromkeys(host for host in hosts if host)),
        email_footer_html=None if footer is None else sanitise(footer),
    )


def _find_faults(branding: Branding) -> Iterator[Fault]:
    for name in COLORS:
        value = getattr(branding, name)
        if value is not None and not _COLOR.fullmatch(value):
            yield Fault(name, "must be a colour as #RGB, #RRGGBB or #RRGGBBAA", value)
    for name in URLS:
        value = getattr(branding, name)
        rule = None if value is None else find_broken_rule(value)
        if rule is not None:
            yield Fault(name, rule, value)
    font_family = branding.font_family
    if font_family is not None and not _FONT_FAMILY.fullmatch(font_family):
        rule = "must be names of letters, digits, blanks and hyphens, with commas between them"
        yield Fault("font_family", rule, font_family)


def _normalise_pattern(text: str) -> str | None:
    """Give a host, or `*.` and a host for all that lies below it, as it is compared; None for neither."""
    wildcard, host = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    normal = normalise_host(host)
    return None if normal is None or (wildcard and "." not in normal) else wildcard + normal
