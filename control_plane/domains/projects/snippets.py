"""What is pasted into pages, and given to ad networks, so that a project learns of visits and sales."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import uuid

QUEUE: Final = "window.switchyard=window.switchyard||{q:[]}"
"""Keeps what a page reports until the tag is there."""
QUEUE_HASH: Final = base64.b64encode(hashlib.sha256(QUEUE.encode()).digest()).decode()

SECRET_PLACE: Final = "PROJECT_SECRET"  # noqa: S105  what stands in its place
"""Where a postback's URL needs the project's secret, which nobody can show again."""
MACROS: Final = ("click_id", "txid", "event", "amount", "payout", "currency", "status")
"""What ad networks can say. Every network has its own words to stand where these do."""


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to paste.

    `tag`: HTML for every page, where `switchyard.q.push(["track", ...])` may follow it. `pixel`: HTML in the
    place of the tag, for pages without scripts: it reports visits only. `postback_url`: for ad networks, with
    SECRET_PLACE and a macro for each parameter. `content_security_policy`: what a page's policy must allow.
    """

    edge_url: str
    tag: str
    pixel: str
    postback_url: str
    content_security_policy: str


def build_snippet(project_id: uuid.UUID, edge_url: str) -> Snippet:
    """Write the texts of a project. `edge_url`: where its visitors' browsers reach the edge."""
    base = edge_url.rstrip("/")
    origin = escape(base)
    macros = "&".join(f"{name}={{{name}}}" for name in MACROS)
    return Snippet(
        edge_url=base,
        tag=f"<script>{QUEUE}</script>\n"
        f'<script async src="{origin}/_/tag.js" data-project="{project_id}"></script>',
        # Browsers name other sites the bare host only, unless told otherwise: the visit's page would be lost.
        pixel=f'<img src="{origin}/_/pixel.gif?project={project_id}" width="1" height="1" alt=""'
        ' referrerpolicy="no-referrer-when-downgrade">',
        postback_url=f"{base}/_/postback?project={project_id}&token={SECRET_PLACE}&{macros}",
        content_security_policy=f"script-src {base} 'sha256-{QUEUE_HASH}';"
        f" connect-src {base}; img-src {base}",
    )
