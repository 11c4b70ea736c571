"""One-off work on a stack."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from control_plane.core.redis_client import open_redis
from control_plane.core.sealing import SealBroken, read_master_key
from control_plane.db import key_rotation
from control_plane.db.pool import open_pool
from control_plane.domains.traffic.check import find_disagreements
from control_plane.logs import configure_logs
from control_plane.pipeline.publisher import resync
from control_plane.pipeline.rescore import rescore
from control_plane.pipeline.verdicts import Judge
from deploy.data_folder import DataFolder
from deploy.demo import sign_token
from deploy.process import StartFailed
from deploy.servers import await_postgres, await_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from control_plane.db.key_rotation import Rotation
    from control_plane.domains.traffic.check import Disagreement
    from control_plane.pipeline.rescore import Rescored

SHORTEST_SECRET = 32


async def resync_links(database_url: str, redis_url: str) -> int:
    """Write every link to Redis and give their number. Raises StartFailed when a server is away."""
    configure_logs()
    await await_postgres(database_url)
    await await_redis(redis_url)
    pool = await open_pool(database_url, size=2)
    try:
        async with open_redis(redis_url, timeout_s=None) as redis:
            return await resync(pool, redis)
    finally:
        await pool.close()


async def rotate_keys(database_url: str, master_key: str, previous_master_key: str) -> Rotation:
    """Replace the key that seals secrets. Raises StartFailed."""
    await await_postgres(database_url)
    db = await asyncpg.connect(database_url)
    try:
        previous = read_master_key(previous_master_key) if previous_master_key else None
        return await key_rotation.rotate_keys(
            db, read_master_key(master_key), previous_master_key=previous, now=datetime.now(UTC)
        )
    except ValueError as error:
        raise StartFailed(f"A master key cannot be read: {error}.") from error
    except SealBroken as error:
        raise StartFailed(f"The secrets cannot be opened: {error}.") from error
    finally:
        await db.close()


async def check_sums(database_url: str) -> AsyncIterator[Disagreement]:
    """Give every sum that the rows do not bear out, as of one moment. Raises StartFailed."""
    await await_postgres(database_url)
    pool = await open_pool(database_url, size=1, command_timeout_s=None)
    try:
        async with (
            pool.acquire() as db,
            db.transaction(isolation="repeatable_read", readonly=True),
        ):
            async for disagreement in find_disagreements(db):
                yield disagreement
    finally:
        await pool.close()


async def rescore_events(database_url: str, datacenter_networks: str, since: datetime) -> Rescored:
    """Pass the verdicts on clicks and visits again. Raises StartFailed."""
    try:
        judge = Judge.read(datacenter_networks)
    except (OSError, ValueError) as error:
        raise StartFailed(f"SWITCHYARD_DATACENTER_NETWORKS cannot be read: {error}.") from error
    await await_postgres(database_url)
    pool = await open_pool(database_url, size=1)
    try:
        return await rescore(pool, judge, since)
    finally:
        await pool.close()


def make_token(data_dir: Path, *, user_id: str, ttl_s: int) -> str:
    """Sign a token for a user, by default the demo user of `data_dir`. Raises StartFailed."""
    folder = DataFolder(data_dir)
    secret = os.environ.get("SWITCHYARD_JWT_SECRET")
    if secret is None:
        if not (data_dir / "secrets").exists():
            raise StartFailed(f"SWITCHYARD_JWT_SECRET is not set, and {data_dir} holds no secrets.")
        secret = folder.read_secrets().jwt_secret
    if len(secret) < SHORTEST_SECRET:
        raise StartFailed(f"SWITCHYARD_JWT_SECRET has {len(secret)} characters; it needs {SHORTEST_SECRET}.")
    try:
        user = uuid.UUID(user_id) if user_id else None
    except ValueError:
        raise StartFailed(f"--user-id {user_id!r} is not a UUID.") from None
    if user is None:
        demo = folder.read_demo()
        if demo is None:
            raise StartFailed(f"{data_dir} has no demo user; name a user with --user-id.")
        user = demo.user_id
    issuer = os.environ.get("SWITCHYARD_JWT_ISSUER", "switchyard")
    return sign_token(user, secret=secret, issuer=issuer, ttl_s=ttl_s)
