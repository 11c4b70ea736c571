"""Look again at the domains of tenants: those that wait to be verified, and those that are."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from control_plane.core.clock import utc_now
from control_plane.db.data_keys import SealerSource
from control_plane.domains.custom_domains import service, transitions
from control_plane.domains.custom_domains.errors import DomainNotFound, DomainTaken
from control_plane.domains.custom_domains.probe import open_probe

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Pool
    from control_plane.domains.custom_domains.model import Claim
    from control_plane.domains.custom_domains.probe import Probe
    from control_plane.settings import Settings

BATCH_SIZE: Final = 20
"""Domains that one worker looks at together: each costs a few packets, and up to 10 s of waiting."""

_log = structlog.get_logger(__name__)


async def check_domains(pool: Pool, settings: Settings, now: datetime) -> None:
    """Look at every domain that is due, of all tenants. Several workers share the work."""
    probe = open_probe(settings.dns_resolvers, allow_private=settings.allow_private_targets)
    sealer = None
    if settings.master_key:
        sealer = SealerSource.read(pool, settings.master_key, settings.previous_master_key, utc_now)
    while True:
        async with pool.acquire() as db, db.transaction():
            claims = await service.take_due(db, now, BATCH_SIZE)
        if not claims:
            return
        looks = (_check(pool, sealer, probe, claim, now) for claim in claims)
        outcomes = await asyncio.gather(*looks, return_exceptions=True)
        for claim, outcome in zip(claims, outcomes, strict=True):
            if outcome is not None:  # it is due again, and holds up no other
                _log.error("domain_check_failed", domain=claim.domain, exc_info=outcome)


async def _check(pool: Pool, sealer: SealerSource | None, probe: Probe, claim: Claim, now: datetime) -> None:
    finding = None if transitions.is_expired(claim, now) else await probe.look(claim)
    async with pool.acquire() as db, db.transaction():
        with contextlib.suppress(DomainNotFound, DomainTaken):
            await service.settle_due(db, sealer, claim, finding, now)
