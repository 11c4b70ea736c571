"""Explain clicks that were, and visits that might be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.user_agents import judge_user_agent
from control_plane.domains.clicks.errors import ClickNotFound
from control_plane.domains.explanations import dry_run, store
from control_plane.domains.explanations.model import ClickExplanation, DryRun
from control_plane.domains.links import service as links

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.explanations.model import ExplainedClick, KeptVersion


async def explain_click(
    db: Connection, tenant_id: uuid.UUID, click_id: uuid.UUID, user_id: uuid.UUID | None
) -> ClickExplanation:
    """Say why a click went where it went. `user_id`: only one of a link of that user.

    Raises ClickNotFound.
    """
    click = await store.fetch_click(db, tenant_id, click_id, user_id)
    if click is None:
        raise ClickNotFound
    version = None
    if click.link_id is not None and click.link_version is not None:
        version = await store.fetch_version(db, tenant_id, click.link_id, click.link_version)
    return ClickExplanation(click=click, version=version, text=_put_in_words(click, version))


async def explain_link(  # noqa: PLR0913  whose, which, and what is known of the visitor
    db: Connection,
    account: Account,
    link_id: uuid.UUID,
    *,
    country: str,
    variant: str | None,
    user_agent: str | None,
) -> DryRun:
    """Say where a visitor would be sent now, and why. Counts nothing. Raises LinkNotFound, Invalid.

    `country`: ISO code, "" when unknown. `variant`: label or id of the one that the cookie names.
    """
    link = await links.fetch_link(db, account, link_id)
    reason = None if user_agent is None else judge_user_agent(user_agent)
    return dry_run.run(link, country, variant, reason)


def _put_in_words(click: ExplainedClick, version: KeptVersion | None) -> str:
    if click.decided_by is None:
        return "This is a click on an element of a page; no link chose where it led."
    if version is None:
        label, weight = "the variant", "its share"
    else:
        found = [one for one in version.record.variants if one.id == click.variant_id]
        label = f'"{found[0].label}"' if found else "the variant"
        weight = f"{found[0].weight} %" if found else "its share"
    place = click.country or "an unknown country"
    sentence = {
        "winner": f"{label} had been declared the winner, which takes all traffic.",
        "geo": f"The visitor came from {place}, and the link's geo rules send that country to {label}.",
        "geo_default": (
            f"The visitor came from {place}, for which the link had no geo rule: {label} was the default."
        ),
        "weight": f"The variant was drawn by weight: {label} had {weight} of new visitors.",
        "sticky": f"The visitor's cookie named {label}, which they had seen before.",
        "fingerprint": f"The visitor's fingerprint chose {label}, which had {weight} of new visitors.",
    }[click.decided_by]
    sentence = sentence[0].upper() + sentence[1:]
    if version is None:
        sentence += f" The link's version {click.link_version} is not kept."
    return sentence
