"""Read, make and change projects, and give them secrets.

Every change makes the project's next version and queues its publication in the same transaction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

import idna
import msgspec
from msgspec import UNSET

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.page import cut_keys
from control_plane.domains.api_keys.secret import make_secret
from control_plane.domains.audit import service as audit
from control_plane.domains.projects import store
from control_plane.domains.projects.errors import ProjectNotFound
from control_plane.domains.projects.model import (
    GRACE,
    LONGEST_NAME,
    SECRET_PREFIX,
    NewSecret,
    Project,
    ProjectChanges,
    ProjectDraft,
    Status,
)
from edge.contract.key_format import hash_secret
from edge.contract.money import BadMoneyError, parse_currency

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection

LONGEST_DOMAIN: Final = 253
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


async def list_projects(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> Stretch[Project]:
    """List a tenant's projects, whatever their status, newest first. `db`: with one snapshot."""
    total = await store.count_projects(db, tenant_id)
    keys = [] if request.offset >= total else await store.find_projects(db, tenant_id, request)
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await store.fetch_projects(db, tenant_id, stretch.items))


async def fetch_project(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> Project:
    """Find a project. Raises ProjectNotFound."""
    found = await store.fetch_projects(db, tenant_id, [project_id])
    if project_id not in found:
        raise ProjectNotFound
    return found[project_id]


async def create_project(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, draft: ProjectDraft, now: datetime
) -> NewSecret:
    """Make a project with its first secret. Raises Invalid."""
    draft, secret = settle(draft), make_secret(SECRET_PREFIX)
    project = await store.insert_project(
        db, tenant_id, new_id(), draft, secret_hash=hash_secret(secret), now=now
    )
    await store.enqueue_publication(db, tenant_id, project.id)
    entity, after = ("project", project.id), msgspec.structs.asdict(draft)
    await audit.record(db, actor, tenant_id, "project.create", entity, after=after, now=now)
    return NewSecret(project, secret)


async def change_project(  # noqa: PLR0913  who, whose, which, what and when
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    project_id: uuid.UUID,
    changes: ProjectChanges,
    *,
    now: datetime,
) -> Project:
    """Change a project. Raises ProjectNotFound, Invalid."""
    project = await store.lock_project(db, tenant_id, project_id)
    if project is None:
        raise ProjectNotFound
    before = {name: getattr(project, name) for name in ProjectDraft.__struct_fields__}
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    content = settle(ProjectDraft(**before | given))
    after = msgspec.structs.asdict(content)
    if after == before:
        return project
    changed = await store.update_project(db, tenant_id, project_id, content, now)
    await store.enqueue_publication(db, tenant_id, project_id)
    entity = ("project", project_id)
    await audit.record(db, actor, tenant_id, "project.update", entity, before=before, after=after, now=now)
    return changed


async def rotate_secret(  # noqa: PLR0913  who, whose, which, how and when
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    project_id: uuid.UUID,
    *,
    ends_previous: bool,
    now: datetime,
) -> NewSecret:
    """Give a project a new secret; the one before serves for GRACE on, or ends now. Raises ProjectNotFound.

    What was the one before until now is worth nothing any more.
    """
    if await store.lock_project(db, tenant_id, project_id) is None:
        raise ProjectNotFound
    secret = make_secret(SECRET_PREFIX)
    until = None if ends_previous else now + GRACE
    project = await store.replace_secret(
        db, tenant_id, project_id, secret_hash=hash_secret(secret), until=until, now=now
    )
    await store.enqueue_publication(db, tenant_id, project_id)
    entity, after = ("project", project_id), {"previous_until": project.previous_secret_until}
    await audit.record(db, actor, tenant_id, "project.rotate_secret", entity, after=after, now=now)
    return NewSecret(project, secret)


def settle(draft: ProjectDraft) -> ProjectDraft:
    """Give a draft as it is stored. Raises Invalid with every rule that it breaks."""
    faults, settled = [], dict[str, Any]()
    settled["name"] = draft.name.strip()
    if not 0 < len(settled["name"]) <= LONGEST_NAME or not settled["name"].isprintable():
        faults.append(Fault("name", f"must be 1 to {LONGEST_NAME} printable characters", draft.name))
    if draft.domain is not None:
        settled["domain"] = _spell_domain(draft.domain)
        if settled["domain"] is None:
            faults.append(Fault("domain", "must be a bare domain name, as in shop.example.com", draft.domain))
    if draft.status not in get_args(Status):
        faults.append(Fault("status", f"must be one of {', '.join(get_args(Status))}", draft.status))
    try:
        settled["currency"] = parse_currency(draft.currency)
    except BadMoneyError as error:
        faults.append(Fault("currency", str(error), draft.currency))
    if faults:
        raise Invalid(faults)
    return msgspec.structs.replace(draft, **settled)


def _spell_domain(text: str) -> str | None:
    """Give a domain as A-labels in lower case; None for what is none."""
    try:
        domain = idna.encode(text.strip().removesuffix("."), uts46=True).decode().lower()
    except idna.IDNAError:
        return None
    return domain if len(domain) <= LONGEST_DOMAIN and _HOST.fullmatch(domain) else None
