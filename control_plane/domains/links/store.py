"""Rows of links and variants."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.links.model import Link, LinkSummary, Variant, VariantContent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.links.model import LinkContent

_queries = load_queries(Path(__file__).with_name("queries.sql"))


class PlacedVariant(msgspec.Struct, frozen=True):
    """A variant's content with its id and its place in the link, from 0."""

    id: uuid.UUID
    position: int
    content: VariantContent


async def find_first_domain(db: Connection, tenant_id: uuid.UUID) -> str | None:
    """Find the verified domain that the tenant has had for longest."""
    domain: str | None = await _queries.find_first_domain(db, tenant_id=tenant_id)
    return domain


async def has_domain(db: Connection, tenant_id: uuid.UUID, domain: str) -> bool:
    """Tell whether the tenant has this domain, verified."""
    found: bool = await _queries.has_domain(db, tenant_id=tenant_id, domain=domain)
    return found


async def has_project(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> bool:
    """Tell whether the tenant has this project."""
    found: bool = await _queries.has_project(db, tenant_id=tenant_id, project_id=project_id)
    return found


async def insert_link(  # noqa: PLR0913  an id, a place and content, each from elsewhere
    db: Connection,
    account: Account,
    link_id: uuid.UUID,
    *,
    domain: str,
    slug: str,
    content: LinkContent,
    now: datetime,
) -> bool:
    """Add a link without its variants. Answers False when the domain has a link with this slug."""
    inserted = await _queries.insert_link(
        db,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        link_id=link_id,
        domain=domain,
        slug=slug,
        now=now,
        **_content_columns(content),
    )
    return inserted is not None


async def update_link(  # noqa: PLR0913  which, what, when, and what follows from it
    db: Connection,
    tenant_id: uuid.UUID,
    link_id: uuid.UUID,
    content: LinkContent,
    *,
    restarts: bool,
    now: datetime,
) -> None:
    """Write a link's content, without its variants, as its next version.

    `restarts`: whether the experiment begins anew with it.
    """
    columns = _content_columns(content)
    await _queries.update_link(
        db, tenant_id=tenant_id, link_id=link_id, restarts=restarts, now=now, **columns
    )


async def end_winner(db: Connection, account: Account, link_id: uuid.UUID, now: datetime) -> None:
    """Let a link go by its weights again, and write down who had it so."""
    await _queries.end_winner(
        db, tenant_id=account.tenant_id, link_id=link_id, user_id=account.user_id, now=now
    )


def _content_columns(content: LinkContent) -> dict[str, object]:
    columns = msgspec.structs.asdict(content)
    del columns["variants"]
    return columns


async def delete_link(db: Connection, account: Account, link_id: uuid.UUID, now: datetime) -> bool:
    """Mark a link deleted. Answers whether the caller had it."""
    deleted = await _queries.delete_link(
        db, tenant_id=account.tenant_id, user_id=account.user_id, link_id=link_id, now=now
    )
    return deleted is not None


async def lock_link(db: Connection, account: Account, link_id: uuid.UUID) -> bool:
    """Keep others from changing a link until the transaction ends. Answers whether there is one."""
    locked = await _queries.lock_link(
        db, tenant_id=account.tenant_id, user_id=account.user_id, link_id=link_id
    )
    return locked is not None


async def fetch_link(db: Connection, account: Account, link_id: uuid.UUID) -> Link | None:
    """Find a link of the user with its present variants, deleted or not."""
    row = await _queries.fetch_link(db, tenant_id=account.tenant_id, user_id=account.user_id, link_id=link_id)
    if row is None:
        return None
    variants = _queries.list_variants(db, tenant_id=account.tenant_id, link_id=link_id)
    return Link(**row, variants=[Variant(**variant) async for variant in variants])


async def insert_variants(
    db: Connection,
    tenant_id: uuid.UUID,
    link_id: uuid.UUID,
    variants: Sequence[PlacedVariant],
    now: datetime,
) -> None:
    """Add variants to a link."""
    await _queries.insert_variants(
        db,
        tenant_id=tenant_id,
        link_id=link_id,
        ids=[variant.id for variant in variants],
        positions=[variant.position for variant in variants],
        labels=[variant.content.label for variant in variants],
        destination_urls=[variant.content.destination_url for variant in variants],
        weights=[variant.content.weight for variant in variants],
        now=now,
    )


async def update_variants(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, variants: Sequence[PlacedVariant]
) -> None:
    """Write place, destination and weight of variants that a link has."""
    await _queries.update_variants(
        db,
        tenant_id=tenant_id,
        link_id=link_id,
        ids=[variant.id for variant in variants],
        positions=[variant.position for variant in variants],
        destination_urls=[variant.content.destination_url for variant in variants],
        weights=[variant.content.weight for variant in variants],
    )


async def remove_variants_except(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, kept_ids: Sequence[uuid.UUID], now: datetime
) -> None:
    """Take variants off a link; their rows stay, because clicks refer to them."""
    await _queries.remove_variants(db, tenant_id=tenant_id, link_id=link_id, kept_ids=list(kept_ids), now=now)


async def enqueue_publication(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> None:
    """Keep the link's present version, and have its record put into Redis once the transaction commits.

    To be called after all of a change is written, its variants too.
    """
    await _queries.enqueue_publication(db, tenant_id=tenant_id, link_id=link_id)


async def count_links(db: Connection, account: Account) -> int:
    """Count the user's links that are not deleted."""
    total: int = await _queries.count_links(db, tenant_id=account.tenant_id, user_id=account.user_id)
    return total


async def list_links(db: Connection, account: Account, page: PageRequest) -> list[LinkSummary]:
    """List one page of the user's links, newest first, with their totals."""
    rows = _queries.list_links(
        db,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        limit=page.per_page,
        offset=page.offset,
    )
    return [LinkSummary(**row) async for row in rows]
