"""The audit of a tenant: an addition to the contract."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import accept, decode_parameters
from control_plane.dialects.identity.page import PageQueryIn, PaginationMeta, show_meta
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.audit import service


class AuditQueryIn(PageQueryIn, frozen=True, kw_only=True):
    """Which entries."""

    entity_type: str | None = None
    entity_id: str | None = None
    actor_id: uuid.UUID | None = None
    action: str | None = None


class AuditEntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who made it, to what, from what to what. Secrets are left out."""

    id: uuid.UUID
    recorded_at: Moment
    actor_kind: str
    actor_id: uuid.UUID | None
    credential_id: uuid.UUID | None
    request_id: str | None
    ip_address: str | None
    action: str
    entity_type: str
    entity_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditListOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit, newest first."""

    data: list[AuditEntryOut]
    meta: PaginationMeta


@get("/tenants/{tenant_id:str}/audit")
async def list_audit(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> AuditListOut:
    """List who changed what in the tenant. For its admins."""
    actor.require_role(Role.ADMIN)
    query = accept(decode_parameters(request.query_params, AuditQueryIn))
    async with services.snapshot(of_tenant) as db:
        page = await service.list_entries(
            db,
            of_tenant,
            query.request,
            entity_type=query.entity_type,
            entity_id=query.entity_id,
            actor_id=query.actor_id,
            action=query.action,
        )
    entries = [AuditEntryOut(**msgspec.structs.asdict(entry)) for entry in page.items]
    return AuditListOut(data=entries, meta=show_meta(page))
