"""Hand in drafts, list them, and let tenants do so.

Drafts are counted in Postgres, with the tenant held: a day's limit is exact, whatever happens at once.
"""

from __future__ import annotations

import math
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from control_plane.core.page import cut_keys
from control_plane.domains.audit import service as audit
from control_plane.domains.blog import store
from control_plane.domains.blog.errors import BlogNotApproved, TooManyDrafts
from control_plane.domains.blog.model import Standing
from control_plane.domains.blog.slugs import derive_slug, find_free
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.blog.model import Article, NewArticle


async def begin_writing(db: Connection, tenant_id: uuid.UUID, limit: int, now: datetime) -> Standing:
    """Hold the tenant, and tell how many drafts it may hand in. Raises BlogNotApproved."""
    author, approved_at = await store.lock_tenant(db, tenant_id)
    if approved_at is None:
        raise BlogNotApproved
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    used = await store.count_since(db, tenant_id, today)
    return Standing(author=author, limit=limit, used=used, reset_at=today + timedelta(days=1))


async def create_draft(
    db: Connection, tenant_id: uuid.UUID, standing: Standing, new: NewArticle, now: datetime
) -> Article:
    """Hand in a draft. `standing`: what `begin_writing` told in this transaction. Raises TooManyDrafts."""
    if standing.remaining == 0:
        raise TooManyDrafts(max(1, math.ceil((standing.reset_at - now).total_seconds())))
    slug = derive_slug(new.title)
    slug = find_free(slug, await store.list_slugs_like(db, tenant_id, slug))
    return await store.insert_article(db, tenant_id, new, slug, standing.author, now)


async def list_articles(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> Stretch[Article]:
    """List a tenant's articles, newest first. `db`: in a transaction with one snapshot."""
    total = await store.count_articles(db, tenant_id)
    stretch = cut_keys(await store.find_articles(db, tenant_id, request), request, total)
    return stretch.fill(await store.fetch_articles(db, tenant_id, stretch.items))


async def approve_tenant(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, *, approved: bool, now: datetime
) -> None:
    """Let a tenant hand in drafts, or not any longer. For superadmins. Raises TenantNotFound."""
    actor.require_superadmin()
    if not await store.set_approval(db, tenant_id, now if approved else None):
        raise TenantNotFound
    action = "blog.approve" if approved else "blog.disapprove"
    await audit.record(db, actor, tenant_id, action, ("tenant", tenant_id), now=now)
