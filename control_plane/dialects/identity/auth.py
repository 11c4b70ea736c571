"""Register, sign in, verify addresses, and replace passwords."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects import credentials
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.token_answers import TokensOut, answer_tokens, present_tokens
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.sessions.model import Device
from control_plane.domains.sign_in import registration
from control_plane.domains.verification import service as verification
from control_plane.domains.verification.model import Purpose

Slug: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63)]
Address: TypeAlias = Annotated[str, Meta(max_length=254)]
PhoneNumber: TypeAlias = Annotated[str, Meta(max_length=32)]
Password: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]


class RegisterIn(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who wants to be a user, with an e-mail address or a phone number."""

    tenant_slug: Slug
    email: Address | None = None
    phone_number: PhoneNumber | None = None
    password: Password
    full_name: Line | None = None
    affiliate_code: Annotated[str, Meta(max_length=64)] | None = None
    accept_terms: bool | None = None


class RegisteredOut(msgspec.Struct, frozen=True, kw_only=True):
    """A user who awaits a code. `verification_token`: what the code is to be sent back with."""

    user_id: uuid.UUID
    verification_required: bool
    verification_token: str


class LoginIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs in, and by which password."""

    tenant_slug: Slug
    email: Address | None = None
    phone_number: PhoneNumber | None = None
    password: Password
    device_id: Annotated[str, Meta(max_length=200)] | None = None
    device_name: Line | None = None


class VerifyIn(msgspec.Struct, frozen=True, kw_only=True):
    """A code, and the token that it was asked for with."""

    token: Token
    code: Annotated[str, Meta(min_length=1, max_length=16)]


class AddressIn(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to send something to."""

    tenant_slug: Slug
    email: Address | None = None
    phone_number: PhoneNumber | None = None


class ResendIn(msgspec.Struct, frozen=True, kw_only=True):
    """The token of the code that did not come."""

    token: Token


class ResetIn(msgspec.Struct, frozen=True, kw_only=True):
    """A new password, and the token that came by mail or text message."""

    token: Token
    new_password: Password


class ChangeIn(msgspec.Struct, frozen=True, kw_only=True):
    """A new password, and the present one."""

    current_password: Password
    new_password: Password


class VerifiedOut(msgspec.Struct, frozen=True):
    """The address reaches the user."""

    verified: bool = True


class SentOut(msgspec.Struct, frozen=True):
    """What a code that was sent is to be sent back with; nothing, if nobody has the address."""

    verification_token: str


class AcceptedOut(msgspec.Struct, frozen=True):
    """Nothing is said of what happens."""


@post("/auth/register", dto=JsonBody[RegisterIn], return_dto=None)
async def register(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[RegisterIn]],
) -> RegisteredOut:
    """Register with an e-mail address or a phone number. A code is sent to it, which verifies it.

    The answer is the same when somebody has this address already; its owner gets a mail that says so.
    """
    body = accept(data)
    identifier = credentials.read_identifier(body.email, body.phone_number)
    if body.accept_terms is False:
        raise Invalid([Fault("accept_terms", "must be true, or be left out", body.accept_terms)])
    await credentials.count_stranger(services, device.ip_address)
    tenant_id = await credentials.find_tenant(services, body.tenant_slug)
    if tenant_id is None:
        raise Invalid([Fault("tenant_slug", "must name a tenant", body.tenant_slug)])
    user_id, token = await credentials.register(
        services,
        tenant_id,
        body.password,
        identifier=identifier,
        full_name=body.full_name,
        affiliate_code=body.affiliate_code,
        accepts_terms=bool(body.accept_terms),
        language=credentials.read_language(request.headers.get("Accept-Language", "")),
    )
    return RegisteredOut(user_id=user_id, verification_required=True, verification_token=token)


@post("/auth/login", status_code=200, dto=JsonBody[LoginIn], return_dto=None)
async def log_in(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[LoginIn]],
) -> Response[TokensOut]:
    """Sign in with a verified address or number and a password.

    403 with code `mfa_required` holds the `mfa_token` for /auth/mfa/challenge. After five wrong
    passwords the right one is refused too, for a minute, and longer with every five more.
    """
    body = accept(data)
    identifier = credentials.read_identifier(body.email, body.phone_number)
    tenant_id = await credentials.find_tenant(services, body.tenant_slug)
    device = msgspec.structs.replace(device, device_id=body.device_id, device_name=body.device_name)
    tokens = await credentials.log_in(services, tenant_id, identifier, body.password, device)
    async with services.snapshot(tokens.tenant_id) as db:
        return answer_tokens(request, await present_tokens(db, tokens, services.clock()))


@post("/auth/verify/email", status_code=200, dto=JsonBody[VerifyIn], return_dto=None)
async def verify_email(services: NamedDependency[Services], data: JSONBody[Decoded[VerifyIn]]) -> VerifiedOut:
    """Verify an e-mail address by the code that was sent to it: within ten minutes and five tries."""
    return await _verify(services, accept(data), Purpose.EMAIL)


@post("/auth/verify/phone", status_code=200, dto=JsonBody[VerifyIn], return_dto=None)
async def verify_phone(services: NamedDependency[Services], data: JSONBody[Decoded[VerifyIn]]) -> VerifiedOut:
    """Verify a phone number by the code that was sent to it: within ten minutes and five tries."""
    return await _verify(services, accept(data), Purpose.PHONE)


@post("/auth/verify/resend", status_code=202, dto=JsonBody[ResendIn], return_dto=None)
async def send_code_again(
    services: NamedDependency[Services], device: NamedDependency[Device], data: JSONBody[Decoded[ResendIn]]
) -> SentOut:
    """Send a new code to where the code of this token went; the old one is dead. Five an hour at most.

    The token may be used up; after a day, a forgotten password's reset is the way in.
    """
    token = accept(data).token
    await credentials.count_stranger(services, device.ip_address)
    return SentOut(await credentials.send_code_again(services, token))


@post("/auth/password/reset/request", status_code=202, dto=JsonBody[AddressIn], return_dto=None)
async def request_reset(
    services: NamedDependency[Services], device: NamedDependency[Device], data: JSONBody[Decoded[AddressIn]]
) -> AcceptedOut:
    """Have a token sent that replaces a forgotten password, if anybody has this address."""
    body = accept(data)
    identifier = credentials.read_identifier(body.email, body.phone_number)
    await credentials.count_stranger(services, device.ip_address)
    await credentials.send_reset(
        services, await credentials.find_tenant(services, body.tenant_slug), identifier
    )
    return AcceptedOut()


@post("/auth/password/reset/confirm", status_code=200, dto=JsonBody[ResetIn], return_dto=None)
async def confirm_reset(services: NamedDependency[Services], data: JSONBody[Decoded[ResetIn]]) -> AcceptedOut:
    """Replace a forgotten password, once and within half an hour. All sessions of the user end.

    A second factor is asked for at the next sign-in all the same.
    """
    body = accept(data)
    await credentials.reset_password(services, body.token, body.new_password)
    return AcceptedOut()


@post("/auth/password/change", status_code=204, dto=JsonBody[ChangeIn], return_dto=None)
async def change_password(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[ChangeIn]]
) -> None:
    """Change the caller's password. Their other sessions end, and they get a mail."""
    body = accept(data)
    await credentials.change_password(services, actor, body.current_password, body.new_password)


async def _verify(services: Services, body: VerifyIn, purpose: Purpose) -> VerifiedOut:
    tenant_id = verification.tenant_of(body.token, verification.CODE_PREFIX)
    async with services.transaction(tenant_id) as db:
        await registration.verify(db, body.token, purpose, body.code, services.clock())
    return VerifiedOut()
