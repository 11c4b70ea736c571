"""Look for winners: at every experiment that is due, and again at winners that the rule declared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from control_plane.domains.experiments import service, store

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Pool
    from control_plane.domains.experiments.store import LinkKey
    from control_plane.settings import Settings

BATCH_SIZE: Final = 500
TIME_LIMIT_S: Final = 50.0
"""Of one run. What it does not reach is due in the next minute, ahead of what it did."""

_log = structlog.get_logger(__name__)


async def look_for_winners(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Look at every experiment that is due, of all tenants; one that fails holds up no other."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + TIME_LIMIT_S
    while keys := await _list_due(pool, now):
        for key in keys:
            if clock() > deadline:
                _log.warning("winners_overdue")
                return
            await _look(pool, key, now)
    cutoff, oldest = now - service.REVIEW_PAUSE, now - service.REVIEWED_FOR
    async with pool.acquire() as db:
        decided = await store.list_reviews_due(db, cutoff, oldest, BATCH_SIZE)
    for key in decided:
        if clock() > deadline:
            return
        await _review(pool, key, now)


async def _list_due(pool: Pool, now: datetime) -> list[LinkKey]:
    async with pool.acquire() as db:
        return await store.list_due(db, now, BATCH_SIZE)


async def _look(pool: Pool, key: LinkKey, now: datetime) -> None:
    """Look at one experiment. Whatever happens, it is not due again before the next minute."""
    try:
        async with (
            pool.acquire() as db,
            db.transaction(isolation="repeatable_read", readonly=True),
        ):
            seen = await service.look(db, *key, now)
        async with pool.acquire() as db, db.transaction():
            if seen is None:
                await service.put_off(db, *key, now)
                return
            decision = await service.conclude(db, seen, now)
    except Exception:  # noqa: BLE001  one link's fault, whatever it is, is not the others'
        _log.exception("winner_look_failed", link_id=str(key[1]))
        async with pool.acquire() as db, db.transaction():
            await service.put_off(db, *key, now)
        return
    if decision is not None:
        _log.info(
            "winner_decided",
            link_id=str(decision.link_id),
            outcome=decision.outcome,
            reason=decision.reason,
            variant=decision.variant_label,
        )


async def _review(pool: Pool, key: LinkKey, now: datetime) -> None:
    try:
        async with pool.acquire() as db, db.transaction():
            await service.review(db, *key, now)
    except Exception:  # noqa: BLE001  as above
        _log.exception("winner_review_failed", link_id=str(key[1]))
