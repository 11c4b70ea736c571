"""Claim domains, prove them, and keep looking whether they still are the tenant's.

A look takes seconds, so it happens between two transactions: one that says what to look for, and one
that lays what was seen over the claim as it then is.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec.structs import replace

from control_plane.core.actor import SYSTEM
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.domains.audit import service as audit
from control_plane.domains.custom_domains import challenges, store, transitions
from control_plane.domains.custom_domains.errors import (
    ChallengeExpired,
    CheckTooSoon,
    DomainNotFound,
    DomainTaken,
    TooManyDomains,
)
from control_plane.domains.custom_domains.model import Claim, Sight
from control_plane.domains.custom_domains.names import LONGEST_DOMAIN, normalise_domain
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Mail, Template
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.custom_domains.model import Finding, Method

MOST_CLAIMS: Final = 100
"""Of one tenant. Each is looked up every hour while it is pending."""

CHECK_PAUSE: Final = timedelta(seconds=5)
"""Between two looks that somebody asks for: the questions go to servers of others."""

LEASE: Final = timedelta(minutes=30)
"""A claim that a worker took and did not settle is due again after that."""

_log = structlog.get_logger(__name__)


async def claim_domain(  # noqa: PLR0913  who, for whom, what, how, and what it is checked against
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    domain: str,
    method: Method | None,
    *,
    own_hosts: Collection[str],
    now: datetime,
) -> Claim:
    """Claim a domain, or give the claim that there is, with a new challenge if its own has expired.

    `method`: None is DNS_TXT, but leaves a verified domain's as it is. `own_hosts`: the service's.
    Raises Invalid, TenantNotFound, TooManyDomains.
    """
    name = normalise_domain(domain, own_hosts)
    if not await store.lock_tenant(db, tenant_id):
        raise TenantNotFound
    claim = await store.find_claim(db, tenant_id, name)
    if method is None:
        method = claim.method if claim is not None and claim.status == "verified" else "DNS_TXT"
    if method == "DNS_TXT" and len(challenges.record_name(name)) > LONGEST_DOMAIN:
        raise Invalid([Fault("domain", "is too long for a record below it: HTTP_FILE needs none", domain)])
    wanted = _draft(tenant_id, name, method, now) if claim is None else claim
    wanted = transitions.renew(wanted, challenges.draw_token(), method, now)
    if claim is None:
        if await store.count_claims(db, tenant_id) >= MOST_CLAIMS:
            raise TooManyDomains(MOST_CLAIMS)
        await store.insert_claim(db, wanted)
        await _record(db, actor, "domain.claim", (None, wanted), now)
    elif wanted != claim:
        await store.update_claim(db, wanted)
        await _record(db, actor, "domain.renew", (claim, wanted), now)
    return wanted


async def list_domains(db: Connection, tenant_id: uuid.UUID) -> list[Claim]:
    """List a tenant's claims by name, whatever their status."""
    return await store.list_claims(db, tenant_id)


async def begin_check(db: Connection, tenant_id: uuid.UUID, claim_id: uuid.UUID, now: datetime) -> Claim:
    """Give the claim that is to be looked at now. Raises DomainNotFound, ChallengeExpired, CheckTooSoon."""
    claim = await _lock(db, tenant_id, claim_id)
    if transitions.is_expired(claim, now):
        raise ChallengeExpired(claim.expires_at)
    if claim.checked_at is not None and (pause := claim.checked_at + CHECK_PAUSE - now) > timedelta():
        raise CheckTooSoon(math.ceil(pause.total_seconds()))
    await store.update_claim(db, replace(claim, checked_at=now))
    return claim


async def settle_check(
    db: Connection, actor: Actor, looked_at: Claim, finding: Finding, now: datetime
) -> Claim:
    """Lay over a claim what a look that somebody asked for has shown.

    Raises DomainNotFound when it was removed meanwhile, DomainTaken.
    """
    claim = await _lock(db, looked_at.tenant_id, looked_at.id)
    if claim.challenge != looked_at.challenge:
        return claim  # the proof of an older challenge proves nothing
    if finding.sight is Sight.PROVEN:
        return await _accept(db, actor, claim, now)
    claim = transitions.note(claim, finding.text, now)
    await store.update_claim(db, claim)
    return claim


async def remove_domain(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, claim_id: uuid.UUID, now: datetime
) -> None:
    """Give up a domain. Raises DomainNotFound."""
    claim = await _lock(db, tenant_id, claim_id)
    await store.delete_claim(db, tenant_id, claim_id)
    await store.enqueue_publication(db, claim.domain)
    await _record(db, actor, "domain.remove", (claim, None), now)


async def take_due(db: Connection, now: datetime, limit: int) -> list[Claim]:
    """Take claims of any tenant that are to be looked at; nobody else gets them meanwhile."""
    return await store.take_due(db, now, now + LEASE, limit)


async def settle_due(
    db: Connection, sealer: SealerSource | None, looked_at: Claim, finding: Finding | None, now: datetime
) -> None:
    """Lay over a claim what a look that was due has shown; None: its challenge had expired.

    A domain that lapses is told to the tenant's contact and admins. `sealer`: None sends no mail.
    Raises DomainNotFound when it was removed meanwhile, DomainTaken.
    """
    claim = await _lock(db, looked_at.tenant_id, looked_at.id)
    if claim.challenge != looked_at.challenge or (finding is None and not transitions.is_expired(claim, now)):
        return  # it has changed meanwhile
    if finding is not None and finding.sight is Sight.PROVEN:
        await _accept(db, SYSTEM, claim, now)
        return
    settled = transitions.expire(claim, now) if finding is None else transitions.fail(claim, finding, now)
    await store.update_claim(db, settled)
    if (claim.status, settled.status) == ("verified", "lapsed"):
        await store.enqueue_publication(db, claim.domain)
        await _record(db, SYSTEM, "domain.lapse", (claim, settled), now)
        await _tell_lapsed(db, sealer, settled)


async def _lock(db: Connection, tenant_id: uuid.UUID, claim_id: uuid.UUID) -> Claim:
    claim = await store.lock_claim(db, tenant_id, claim_id)
    if claim is None:
        raise DomainNotFound
    return claim


def _draft(tenant_id: uuid.UUID, domain: str, method: Method, now: datetime) -> Claim:
    """Give a claim whose challenge is still to be drawn."""
    return Claim(
        tenant_id=tenant_id,
        id=new_id(),
        domain=domain,
        method=method,
        challenge="",
        status="pending",
        created_at=now,
        expires_at=now,
    )


async def _accept(db: Connection, actor: Actor, claim: Claim, now: datetime) -> Claim:
    """Lay a proof over a claim. Raises DomainTaken."""
    proven = transitions.prove(claim, now)
    if claim.status == "verified":
        await store.update_claim(db, proven)
        return proven
    if not await store.try_update_claim(db, proven):
        taken = DomainTaken(claim.domain)
        refused = transitions.note(claim, str(taken), now)
        await store.update_claim(db, replace(refused, next_check_at=now + transitions.PENDING_EVERY))
        raise taken
    await store.enqueue_publication(db, claim.domain)
    await _record(db, actor, "domain.verify", (claim, proven), now)
    return proven


async def _record(
    db: Connection, actor: Actor, action: str, change: tuple[Claim | None, Claim | None], now: datetime
) -> None:
    """Record a change. `change`: the claim before and after it."""
    before, after = change
    claim = after or before
    assert claim is not None
    await audit.record(
        db,
        actor,
        claim.tenant_id,
        action,
        ("domain", claim.id),
        now=now,
        before=_show(before),
        after=_show(after),
    )


def _show(claim: Claim | None) -> dict[str, Any] | None:
    """Give what the audit keeps of a claim."""
    if claim is None:
        return None
    return {
        name: getattr(claim, name) for name in ("domain", "method", "status", "expires_at", "verified_at")
    }


async def _tell_lapsed(db: Connection, sealer: SealerSource | None, claim: Claim) -> None:
    if sealer is None:
        _log.warning("domain_lapse_not_told", domain=claim.domain, reason="SWITCHYARD_MASTER_KEY is not set")
        return
    data = {"domain": claim.domain, "reason": claim.last_error}
    found = await store.list_readers(db, claim.tenant_id)
    readers = {reader.email.lower(): reader for reader in found}
    for reader in readers.values():
        mail = Mail(
            tenant_id=claim.tenant_id,
            to=reader.email,
            template=Template.DOMAIN_LAPSED,
            language=reader.language,
            data=data,
        )
        await messages.send(db, sealer, mail)
