"""Projects and API keys as tests of the intake put them into Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import redis_keys
from edge.contract.intake_record import (
    IntakeKeyRecord,
    ProjectRecord,
    encode_intake_key,
    encode_project,
)
from edge.contract.key_format import checksum, hash_secret
from tests.edge.factories import TENANT

if TYPE_CHECKING:
    from redis.asyncio import Redis

PROJECT = bytes(15) + b"\7"
KEY = "fr_live_" + "A" * 26 + checksum("fr_live_" + "A" * 26)


def make_project(**changes: object) -> ProjectRecord:
    facts: dict[str, object] = {
        "project_id": PROJECT,
        "version": 1,
        "tenant_id": TENANT,
        "is_active": True,
        "domain": "shop.example",
        "currency": "USD",
        "accepts_tag_sales": True,
    }
    return ProjectRecord(**facts | changes)  # type: ignore[arg-type]  # a test's own keywords


def make_intake_key(secret: str = KEY, **changes: object) -> IntakeKeyRecord:
    facts: dict[str, object] = {
        "key_hash": hash_secret(secret),
        "version": 1,
        "tenant_id": TENANT,
        "is_active": True,
    }
    return IntakeKeyRecord(**facts | changes)  # type: ignore[arg-type]  # a test's own keywords


async def publish_project(redis: Redis, record: ProjectRecord) -> None:
    """Write a project, as the publisher does."""
    await redis.hset(redis_keys.projects(), record.project_id.hex(), encode_project(record))


async def publish_intake_key(redis: Redis, record: IntakeKeyRecord) -> None:
    """Write an API key, as the publisher does."""
    await redis.hset(redis_keys.intake_keys(), record.key_hash.hex(), encode_intake_key(record))
