"""schemathesis against a running server: whatever the document allows, the server answers as documented."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.tokens import issue_token
from control_plane.db.pool import open_pool
from control_plane.domains.accounts import service as accounts
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import LINKS_SCOPES, KeyKind, KeySpec
from control_plane.settings import Settings
from tests.support import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import BaseSchema

PREFIX = "/api/v1/public"
START_TIMEOUT_S = 20
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


@contextlib.contextmanager
def serve(config: Settings) -> Iterator[str]:
    """Run the API under Granian; give its address once it answers."""
    port = free_port()
    environment = os.environ | {
        "SWITCHYARD_DATABASE_URL": config.database_url,
        "SWITCHYARD_REDIS_URL": config.redis_url,
        "SWITCHYARD_JWT_SECRET": config.jwt_secret,
        "SWITCHYARD_MASTER_KEY": "00" * 32,
    }
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory"]
    command += ["--host", "127.0.0.1", "--port", str(port), "control_plane.app:create_app"]
    process = subprocess.Popen(command, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"{address}{PREFIX}/health"):
            assert time.monotonic() < deadline, "the API does not answer"
            assert process.poll() is None, "the API ended"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def api_schema(database_url: str, redis_url: str) -> Iterator[BaseSchema]:
    config = Settings(database_url=database_url, redis_url=redis_url, jwt_secret=JWT_SECRET)
    headers = asyncio.run(make_credentials(config))
    with serve(config) as address:
        schema = schemathesis.openapi.from_url(f"{address}{PREFIX}/openapi.json")
        schema.config.base_url = address
        schema.config.headers = headers
        yield schema


SETTINGS = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def test_the_server_answers_as_documented(api_schema: BaseSchema, subtests: pytest.Subtests) -> None:
    for found in api_schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        with subtests.test(operation=operation.label):

            @SETTINGS
            @given(case=operation.as_strategy())
            def probe(case: schemathesis.Case[Any]) -> None:
                case.call_and_validate(excluded_checks=EXCLUDED)

            probe()
