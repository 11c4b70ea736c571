"""Brings projects, and API keys that may report sales, from Postgres to Redis, where edges look them up.

Who changes one adds a row to intake_outbox in the same transaction; the publisher does the rest, as it
does with links. Nothing is announced: edges ask again once a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from control_plane.core.ip_addresses import show_network
from control_plane.db.pool import load_queries
from control_plane.pipeline.redis_writes import BATCH_SIZE, RESYNC_PAGE_SIZE, write_fields
from edge.contract import redis_keys
from edge.contract.intake_record import IntakeKeyRecord, ProjectRecord, encode_intake_key, encode_project

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from edge.contract.redis_shards import RedisShards

_queries = load_queries(Path(__file__).with_name("intake.sql"))


async def publish_changes(db: Connection, redis: RedisShards) -> int:
    """Publish one batch of the outbox, in a transaction of its own; give the rows done."""
    async with db.transaction(isolation="read_committed"):
        changes = [row async for row in _queries.claim_changes(db, batch_size=BATCH_SIZE)]
        if changes:
            projects = {row["project_id"] for row in changes if row["project_id"] is not None}
            keys = {(row["tenant_id"], row["key_id"]) for row in changes if row["key_id"] is not None}
            await _write_projects(db, redis, projects)
            await _write_keys(db, redis, keys)
            await _queries.delete_changes(db, ids=[row["id"] for row in changes])
    return len(changes)


async def write_every_record(db: Connection, redis: RedisShards) -> None:
    """Write all of them, page by page."""
    last = UUID(int=0)
    while ids := await _list_projects(db, last):
        await _write_projects(db, redis, ids)
        last = ids[-1]
    last = UUID(int=0)
    while keys := await _list_keys(db, last):
        await _write_keys(db, redis, keys)
        last = keys[-1][1]


async def _list_projects(db: Connection, after: UUID) -> list[UUID]:
    rows = _queries.list_projects_after(db, id=after, page_size=RESYNC_PAGE_SIZE)
    return [row["id"] async for row in rows]


async def _list_keys(db: Connection, after: UUID) -> list[tuple[UUID, UUID]]:
    rows = _queries.list_keys_after(db, id=after, page_size=RESYNC_PAGE_SIZE)
    return [(row["tenant_id"], row["id"]) async for row in rows]


async def _write_projects(db: Connection, redis: RedisShards, ids: Collection[UUID]) -> None:
    records = [_read_project(row) async for row in _queries.fetch_projects(db, ids=list(ids))]
    fields = [(record.project_id.hex(), record.version, encode_project(record)) for record in records]
    await write_fields(redis, redis_keys.projects(), fields)


async def _write_keys(db: Connection, redis: RedisShards, keys: Collection[tuple[UUID, UUID]]) -> None:
    rows = _queries.fetch_keys(db, tenant_ids=[tenant for tenant, _ in keys], ids=[key for _, key in keys])
    records = [_read_key(row) async for row in rows]
    fields = [(record.key_hash.hex(), record.version, encode_intake_key(record)) for record in records]
    await write_fields(redis, redis_keys.intake_keys(), fields)


def _read_project(row: Mapping[str, Any]) -> ProjectRecord:
    return ProjectRecord(
        project_id=row["id"].bytes,
        version=row["version"],
        tenant_id=row["tenant_id"].bytes,
        is_active=row["status"] == "active",
        domain=row["domain"] or "",
        currency=row["currency"],
        accepts_tag_sales=row["accepts_tag_sales"],
        secret_hash=row["secret_hash"] or b"",
        previous_secret_hash=row["previous_secret_hash"] or b"",
        previous_secret_until_ms=_milliseconds(row["previous_secret_until"]),
    )


def _read_key(row: Mapping[str, Any]) -> IntakeKeyRecord:
    return IntakeKeyRecord(
        key_hash=row["key_hash"],
        version=row["version"],
        tenant_id=row["tenant_id"].bytes,
        is_active=row["is_active"],
        expires_at_ms=_milliseconds(row["expires_at"]),
        allowed_ips=tuple(show_network(network) for network in row["allowed_ips"]),
    )


def _milliseconds(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1000)
