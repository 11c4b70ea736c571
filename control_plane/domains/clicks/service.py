"""List a link's clicks: any page of any stretch of time, without reading all that lies before it.

A stretch is cut into the whole quarters of an hour within it and what juts out at either end::

    newest                                                          oldest
    |  tail: rows  |  whole slots: sums of traffic_slots  |  head: rows  |

Sums and rows are written in one transaction, so in one snapshot they agree. A page in the middle
is reached by adding up sums until its slot is found; only that slot's rows are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.page import Page
from control_plane.domains.clicks import store
from control_plane.domains.clicks.model import EVER, SLOT, Span
from control_plane.domains.links import service as links

if TYPE_CHECKING:
    import uuid

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.clicks.model import Click


async def list_clicks(
    db: Connection, account: Account, link_id: uuid.UUID, span: Span, page: PageRequest
) -> Page[Click]:
    """List a link's clicks in `span`, newest first. `db`: in a transaction with one snapshot.

    Raises LinkNotFound.
    """
    await links.fetch_link(db, account, link_id)
    tenant_id, slots = account.tenant_id, span.whole_slots()
    tail_span, head_span = Span(slots.until, span.until), Span(span.start, slots.start)
    if span == EVER:
        tail, whole, head = 0, await store.count_all(db, tenant_id, link_id), 0
    else:
        tail = await store.count_rows(db, tenant_id, link_id, tail_span)
        whole = await store.count_slots(db, tenant_id, link_id, slots)
        head = await store.count_rows(db, tenant_id, link_id, head_span)
    total, skip = tail + whole + head, page.offset
    if skip >= total:
        return Page([], total, page.page, page.per_page)
    if skip < tail:
        until = span.until
    elif skip < tail + whole:
        slot, newer = await store.find_slot(db, tenant_id, link_id, slots, skip - tail)
        until, skip = slot + SLOT, skip - tail - newer
    else:
        until, skip = slots.start, skip - tail - whole
    items = await store.list_clicks(
        db, tenant_id, link_id, Span(span.start, until), limit=page.per_page, offset=skip
    )
    return Page(items, total, page.page, page.per_page)
