"""Carry out erasures, and forget who visitors were once their tenant's time for that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from control_plane.domains.privacy import forgetting, store
from control_plane.domains.privacy.model import Forgotten
from control_plane.jobs.upkeep import LEDGER_KEPT

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Pool
    from control_plane.domains.privacy.model import DueErasure
    from control_plane.settings import Settings

AT_ONCE: Final = 10_000
ROUNDS: Final = 5
SUBJECTS_KEPT: Final = LEDGER_KEPT
"""How late what an erasure is about is still recognised: as long as a journal is known."""

_log = structlog.get_logger()


async def carry_out_erasures(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Forget what is to be erased, again and again until nothing new is found.

    Each time once those landings have ended that did not know yet what the time before had found: so it is
    complete, however much lands meanwhile. What is not done is done in the next minute. An erasure that
    fails does not keep up the others.
    """
    async with pool.acquire() as db:
        due = await store.list_due(db, now, AT_ONCE)
    moving = {erasure.id for erasure in due if await _erase(pool, erasure, now) is not None}
    for _ in range(ROUNDS):
        due = [erasure for erasure in due if erasure.id in moving]
        if not due:
            return
        if not await forgetting.older_have_ended(pool, await forgetting.read_horizon(pool)):
            break
        for erasure in due:
            has_new = await _erase(pool, erasure, now)
            if not has_new:
                moving.remove(erasure.id)
            if has_new is False:
                await forgetting.finish(pool, erasure, now)
                _log.info("erasure_finished", erasure_id=str(erasure.id))
    _log.warning("erasures_put_off", erasures=len(moving))


async def apply_retention(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Forget who visitors were, in the events of tenants that say for how long they are to be known."""
    async with pool.acquire() as db:
        retentions = await store.list_retentions(db)
    if not retentions:
        return
    is_settled = await forgetting.older_have_ended(pool, await forgetting.read_horizon(pool))
    for retention in retentions:
        try:
            forgotten = await forgetting.apply_retention(pool, retention, now, is_settled=is_settled)
        except Exception:  # noqa: BLE001  one tenant's fault, whatever it is, is not the others'
            _log.exception("retention_failed", tenant_id=str(retention.tenant_id))
            continue
        if forgotten != Forgotten():
            counts = msgspec.structs.asdict(forgotten)
            _log.info("visitors_forgotten", tenant_id=str(retention.tenant_id), **counts)


async def trim_erased_subjects(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Forget what erasures were about, once nothing can land any more that they would be recognised in."""
    async with pool.acquire() as db, db.transaction():
        await store.trim_subjects(db, now - SUBJECTS_KEPT)


async def _erase(pool: Pool, erasure: DueErasure, now: datetime) -> bool | None:
    """Give whether there was anything new; None where it failed."""
    try:
        return await forgetting.erase(pool, erasure, now)
    except Exception:  # noqa: BLE001  one erasure's fault, whatever it is, is not the others'
        _log.exception("erasure_failed", erasure_id=str(erasure.id))
        return None
