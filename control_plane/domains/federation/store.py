"""Rows of attempts to sign in with a provider, and of identities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.federation.model import Attempt, Identity, ProviderName

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.federation.model import Person

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_attempt(db: Connection, tenant_id: uuid.UUID, attempt: Attempt) -> None:
    """Add an attempt."""
    columns = msgspec.structs.asdict(attempt)
    code_verifier = columns.pop("sealed_verifier")
    await _queries.insert_attempt(db, tenant_id=tenant_id, code_verifier=code_verifier, **columns)


async def delete_expired_attempts(db: Connection, tenant_id: uuid.UUID, now: datetime, limit: int) -> None:
    """Delete some of a tenant's attempts that can no longer succeed, the oldest first."""
    await _queries.delete_expired_attempts(db, tenant_id=tenant_id, now=now, limit=limit)


async def consume_attempt(  # noqa: PLR0913  everything that an attempt is bound to
    db: Connection,
    tenant_id: uuid.UUID,
    state_hash: bytes,
    *,
    provider: ProviderName,
    redirect_uri: str | None,
    user_id: uuid.UUID | None,
    now: datetime,
) -> Attempt | None:
    """Use an attempt up; None when there is none that is alive and was begun for just this.

    `redirect_uri`: None is any.
    """
    row = await _queries.consume_attempt(
        db,
        tenant_id=tenant_id,
        state_hash=state_hash,
        provider=provider,
        redirect_uri=redirect_uri,
        user_id=user_id,
        now=now,
    )
    return None if row is None else Attempt(**_with_provider(row))


async def lock_identity(db: Connection, tenant_id: uuid.UUID, person: Person) -> None:
    """Let nobody else make a user of this identity before the transaction ends."""
    await _queries.lock_identity(db, key=f"{tenant_id} {person.issuer} {person.subject}")


async def find_user(
    db: Connection, tenant_id: uuid.UUID, person: Person, now: datetime
) -> tuple[uuid.UUID, bool] | None:
    """Find whose identity it is: (user id, whether they may sign in), None when it is nobody's."""
    row = await _queries.find_user(
        db, tenant_id=tenant_id, issuer=person.issuer, subject=person.subject, now=now
    )
    return None if row is None else (row["user_id"], row["may_sign_in"])


async def insert_identity(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, person: Person, now: datetime
) -> bool:
    """Give an identity to a user, be it that of one who is deleted. Answers whether it was free."""
    await _queries.delete_orphan(db, tenant_id=tenant_id, issuer=person.issuer, subject=person.subject)
    inserted = await _queries.insert_identity(
        db,
        tenant_id=tenant_id,
        provider=person.provider,
        issuer=person.issuer,
        subject=person.subject,
        user_id=user_id,
        email=person.email,
        now=now,
    )
    return inserted is not None


async def list_identities(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> list[Identity]:
    """List a user's identities, by provider."""
    rows = _queries.list_identities(db, tenant_id=tenant_id, user_id=user_id)
    return [Identity(**_with_provider(row)) async for row in rows]


async def lock_user(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    """Tell whether a user has a password; until the transaction ends, others wait to change them."""
    has_password: bool | None = await _queries.lock_user(db, tenant_id=tenant_id, user_id=user_id)
    return bool(has_password)


async def delete_identity(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, provider: ProviderName
) -> None:
    """Take a user's identity at a provider away."""
    await _queries.delete_identity(db, tenant_id=tenant_id, user_id=user_id, provider=provider)


def _with_provider(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(row) | {"provider": ProviderName(row["provider"])}
