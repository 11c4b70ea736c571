"""What both contracts with users do before anybody is signed in: the same steps, in the same order.

A password is hashed between two transactions, never inside one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.email_addresses import read_email
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.phone_numbers import read_phone_number
from control_plane.db.job_queue import enqueue_job
from control_plane.domains.limits.service import refuse
from control_plane.domains.sign_in import lockout, registration
from control_plane.domains.sign_in import service as sign_in
from control_plane.domains.sign_in.errors import InvalidCredentials
from control_plane.domains.sign_in.messages import SEALING_CONTEXT, SEND_AGAIN, SendAgain
from control_plane.domains.sign_in.model import Identifier, Registration
from control_plane.domains.tenants import store as tenants
from control_plane.domains.verification import service as verification
from control_plane.domains.verification.errors import InvalidCode
from control_plane.domains.verification.model import Purpose

if TYPE_CHECKING:
    import uuid

    from control_plane.core.actor import Actor
    from control_plane.dialects.services import Services
    from control_plane.domains.sessions.model import Device, IssuedTokens
    from control_plane.domains.users.model import Language

LANGUAGES: Final[dict[str, Language]] = {"en": "en", "pt": "pt-BR", "es": "es"}

STRANGERS_PER_HOUR: Final = 300
"""Registrations and the like from one address, behind which there may be a whole company."""


def read_identifier(email: str | None, phone_number: str | None) -> Identifier:
    """Read what somebody is to be called by. Raises Invalid unless it is an address, or a number."""
    if (email is None) == (phone_number is None):
        raise Invalid([Fault("email", "or phone_number is required, and not both", subject="email")])
    if email is not None:
        address = read_email(email)
        if address is None:
            raise Invalid([Fault("email", "must be an e-mail address", email)])
        return Identifier(email=address)
    number = read_phone_number(str(phone_number))
    if number is None:
        raise Invalid([Fault("phone_number", "must be a number with its country code", phone_number)])
    return Identifier(phone_number=number)


def read_language(accept_language: str) -> Language:
    """Give the first of our languages that a browser asks for, English if it asks for none of them."""
    for choice in accept_language.split(","):
        language = LANGUAGES.get(choice.partition(";")[0].strip().lower().partition("-")[0])
        if language is not None:
            return language
    return "en"


async def find_tenant(services: Services, slug: str) -> uuid.UUID | None:
    """Find the tenant of a sign-in; None unless it is there and open."""
    async with services.system_transaction() as db:
        return await tenants.find_id_by_slug(db, slug)


async def log_in(
    services: Services, tenant_id: uuid.UUID | None, identifier: Identifier, password: str, device: Device
) -> IssuedTokens:
    """Sign in with a password. Raises InvalidCredentials, VerificationRequired, MfaRequired.

    Whether there is such a tenant or user or not, a password is checked.
    """
    now = services.clock()
    if tenant_id is None:
        await services.passwords.verify(None, password)
        raise InvalidCredentials
    async with services.transaction(tenant_id) as db:
        candidate = await sign_in.look_up(db, tenant_id, identifier, device.ip_address, now)
    verdict = await services.passwords.verify(candidate.password_hash, password)
    rehashed = await services.passwords.hash(password) if verdict.is_outdated else None
    async with services.transaction(tenant_id) as db:
        tokens = await sign_in.settle(
            db,
            tenant_id,
            identifier,
            candidate,
            verdict=verdict,
            device=device,
            policy=services.session_policy,
            now=now,
        )
        if rehashed is not None:
            await sign_in.store_rehashed(db, tokens, rehashed, now)
        return tokens


async def register(
    services: Services, tenant_id: uuid.UUID, password: str, **facts: Any
) -> tuple[uuid.UUID, str]:
    """Register somebody: (user id, verification token). `facts`: the other fields of Registration."""
    services.passwords.check_policy(password)
    new = Registration(password_hash=await services.passwords.hash(password), **facts)
    async with services.transaction(tenant_id) as db:
        return await registration.register(db, services.sealer, tenant_id, new, services.clock())


async def send_code_again(services: Services, previous_token: str) -> str:
    """Have a new code sent to where a token's code went; give the token that it needs. Raises InvalidCode.

    By a job, as a reset is: the answer comes as soon, and is the same, for a token that means nothing.
    """
    tenant_id = verification.tenant_of(previous_token, verification.CODE_PREFIX)
    token = verification.make_verification_token(Purpose.EMAIL, tenant_id)
    wanted = SendAgain(tenant_id, token, services.clock(), previous_token=previous_token)
    await _enqueue(services, wanted)
    return token


async def send_reset(services: Services, tenant_id: uuid.UUID | None, identifier: Identifier) -> None:
    """Have the token of a reset sent to whoever has this address, if anybody has.

    Who they are is looked up by a job: the answer comes as soon for somebody as for nobody.
    """
    if tenant_id is not None:
        token = verification.make_verification_token(Purpose.PASSWORD_RESET, tenant_id)
        now, email, phone_number = services.clock(), identifier.email, identifier.phone_number
        await _enqueue(services, SendAgain(tenant_id, token, now, email=email, phone_number=phone_number))


async def count_stranger(services: Services, ip_address: str | None) -> None:
    """Count a request of somebody unknown that leaves rows and messages behind. Raises RateLimited."""
    now = services.clock()
    subject = f"stranger:{ip_address}"
    allowed, status = await services.limiter.count_request(subject, STRANGERS_PER_HOUR, now)
    if not allowed:
        raise refuse(status, now)


async def _enqueue(services: Services, wanted: SendAgain) -> None:
    payload = await services.sealer.seal(msgspec.json.encode(wanted), SEALING_CONTEXT)
    async with services.transaction(wanted.tenant_id) as db:
        await enqueue_job(db, SEND_AGAIN, payload)


async def reset_password(services: Services, token: str, new_password: str) -> None:
    """Give the user of a reset token a new password. Raises InvalidCode, Invalid."""
    services.passwords.check_policy(new_password, "new_password")
    tenant_id, now = verification.tenant_of(token, verification.RESET_PREFIX), services.clock()
    async with services.snapshot(tenant_id) as db:
        if not await verification.is_alive(db, token, Purpose.PASSWORD_RESET, now):
            raise InvalidCode("token")
    password_hash = await services.passwords.hash(new_password)
    async with services.transaction(tenant_id) as db:
        await registration.reset_password(db, services.sealer, token, password_hash, now)


async def change_password(services: Services, actor: Actor, current_password: str, new_password: str) -> None:
    """Change the password of somebody who is signed in. Raises InvalidCredentials, Invalid.

    A wrong present password counts as a failed sign-in: a stolen session is no way to guess it.
    """
    services.passwords.check_policy(new_password, "new_password")
    now, (tenant_id, user_id) = services.clock(), actor.user_key
    async with services.transaction(tenant_id) as db:
        identifier, stored, is_locked = await sign_in.look_up_own(db, tenant_id, user_id, now)
    verdict = await services.passwords.verify(stored, current_password)
    if is_locked or not verdict.is_right:
        async with services.transaction(tenant_id) as db:
            if not is_locked:
                await lockout.count_failure(db, tenant_id, identifier, actor.ip_address, now)
            raise InvalidCredentials
    password_hash = await services.passwords.hash(new_password)
    async with services.transaction(tenant_id) as db:
        await registration.change_password(
            db,
            services.sealer,
            actor,
            identifier=identifier,
            checked_hash=stored,
            password_hash=password_hash,
            now=now,
        )
