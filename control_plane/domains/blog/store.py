"""Rows of blog articles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.core.ids import new_id
from control_plane.core.page import HIGHEST, LOWEST
from control_plane.db.pool import load_queries
from control_plane.domains.blog.model import Article

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.page import StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.blog.model import NewArticle

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def lock_tenant(db: Connection, tenant_id: uuid.UUID) -> tuple[str, datetime | None]:
    """Hold a tenant, and read (its name, when its blog writing was approved)."""
    row = await _queries.lock_tenant(db, tenant_id=tenant_id)
    return row["name"], row["blog_approved_at"]


async def count_since(db: Connection, tenant_id: uuid.UUID, since: datetime) -> int:
    """Count what a tenant has handed in since a moment."""
    total: int = await _queries.count_since(db, tenant_id=tenant_id, since=since)
    return total


async def list_slugs_like(db: Connection, tenant_id: uuid.UUID, slug: str) -> set[str]:
    """List the tenant's slugs that are this one, or this one with something behind it."""
    return {row["slug"] async for row in _queries.list_slugs_like(db, tenant_id=tenant_id, slug=slug)}


async def insert_article(  # noqa: PLR0913, PLR0917  whose, which, by whom and when
    db: Connection, tenant_id: uuid.UUID, new: NewArticle, slug: str, author: str, now: datetime
) -> Article:
    """Add a draft."""
    columns = msgspec.structs.asdict(new)
    row = await _queries.insert_article(
        db, tenant_id=tenant_id, id=new_id(), slug=slug, author=author, now=now, **columns
    )
    return Article(**row)


async def count_articles(db: Connection, tenant_id: uuid.UUID) -> int:
    """Count a tenant's articles."""
    total: int = await _queries.count_articles(db, tenant_id=tenant_id)
    return total


async def find_articles(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> list[uuid.UUID]:
    """Find the ids of a stretch of articles, as core/page.py wants them."""
    low, high = request.narrow(LOWEST, HIGHEST)
    common = {"tenant_id": tenant_id, "low": low, "high": high, "limit": request.limit}
    if request.newer_than is not None:
        rows = _queries.find_newer_articles(db, **common)
    else:
        rows = _queries.find_older_articles(db, **common, offset=request.offset)
    return [row["id"] async for row in rows]


async def fetch_articles(
    db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID]
) -> dict[uuid.UUID, Article]:
    """Read articles by their ids."""
    rows = _queries.fetch_articles(db, tenant_id=tenant_id, ids=ids)
    return {row["id"]: Article(**row) async for row in rows}


async def set_approval(db: Connection, tenant_id: uuid.UUID, approved_at: datetime | None) -> bool:
    """Approve a tenant's blog writing, or take that back. Answers whether there is such a tenant."""
    return await _queries.set_approval(db, tenant_id=tenant_id, approved_at=approved_at) is not None
