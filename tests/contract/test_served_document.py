"""schemathesis against a running server: whatever the document allows, the server answers as documented."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.tokens import issue_token
from control_plane.db.pool import open_pool
from control_plane.domains.accounts import service as accounts
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import LINKS_SCOPES, KeyKind, KeySpec
from control_plane.settings import Settings
from tests.contract.servers import probe_all, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import BaseSchema

PREFIX = "/api/v1/public"
JWT_SECRET = "a secret of the tests, long enough"

load_all_checks()

EXCLUDED = [
    positive_data_acceptance,  # no schema can say that weights sum to 100 or that labels differ
    unsupported_method,  # test_failures.py looks at methods, HEAD and OPTIONS among them
]


async def make_credentials(config: Settings) -> dict[str, str]:
    """Make a user who is not limited, and the headers that prove it either way."""
    pool = await open_pool(config.database_url, size=1)
    now = datetime.now(UTC)
    async with pool.acquire() as db, db.transaction():
        await db.execute("UPDATE plans SET api_requests_per_hour = 1000000")
        account = await accounts.create_tenant_with_user(
            db, tenant_name="Acme", email="owner@acme.test", plan_code="scale", now=now
        )
        spec = KeySpec(kind=KeyKind.LINKS, name="tests", scopes=LINKS_SCOPES)
        actor = Actor(kind=ActorKind.USER, tenant_id=account.tenant_id, user_id=account.user_id)
        new = await api_keys.create_key(
            db, actor, account.tenant_id, spec, prefix=config.links_key_prefix, now=now
        )
    await pool.close()
    token = issue_token(
        account.user_id, secret=config.jwt_secret, issuer=config.jwt_issuer, now=now, ttl_s=3600
    )
    return {"X-API-Key": new.secret, "Authorization": f"Bearer {token}"}


@pytest.fixture
def api_schema(database_url: str, redis_url: str) -> Iterator[BaseSchema]:
    config = Settings(database_url=database_url, redis_url=redis_url, jwt_secret=JWT_SECRET)
    headers = asyncio.run(make_credentials(config))
    with serve(config) as address:
        schema = schemathesis.openapi.from_url(f"{address}{PREFIX}/openapi.json")
        schema.config.base_url = address
        schema.config.headers = headers
        yield schema


def test_the_server_answers_as_documented(api_schema: BaseSchema, subtests: pytest.Subtests) -> None:
    probe_all(api_schema, subtests, EXCLUDED)
