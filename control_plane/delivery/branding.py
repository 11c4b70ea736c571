"""How a tenant's messages look: whose name they carry, where answers go, what they end with."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Pool

PRODUCT = "Switchyard"
"""What messages call us where a tenant has no name of its own for that."""

_queries = load_queries(Path(__file__).with_name("branding.sql"))


class Branding(msgspec.Struct, frozen=True):
    """What a tenant has set of it. `footer_html`: as the tenant wrote it; it was checked when it was set."""

    from_name: str = ""
    reply_to: str = ""
    footer_html: str = ""

    @property
    def product(self) -> str:
        """What messages call the service."""
        return self.from_name or PRODUCT

    @property
    def footer_text(self) -> str:
        """The footer without its markup."""
        reader = _TextReader()
        reader.feed(self.footer_html)
        reader.close()
        return " ".join("".join(reader.parts).split())


async def fetch_branding(pool: Pool, tenant_id: uuid.UUID) -> Branding:
    """Fetch what a tenant has set; nothing for one that is not there."""
    row = await _queries.fetch_branding(pool, tenant_id=tenant_id)
    return Branding() if row is None else Branding(**row)


class _TextReader(HTMLParser):
    """Collects the text between tags."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._hidden += tag in {"script", "style"}
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if self._hidden <= 0:
            self.parts.append(data)
