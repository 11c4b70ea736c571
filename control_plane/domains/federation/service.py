"""Sign in with a provider, and link accounts of providers to users.

A person is known by (issuer, subject), never by an address: whoever holds an address at a provider
need not be who registered with it here. Where the two meet, the password decides.

What asks the provider is in oidc_client.py and runs between transactions: an attempt is kept before
somebody is sent off, and is used up before anything of what they bring back is looked at.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from control_plane.core.ids import new_id
from control_plane.core.opaque_tokens import hash_token, make_token
from control_plane.domains.audit import service as audit
from control_plane.domains.federation import store
from control_plane.domains.federation.errors import (
    AccountExists,
    IdentityNotFound,
    IdentityTaken,
    InvalidOAuthState,
    LastWayToSignIn,
    OAuthRefused,
    ProviderAlreadyLinked,
)
from control_plane.domains.federation.model import Attempt, Departure
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.federation.model import Identity, Person, Provider, ProviderName

STATE_PREFIX: Final = "syo_"
ATTEMPT_LASTS: Final = timedelta(minutes=10)
SWEEP: Final = 100
"""Attempts that are deleted when one is added: more than one, so that none are left in the end."""


async def prepare_attempt(  # noqa: PLR0913  everything that an attempt is bound to
    sealer: SealerSource,
    provider: Provider,
    tenant_id: uuid.UUID,
    redirect_uri: str,
    *,
    user_id: uuid.UUID | None,
    now: datetime,
) -> Departure:
    """Draw state, nonce and verifier of an attempt. `user_id`: whose account is to be linked, if one is."""
    state, verifier = make_token(STATE_PREFIX, tenant_id), secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    state_hash = hash_token(state)
    attempt = Attempt(
        provider=provider.name,
        state_hash=state_hash,
        nonce=secrets.token_urlsafe(32),
        sealed_verifier=await sealer.seal(verifier.encode(), _verifier_context(state_hash)),
        redirect_uri=redirect_uri,
        user_id=user_id,
        created_at=now,
        expires_at=now + ATTEMPT_LASTS,
    )
    return Departure(attempt=attempt, state=state, code_challenge=challenge)


async def keep_attempt(db: Connection, tenant_id: uuid.UUID, attempt: Attempt) -> None:
    """Remember an attempt until it comes back; forget some that never will."""
    await store.delete_expired_attempts(db, tenant_id, attempt.created_at, SWEEP)
    await store.insert_attempt(db, tenant_id, attempt)


async def use_attempt(  # noqa: PLR0913  everything that an attempt is bound to
    db: Connection,
    tenant_id: uuid.UUID,
    state: str,
    *,
    provider: Provider,
    redirect_uri: str | None,
    user_id: uuid.UUID | None,
    now: datetime,
) -> Attempt:
    """Use an attempt up: whatever becomes of it, its state serves no second time. Raises InvalidOAuthState.

    `redirect_uri`: where it came back to; None is as much as to say, where it should have.
    """
    attempt = await store.consume_attempt(
        db,
        tenant_id,
        hash_token(state),
        provider=provider.name,
        redirect_uri=redirect_uri,
        user_id=user_id,
        now=now,
    )
    if attempt is None:
        raise InvalidOAuthState
    return attempt


async def open_verifier(sealer: SealerSource, attempt: Attempt) -> str:
    """Give the PKCE verifier of an attempt."""
    return (await sealer.open(attempt.sealed_verifier, _verifier_context(attempt.state_hash))).decode()


async def find_or_register(
    db: Connection, tenant_id: uuid.UUID, person: Person, actor: Actor, now: datetime
) -> uuid.UUID:
    """Give the user whom a provider vouches for; make one the first time. Raises OAuthRefused, AccountExists.

    `actor`: the request as it came, of nobody yet. Of two first times at once, the later finds the
    user whom the earlier made.
    """
    found = await store.find_user(db, tenant_id, person, now)
    if found is None:
        await store.lock_identity(db, tenant_id, person)
        found = await store.find_user(db, tenant_id, person, now)
    if found is None:
        return await _register(db, tenant_id, person, actor, now)
    user_id, may_sign_in = found
    if not may_sign_in:
        raise OAuthRefused(f"user {user_id} may not sign in")
    return user_id


async def link_identity(db: Connection, actor: Actor, person: Person, now: datetime) -> None:
    """Give the caller an identity to sign in with. Raises IdentityTaken, ProviderAlreadyLinked.

    Linking once more what is linked already is no fault.
    """
    tenant_id, user_id = actor.user_key
    if await store.insert_identity(db, tenant_id, user_id, person, now):
        await audit.record(
            db, actor, tenant_id, "identity.link", ("user", user_id), now=now, after=_describe(person)
        )
        return
    owner = await store.find_user(db, tenant_id, person, now)
    if owner is None:
        raise ProviderAlreadyLinked(person.provider)
    if owner[0] != user_id:
        raise IdentityTaken(person.provider)


async def list_identities(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> list[Identity]:
    """List a user's identities, by provider."""
    return await store.list_identities(db, tenant_id, user_id)


async def unlink_identity(
    db: Connection, actor: Actor, name: str, configured: Collection[ProviderName], now: datetime
) -> None:
    """Take the caller's identity at a provider away. Raises IdentityNotFound, LastWayToSignIn.

    `configured`: the providers that one can sign in with; an identity elsewhere is no way in.
    """
    tenant_id, user_id = actor.user_key
    has_password = await store.lock_user(db, tenant_id, user_id)
    identities = await store.list_identities(db, tenant_id, user_id)
    identity = next((identity for identity in identities if identity.provider == name), None)
    if identity is None:
        raise IdentityNotFound(name)
    if not has_password and not any(
        other.provider in configured for other in identities if other is not identity
    ):
        raise LastWayToSignIn(name)
    await store.delete_identity(db, tenant_id, user_id, identity.provider)
    await audit.record(
        db, actor, tenant_id, "identity.unlink", ("user", user_id), now=now, before=_describe(identity)
    )


async def _register(
    db: Connection, tenant_id: uuid.UUID, person: Person, actor: Actor, now: datetime
) -> uuid.UUID:
    """Make a user of somebody who comes for the first time; nobody else makes one of them meanwhile.

    An address that the provider has not verified is not even looked at: who has an account here is
    nothing that one learns by claiming addresses.
    """
    new = NewUser(
        email=person.email,
        email_verified_at=now if person.email else None,
        full_name=person.full_name,
        register_mode=person.provider,
    )
    user_id = new_id()
    if not await users.insert_user(db, tenant_id, user_id, new, now):
        raise AccountExists(person.provider)
    if not await store.insert_identity(db, tenant_id, user_id, person, now):
        raise OAuthRefused("the identity was linked to somebody at the same moment")
    after = _describe(person) | {"email": person.email, "register_mode": person.provider.value}
    await audit.record(db, actor, tenant_id, "user.register", ("user", user_id), now=now, after=after)
    return user_id


def _describe(known_as: Person | Identity) -> dict[str, str]:
    return {
        "provider": known_as.provider.value,
        "issuer": known_as.issuer,
        "subject": known_as.subject,
    }


def _verifier_context(state_hash: bytes) -> str:
    return f"oauth_attempts.code_verifier:{state_hash.hex()}"
