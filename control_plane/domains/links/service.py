"""Create, read, change and delete links.

Every change makes the link's next version and queues its publication in the same transaction.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, UnsetType

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.page import Page
from control_plane.domains.idempotency import service as idempotency
from control_plane.domains.idempotency.model import IdempotentRequest
from control_plane.domains.links import store
from control_plane.domains.links.errors import LinkNotFound, NoFreeSlug, SlugTaken
from control_plane.domains.links.model import LinkDraft, VariantDraft
from control_plane.domains.links.rules import settle_content
from control_plane.domains.links.short_urls import spell_domain
from control_plane.domains.links.slugs import draw_slug
from control_plane.domains.links.store import PlacedVariant

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.links.model import Link, LinkContent, LinkSummary, NewLink, Variant
    from control_plane.domains.links.slugs import DrawSlug

CREATE_ENDPOINT: Final = "links.create"
FIXED: Final = frozenset({"slug", "domain"})
"""What a link keeps for ever."""
SLUG_DRAWS: Final = 10
"""So many collisions in a row do not happen by chance before there are billions of links."""


async def create_link(  # noqa: PLR0913  who, what, when, and the two choices of a caller
    db: Connection,
    account: Account,
    new_link: NewLink,
    *,
    now: datetime,
    idempotency_key: str | None = None,
    draw: DrawSlug = draw_slug,
) -> tuple[Link, bool]:
    """Create a link: (link, whether it is new).

    With an `idempotency_key` that made a link before, that link is given as it is now.
    Raises Invalid for a domain or project that the tenant has not, SlugTaken, IdempotencyKeyReused,
    NoFreeSlug.
    """
    link_id = new_id()
    if idempotency_key is not None:
        request = IdempotentRequest(account.user_id, CREATE_ENDPOINT, idempotency_key, fingerprint(new_link))
        earlier_id = await idempotency.claim(db, account.tenant_id, request, link_id, now)
        if earlier_id is not None:
            return await _fetch_existing(db, account, earlier_id), False
    domain = await choose_domain(db, account.tenant_id, new_link.domain)
    await _require_project(db, account.tenant_id, new_link.content.project_id)
    await _insert_with_slug(db, account, link_id, domain, new_link, now=now, draw=draw)
    placed = [PlacedVariant(new_id(), n, variant) for n, variant in enumerate(new_link.content.variants)]
    await store.insert_variants(db, account.tenant_id, link_id, placed, now)
    await store.enqueue_publication(db, account.tenant_id, link_id)
    return await _fetch_existing(db, account, link_id), True


async def fetch_link(db: Connection, account: Account, link_id: uuid.UUID) -> Link:
    """Find a link of the user. Raises LinkNotFound, also when it was deleted."""
    link = await store.fetch_link(db, account, link_id)
    if link is None or link.deleted_at is not None:
        raise LinkNotFound
    return link


async def list_links(db: Connection, account: Account, page: PageRequest) -> Page[LinkSummary]:
    """List the user's links, newest first, with their totals."""
    total = await store.count_links(db, account)
    items = await store.list_links(db, account, page) if page.offset < total else []
    return Page(items, total, page.page, page.per_page)


async def change_link(  # noqa: PLR0913  who, which, what, and what it is checked against
    db: Connection,
    account: Account,
    link_id: uuid.UUID,
    changes: LinkDraft,
    *,
    shape_faults: Sequence[Fault],
    edge_url: str,
    now: datetime,
) -> Link:
    """Change a link; the rules hold on the result.

    A variant whose label the link has keeps its id, and what `changes` leaves out; others are
    new; those not named are removed. What changes the comparison of variants begins it anew; new weights,
    variants or another routing also end a declared winner. Raises LinkNotFound, Invalid.
    """
    if not await store.lock_link(db, account, link_id):
        raise LinkNotFound
    link = await _fetch_existing(db, account, link_id)
    faults = list(shape_faults)
    if changes.slug is not UNSET:
        faults.append(Fault("slug", "must not be given: a slug never changes", changes.slug))
    if changes.domain is not UNSET:
        faults.append(Fault("domain", "must not be given: a link never moves", changes.domain))
    content = settle_content(_apply(changes, link), faults, edge_url)
    if content.project_id != link.project_id:
        await _require_project(db, account.tenant_id, content.project_id)
    has_winner = any(variant.is_winner for variant in link.variants)
    ends_winner = has_winner and _splits_otherwise(link, content)
    restarts = ends_winner or (not has_winner and _compares_otherwise(link, content))
    if ends_winner:
        await store.end_winner(db, account, link_id, now)
    await store.update_link(db, account.tenant_id, link_id, content, restarts=restarts, now=now)
    if changes.variants is not UNSET:
        await _replace_variants(db, link, content, now)
    await store.enqueue_publication(db, account.tenant_id, link_id)
    return await _fetch_existing(db, account, link_id)


async def delete_link(db: Connection, account: Account, link_id: uuid.UUID, now: datetime) -> None:
    """Delete a link; its slug stays taken and its clicks stay stored. Raises LinkNotFound."""
    if not await store.delete_link(db, account, link_id, now):
        raise LinkNotFound
    await store.enqueue_publication(db, account.tenant_id, link_id)


async def choose_domain(db: Connection, tenant_id: uuid.UUID, wanted: str | UnsetType | None) -> str:
    """Give the domain that is wanted, "" for the service's own names. Raises Invalid.

    `wanted`: None for the service's own; UNSET for the verified domain that the tenant has had for longest.
    """
    if wanted is UNSET:
        return await store.find_first_domain(db, tenant_id) or ""
    if wanted is None:
        return ""
    domain = spell_domain(wanted)
    if not await store.has_domain(db, tenant_id, domain):
        raise Invalid([Fault("domain", "must be a verified domain of the tenant", wanted)])
    return domain


def fingerprint(new_link: NewLink) -> bytes:
    """Give the SHA-256 of what a link is to be, however the request spelt it."""
    if isinstance(new_link.domain, str):
        new_link = msgspec.structs.replace(new_link, domain=spell_domain(new_link.domain))
    return hashlib.sha256(msgspec.json.encode(new_link, order="deterministic")).digest()


async def _fetch_existing(db: Connection, account: Account, link_id: uuid.UUID) -> Link:
    link = await store.fetch_link(db, account, link_id)
    assert link is not None, "rows of links are never removed"
    return link


async def _require_project(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID | None) -> None:
    """Raise Invalid for a project that the tenant has not."""
    if project_id is not None and not await store.has_project(db, tenant_id, project_id):
        raise Invalid([Fault("project_id", "must be a project of the tenant", project_id)])


async def _insert_with_slug(  # noqa: PLR0913  what create_link has in hand
    db: Connection,
    account: Account,
    link_id: uuid.UUID,
    domain: str,
    new_link: NewLink,
    *,
    now: datetime,
    draw: DrawSlug,
) -> None:
    insert = partial(
        store.insert_link, db, account, link_id, domain=domain, content=new_link.content, now=now
    )
    if new_link.slug is not None:
        if not await insert(slug=new_link.slug):
            raise SlugTaken(new_link.slug)
        return
    for _ in range(SLUG_DRAWS):
        if await insert(slug=draw()):
            return
    raise NoFreeSlug


async def _replace_variants(db: Connection, link: Link, content: LinkContent, now: datetime) -> None:
    ids = {variant.label: variant.id for variant in link.variants}
    placed = [
        PlacedVariant(ids.get(variant.label) or new_id(), n, variant)
        for n, variant in enumerate(content.variants)
    ]
    known = [variant for variant in placed if variant.content.label in ids]
    added = [variant for variant in placed if variant.content.label not in ids]
    kept_ids = [variant.id for variant in known]
    await store.remove_variants_except(db, link.tenant_id, link.id, kept_ids, now)
    await store.update_variants(db, link.tenant_id, link.id, known)
    await store.insert_variants(db, link.tenant_id, link.id, added, now)


def _splits_otherwise(link: Link, content: LinkContent) -> bool:
    """Tell whether `content` sends visitors to other variants than the link does, or in other parts."""
    before = {variant.label: variant.weight for variant in link.variants}
    after = {variant.label: variant.weight for variant in content.variants}
    return before != after or link.routing_type != content.routing_type


def _compares_otherwise(link: Link, content: LinkContent) -> bool:
    """Tell whether what was counted so far says nothing about the variants as they are to be compared."""
    before = {variant.label: variant.destination_url for variant in link.variants}
    after = {variant.label: variant.destination_url for variant in content.variants}
    return (
        _splits_otherwise(link, content)
        or before != after
        or link.auto_winner_goal != content.auto_winner_goal
        or link.auto_winner_lag_hours != content.auto_winner_lag_hours
    )


def _apply(changes: LinkDraft, link: Link) -> LinkDraft:
    """Lay changes over a link as it is: a draft of the whole."""
    current = {name: getattr(link, name) for name in LinkDraft.__struct_fields__ if name not in FIXED}
    wanted = {name: getattr(changes, name) for name in current}
    whole = {name: current[name] if value is UNSET else value for name, value in wanted.items()}
    variants = link.variants if changes.variants is UNSET else changes.variants
    whole["variants"] = [_fill(variant, link.variants) for variant in variants]
    return LinkDraft(**whole)


def _fill(wanted: Variant | VariantDraft, present: Sequence[Variant]) -> VariantDraft:
    """Complete a variant with what the link's variant of the same label has."""
    known = next((variant for variant in present if variant.label == wanted.label), None)
    destination_url, weight = wanted.destination_url, wanted.weight
    if known is not None:
        destination_url = known.destination_url if destination_url is None else destination_url
        weight = known.weight if weight is None else weight
    return VariantDraft(label=wanted.label, destination_url=destination_url, weight=weight)
