"""Domains of a tenant's own: claim, prove, look again, give up."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.custom_domains import challenges, service
from control_plane.domains.custom_domains.errors import DomainNotFound
from control_plane.domains.custom_domains.model import Claim, Method, Status
from control_plane.domains.custom_domains.probe import open_probe

if TYPE_CHECKING:
    from control_plane.settings import Settings


class DomainVerifyIn(msgspec.Struct, frozen=True, kw_only=True):
    """A domain to be proven. Without `method`: DNS_TXT, or as before for a verified domain."""

    domain: Annotated[str, Meta(min_length=1, max_length=1024)]
    method: Method | UnsetType = UNSET


class DomainOut(msgspec.Struct, frozen=True, kw_only=True):
    """A claim to a domain, with what its domain has to show for it."""

    id: uuid.UUID
    domain: str
    method: Method
    status: Status
    challenge_record: str
    record_name: str | None
    record_value: str | None
    file_url: str | None
    file_content: str | None
    created_at: Moment
    expires_at: Moment
    verified_at: Moment | None
    checked_at: Moment | None
    next_check_at: Moment | None
    last_error: str | None


class DomainVerifyOut(DomainOut, frozen=True, kw_only=True):
    """What the contract calls a started verification."""

    verification_id: uuid.UUID


class DomainCheckOut(DomainOut, frozen=True, kw_only=True):
    """A claim after a look at its domain. `detail`: what was seen, in a sentence."""

    detail: str


class DomainListOut(msgspec.Struct, frozen=True):
    """All of a tenant's claims."""

    data: list[DomainOut]


@post(
    "/tenants/{tenant_id:str}/domains/verify", status_code=200, dto=JsonBody[DomainVerifyIn], return_dto=None
)
async def verify_domain(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[DomainVerifyIn]],
) -> DomainVerifyOut:
    """Start the verification of a domain: the answer says what the domain has to show. For admins.

    Asking again gives the same challenge until it expires. The domain is looked at every hour, and at
    once by a check. Once verified it is looked at every day: the record or the file has to stay.
    """
    actor.require_role(Role.ADMIN)
    wanted = accept(data)
    async with services.transaction(of_tenant) as db:
        claim = await service.claim_domain(
            db,
            actor,
            of_tenant,
            wanted.domain,
            None if wanted.method is UNSET else wanted.method,
            own_hosts=own_hosts(services.settings),
            now=services.clock(),
        )
    return DomainVerifyOut(**show_claim(claim), verification_id=claim.id)


@get("/tenants/{tenant_id:str}/domains")
async def list_domains(
    services: NamedDependency[Services], actor: NamedDependency[Actor], of_tenant: NamedDependency[uuid.UUID]
) -> DomainListOut:
    """List the tenant's domains: those that wait, those that are verified, those that lapsed. For admins."""
    actor.require_role(Role.ADMIN)
    async with services.snapshot(of_tenant) as db:
        claims = await service.list_domains(db, of_tenant)
    return DomainListOut([DomainOut(**show_claim(claim)) for claim in claims])


@post("/tenants/{tenant_id:str}/domains/{domain_id:str}/check", status_code=200)
async def check_domain(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> DomainCheckOut:
    """Look at a domain now, and say what was found. For admins.

    Whatever is found, the answer is 200, but for a proof of what another tenant has proven before: 409.
    """
    actor.require_role(Role.ADMIN)
    domain_id = read_id(request, "domain_id", DomainNotFound())
    settings = services.settings
    probe = open_probe(settings.dns_resolvers, allow_private=settings.allow_private_targets)
    async with services.transaction(of_tenant) as db:
        claim = await service.begin_check(db, of_tenant, domain_id, services.clock())
    finding = await probe.look(claim)
    async with services.transaction(of_tenant) as db:
        claim = await service.settle_check(db, actor, claim, finding, services.clock())
    return DomainCheckOut(**show_claim(claim), detail=finding.text)


@delete("/tenants/{tenant_id:str}/domains/{domain_id:str}", status_code=204)
async def remove_domain(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> None:
    """Give up a domain, verified or not: it is free for others at once. For admins."""
    actor.require_role(Role.ADMIN)
    domain_id = read_id(request, "domain_id", DomainNotFound())
    async with services.transaction(of_tenant) as db:
        await service.remove_domain(db, actor, of_tenant, domain_id, services.clock())


def own_hosts(settings: Settings) -> set[str]:
    """Give the hosts that the service itself answers on."""
    return {urlsplit(url).hostname or "" for url in (settings.edge_url, settings.api_url)}


def show_claim(claim: Claim) -> dict[str, Any]:
    """Give the fields of DomainOut for a claim."""
    by_record, proof = claim.method == "DNS_TXT", challenges.proof_of(claim.challenge)
    name, url = challenges.record_name(claim.domain), challenges.file_url(claim.domain, claim.challenge)
    return {
        "id": claim.id,
        "domain": claim.domain,
        "method": claim.method,
        "status": claim.status,
        "challenge_record": f'{name} TXT "{proof}"' if by_record else f"{url} {proof}",
        "record_name": name if by_record else None,
        "record_value": proof if by_record else None,
        "file_url": None if by_record else url,
        "file_content": None if by_record else proof,
        "created_at": claim.created_at,
        "expires_at": claim.expires_at,
        "verified_at": claim.verified_at,
        "checked_at": claim.checked_at,
        "next_check_at": claim.next_check_at,
        "last_error": claim.last_error,
    }
