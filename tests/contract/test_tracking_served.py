"""schemathesis against a running server: whatever the tracking contract allows is answered as it says.

The contract names successes only; of what else is answered, it gives the shape: Error.
"""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from control_plane.core.actor import SYSTEM
from control_plane.db.pool import open_pool
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import KeyKind, KeySpec
from control_plane.settings import Settings
from tests.contract.servers import probe_all, serve
from tests.contract.test_tracking_contract import CONTRACT, CONTRACT_FILE, LIMITS, PREFIX, sharpen
from tests.dialects.members import make_tenant
from tests.dialects.tracking.conftest import READS
from tests.dialects.tracking.rows import add_clicks, add_conversions, add_project, add_visits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import BaseSchema

pytestmark = pytest.mark.skipif(
    not CONTRACT_FILE.is_file(), reason="the published contract is not beside the project"
)
NOBODYS = "01968c1c-0000-7000-8000-000000000000"

load_all_checks()

EXCLUDED = [
    positive_data_acceptance,  # no page is beyond 2**31, no text longer than 1024, no article without letters
    unsupported_method,  # the identity contract has other methods at no path of this one; test_routing.py
]


async def fill(config: Settings) -> tuple[str, dict[str, str]]:
    """Make a tenant with one of everything: (its key, the id of one row behind each path)."""
    pool = await open_pool(config.database_url, size=1)
    now = datetime.now(UTC)
    tenant_id = await make_tenant(pool, now)
    await pool.execute("UPDATE tenants SET blog_approved_at = now() WHERE id = $1", tenant_id)
    scopes = (*READS, "blog:write")
    spec = KeySpec(kind=KeyKind.IDENTITY, name="tests", scopes=scopes, rate_limit_rpm=1_000_000)
    async with pool.acquire() as db, db.transaction():
        new = await api_keys.create_key(db, SYSTEM, tenant_id, spec, prefix="fr_live_", now=now)
    project_id = await add_project(pool, tenant_id)
    ids = {"/projects": str(project_id)}
    (ids["/visits"],) = await add_visits(pool, tenant_id, project_id, {})
    (ids["/clicks"],) = await add_clicks(pool, tenant_id, {"project_id": project_id})
    for kind, path in enumerate(("/checkouts", "/sales", "/refunds", "/upsells"), 1):
        (ids[path],) = await add_conversions(pool, tenant_id, project_id, kind, {})
    await pool.close()
    return new.secret, ids


def sharpen_contract(ids: dict[str, str]) -> dict[str, Any]:
    """Give the contract with every field required, errors where it names none, and ids that there are."""
    document = copy.deepcopy(CONTRACT)
    error = {"application/json": {"schema": sharpen({"$ref": "#/components/schemas/Error"})}}
    headers = {name: {"schema": {"type": "string", "pattern": "^[0-9]+$"}} for name in LIMITS}
    for path, item in document["paths"].items():
        for operation in item.values():
            for response in operation["responses"].values():
                content = response["content"]["application/json"]
                content["schema"] = sharpen(content["schema"])
            success = operation["responses"]["201" if "201" in operation["responses"] else "200"]
            success["headers"] = success.get("headers", {}) | headers
            operation["responses"]["default"] = {"description": "Error", "content": error}
            for parameter in operation.get("parameters", ()):
                if parameter.get("in") == "path":
                    parameter["schema"]["enum"] = [ids[path.partition("/{")[0]], NOBODYS]
    return document


@pytest.fixture
def contract(database_url: str, redis_url: str) -> Iterator[BaseSchema]:
    config = Settings(
        database_url=database_url, redis_url=redis_url, jwt_secret="a secret of the tests, long enough"
    )
    secret, ids = asyncio.run(fill(config))
    with serve(config, SWITCHYARD_BLOG_DRAFTS_PER_DAY="1000000") as address:
        schema = schemathesis.openapi.from_dict(sharpen_contract(ids))
        schema.config.base_url = f"{address}{PREFIX}"
        schema.config.headers = {"Authorization": f"Bearer {secret}"}
        yield schema


def test_the_server_answers_as_the_contract_says(contract: BaseSchema, subtests: pytest.Subtests) -> None:
    probe_all(contract, subtests, EXCLUDED)
