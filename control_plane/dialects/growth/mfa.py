"""The second factor: enable, verify, disable, and the second step of a sign-in."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.growth.token_shapes import LoginOut, present_login
from control_plane.dialects.services import Services
from control_plane.domains.mfa import enrolment, service
from control_plane.domains.mfa.model import FactorKind, NewFactor
from control_plane.domains.sessions.model import Device

Code: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""Six digits of an authenticator, or a backup code."""


class EnableOut(msgspec.Struct, frozen=True, kw_only=True):
    """A factor that awaits its first code, shown this once. `qr_code_url`: what a QR code is to hold."""

    secret: str
    qr_code_url: str
    backup_codes: list[str]


class CodeIn(msgspec.Struct, frozen=True, kw_only=True):
    """A code."""

    code: Code


class DisableIn(msgspec.Struct, frozen=True, kw_only=True):
    """A code, unless the caller signed in within the last ten minutes."""

    code: Code | None = None


class ChallengeIn(msgspec.Struct, frozen=True, kw_only=True):
    """The second step of a sign-in: the token of the first, and a code."""

    mfa_token: Annotated[str, Meta(min_length=1, max_length=512)]
    code: Code


class StateOut(msgspec.Struct, frozen=True):
    """Whether signing in needs a second step."""

    mfa_enabled: bool


NO_CODE: Final = Decoded(DisableIn())


@post("/mfa/enable", status_code=200)
async def enable_mfa(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> EnableOut:
    """Set up an authenticator app. It counts once its first code is sent to /mfa/verify, within the hour.

    Needs a sign-in of the last ten minutes.
    """
    new = NewFactor(kind=FactorKind.TOTP)
    async with services.transaction(actor.user_key[0]) as db:
        made = await enrolment.set_up_factor(
            db, services.sealer, actor, new, services.clock(), only_first=True
        )
    assert made.secret is not None
    assert made.otpauth_url is not None
    return EnableOut(secret=made.secret, qr_code_url=made.otpauth_url, backup_codes=list(made.recovery_codes))


@post("/mfa/verify", status_code=200, dto=JsonBody[CodeIn], return_dto=None)
async def verify_mfa(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[CodeIn]]
) -> StateOut:
    """Send the first code. From now on, signing in needs a second step, and the backup codes are good."""
    code = accept(data).code
    async with services.transaction(actor.user_key[0]) as db:
        await enrolment.verify_factor(db, services.sealer, actor, None, code=code, now=services.clock())
    return StateOut(mfa_enabled=True)


@post("/mfa/disable", status_code=200, dto=JsonBody[DisableIn], return_dto=None)
async def disable_mfa(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[DisableIn]] = NO_CODE,
) -> StateOut:
    """Remove all factors and backup codes. Needs a `code`, or a sign-in of the last ten minutes."""
    code = accept(data).code
    async with services.transaction(actor.user_key[0]) as db:
        await enrolment.disable(db, services.sealer, actor, code, services.clock())
    return StateOut(mfa_enabled=False)


@post("/auth/mfa/challenge", status_code=200, dto=JsonBody[ChallengeIn], return_dto=None)
async def complete_challenge(
    services: NamedDependency[Services], device: NamedDependency[Device], data: JSONBody[Decoded[ChallengeIn]]
) -> LoginOut:
    """Complete a sign-in that was answered 403 with details.mfa_token, within five minutes and five tries."""
    body, policy, now = accept(data), services.session_policy, services.clock()
    async with services.transaction(service.tenant_of(body.mfa_token)) as db:
        tokens = await service.complete_challenge(
            db, services.sealer, body.mfa_token, body.code, device=device, policy=policy, now=now
        )
        return await present_login(db, tokens)
