"""Second factors: set up, verify, list, remove, and the second step of a sign-in."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.identity.token_answers import TokensOut, answer_tokens, present_tokens
from control_plane.dialects.qr_codes import draw_qr_code
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.mfa import enrolment, service, sms_codes
from control_plane.domains.mfa.errors import FactorNotFound
from control_plane.domains.mfa.model import Factor, FactorKind, NewFactor
from control_plane.domains.sessions.model import Device

Code: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""Six digits of an authenticator or a text message, or a recovery code."""

MfaToken: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]

SHOWN_DIGITS: Final = 4
"""Of a phone number: enough for its owner to recognise it."""


class SetupIn(msgspec.Struct, frozen=True, kw_only=True):
    """A factor to set up. `code`: of a factor that the user has, when their sign-in is not recent."""

    factor_type: Literal["TOTP", "SMS"]
    label: Annotated[str, Meta(max_length=100)] | None = None
    code: Code | None = None


class SetupOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A factor that awaits its first code. What is secret in it is shown this once.

    `secret`, `otpauth_url` and the QR codes (data URLs) come with a TOTP factor, `phone_number` with an SMS
    factor. `recovery_codes`: empty unless it is the user's first.
    """

    factor_id: uuid.UUID
    recovery_codes: list[str]
    secret: str | None = None
    qr_code_url: str | None = None
    otpauth_url: str | None = None
    qr_code_png: str | None = None
    qr_code_svg: str | None = None
    phone_number: str | None = None


class VerifyIn(msgspec.Struct, frozen=True, kw_only=True):
    """The first code of a factor."""

    factor_id: uuid.UUID
    code: Code


class ChallengeIn(msgspec.Struct, frozen=True, kw_only=True):
    """The second step of a sign-in: the token of the first, and a code."""

    mfa_token: MfaToken
    code: Code


class ChallengeSmsIn(msgspec.Struct, frozen=True, kw_only=True):
    """The token of a sign-in's first step."""

    mfa_token: MfaToken


class CodeIn(msgspec.Struct, frozen=True, kw_only=True):
    """A code of a verified factor."""

    code: Code


class RemovalIn(msgspec.Struct, frozen=True, kw_only=True):
    """A code of a verified factor, unless the one to remove is not verified."""

    code: Code | None = None


class FactorOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A factor. `phone_number`: its last digits."""

    factor_id: uuid.UUID
    factor_type: Literal["TOTP", "SMS"]
    verified: bool
    created_at: Moment
    verified_at: Moment | None = None
    label: str | None = None
    phone_number: str | None = None


class FactorListOut(msgspec.Struct, frozen=True):
    """The user's factors. `recovery_codes_left`: how many were not used."""

    factors: list[FactorOut]
    recovery_codes_left: int


class RecoveryCodesOut(msgspec.Struct, frozen=True):
    """New recovery codes, shown this once."""

    recovery_codes: list[str]


class CodeSentOut(msgspec.Struct, frozen=True):
    """Where a code went, and for how many seconds it is good."""

    phone_number: str
    expires_in: int


NO_REMOVAL: Final = Decoded(RemovalIn())


def show_factor(factor: Factor) -> FactorOut:
    """Shape a factor."""
    return FactorOut(
        factor_id=factor.id,
        factor_type=factor.kind.value,
        verified=factor.verified_at is not None,
        created_at=factor.created_at,
        verified_at=factor.verified_at,
        label=factor.label,
        phone_number=None if factor.phone_number is None else mask(factor.phone_number),
    )


def show_sent(phone_number: str) -> CodeSentOut:
    """Tell where a code went."""
    return CodeSentOut(mask(phone_number), int(sms_codes.LASTS.total_seconds()))


def mask(phone_number: str) -> str:
    """Hide a phone number but for its last digits."""
    hidden = max(len(phone_number) - SHOWN_DIGITS, 0)
    return "*" * hidden + phone_number[hidden:]


@post("/auth/mfa/setup", status_code=200, dto=JsonBody[SetupIn], return_dto=None)
async def set_up_factor(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[SetupIn]]
) -> SetupOut:
    """Set up a second factor. It counts once its first code is sent to /auth/mfa/verify, within the hour.

    `qr_code_url` is a picture (a data URL) for an <img>; `otpauth_url` is what is in it. Setting up an SMS
    factor sends its first code to the phone number of the profile. Recovery codes come with the first
    factor. Needs a sign-in of the last ten minutes or, if the user has a factor, its `code`.
    """
    body = accept(data)
    new = NewFactor(kind=FactorKind(body.factor_type), label=body.label, code=body.code)
    async with services.transaction(actor.user_key[0]) as db:
        made = await enrolment.set_up_factor(db, services.sealer, actor, new, services.clock())
    out = SetupOut(
        factor_id=made.factor_id,
        recovery_codes=list(made.recovery_codes),
        secret=made.secret,
        otpauth_url=made.otpauth_url,
        phone_number=None if made.phone_number is None else mask(made.phone_number),
    )
    if made.otpauth_url is None:
        return out
    drawn = await asyncio.to_thread(draw_qr_code, made.otpauth_url)
    return msgspec.structs.replace(out, qr_code_url=drawn.png, qr_code_png=drawn.png, qr_code_svg=drawn.svg)


@post("/auth/mfa/verify", status_code=200, dto=JsonBody[VerifyIn], return_dto=None)
async def verify_factor(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[VerifyIn]]
) -> FactorOut:
    """Verify a factor with its first code. From now on, signing in needs a second step."""
    body = accept(data)
    async with services.transaction(actor.user_key[0]) as db:
        factor = await enrolment.verify_factor(
            db, services.sealer, actor, body.factor_id, code=body.code, now=services.clock()
        )
    return show_factor(factor)


@post("/auth/mfa/challenge", status_code=200, dto=JsonBody[ChallengeIn], return_dto=None)
async def complete_challenge(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[ChallengeIn]],
) -> Response[TokensOut]:
    """Complete a sign-in whose answer was 403 with an `mfa_token`, within five minutes and five tries.

    `code`: what an authenticator app shows (the half minute before and after are taken too, each code
    once), what was sent by /auth/mfa/challenge/sms, or a recovery code.
    """
    body = accept(data)
    async with services.transaction(service.tenant_of(body.mfa_token)) as db:
        tokens = await service.complete_challenge(
            db,
            services.sealer,
            body.mfa_token,
            body.code,
            device=device,
            policy=services.session_policy,
            now=services.clock(),
        )
        return answer_tokens(request, await present_tokens(db, tokens, services.clock()))


@post("/auth/mfa/challenge/sms", status_code=200, dto=JsonBody[ChallengeSmsIn], return_dto=None)
async def send_challenge_code(
    services: NamedDependency[Services], data: JSONBody[Decoded[ChallengeSmsIn]]
) -> CodeSentOut:
    """Send a code for this sign-in to the user's SMS factor: one a minute, five an hour."""
    token = accept(data).mfa_token
    async with services.transaction(service.tenant_of(token)) as db:
        return show_sent(await service.send_challenge_code(db, services.sealer, token, services.clock()))


@get("/auth/mfa/factors")
async def list_factors(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> FactorListOut:
    """List the caller's factors, the oldest first."""
    async with services.snapshot(actor.user_key[0]) as db:
        factors, left = await enrolment.list_factors(db, actor.user_key, services.clock())
    return FactorListOut([show_factor(factor) for factor in factors], left)


@post("/auth/mfa/factors/{factor_id:str}/sms", status_code=200)
async def send_factor_code(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> CodeSentOut:
    """Send a code to one of the caller's SMS factors: its first one again, or one to confirm a change."""
    factor_id = read_id(request, "factor_id", FactorNotFound())
    async with services.transaction(actor.user_key[0]) as db:
        sent_to = await enrolment.send_factor_code(db, services.sealer, actor, factor_id, services.clock())
    return show_sent(sent_to)


@delete("/auth/mfa/factors/{factor_id:str}", status_code=204, dto=JsonBody[RemovalIn], return_dto=None)
async def remove_factor(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[RemovalIn]] = NO_REMOVAL,
) -> None:
    """Remove a factor. A verified one needs a `code`, in a JSON body; with the last go the recovery codes."""
    factor_id, code = read_id(request, "factor_id", FactorNotFound()), accept(data).code
    async with services.transaction(actor.user_key[0]) as db:
        await enrolment.remove_factor(db, services.sealer, actor, factor_id, code=code, now=services.clock())


@post("/auth/mfa/disable", status_code=204, dto=JsonBody[CodeIn], return_dto=None)
async def disable_mfa(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[CodeIn]]
) -> None:
    """Remove all factors and recovery codes of the caller. Their sessions stay."""
    code = accept(data).code
    async with services.transaction(actor.user_key[0]) as db:
        await enrolment.disable(db, services.sealer, actor, code, services.clock())


@post("/auth/mfa/recovery-codes", status_code=200, dto=JsonBody[CodeIn], return_dto=None)
async def replace_recovery_codes(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[CodeIn]]
) -> RecoveryCodesOut:
    """Make new recovery codes. The old ones are void from this moment on."""
    code = accept(data).code
    async with services.transaction(actor.user_key[0]) as db:
        codes = await enrolment.replace_recovery_codes(db, services.sealer, actor, code, services.clock())
    return RecoveryCodesOut(list(codes))
