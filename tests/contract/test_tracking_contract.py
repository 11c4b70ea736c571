"""The published tracking contract, field by field: what real answers hold.

The contract is kept beside the project (../shared/contracts); without it these tests are skipped.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # a development dependency, without types

from control_plane.dialects.tracking.languages import MESSAGES
from tests.dialects.tracking.conftest import READS, KeyHolder, make_holder
from tests.dialects.tracking.rows import add_clicks, add_conversions, add_project, add_visits

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock

CONTRACT_FILE = Path(__file__).parents[2].parent / "shared" / "contracts" / "tracking.openapi.yaml"
PREFIX = "/v1"
BASE = "http://api.test"

pytestmark = pytest.mark.skipif(
    not CONTRACT_FILE.is_file(), reason="the published contract is not beside the project"
)
CONTRACT: dict[str, Any] = (
    yaml.safe_load(CONTRACT_FILE.read_text()) if CONTRACT_FILE.is_file() else {"paths": {}}
)
OPERATIONS = [(path, method) for path, item in CONTRACT["paths"].items() for method in item]
LISTS = [path for path, method in OPERATIONS if method == "get" and "{" not in path]
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
DRAFT = {"title": "Title", "excerpt": "Excerpt", "content": "x" * 500, "category_slug": "growth"}

GOOD: dict[str, str] = {
    "page": "1",
    "per_page": "100",
    "project_id": "01968c1c-0000-7000-8000-000000000000",
    "from": "2026-05-01T00:00:00Z",
    "to": "2026-05-02T00:00:00+02:00",
}
"""Values of the parameters that are not any text."""

BAD: dict[str, list[str]] = {
    "page": ["0", "-1", "x", "1.5"],
    "per_page": ["0", "101", "x"],
    "project_id": ["x", "12345"],
    "from": ["x", "2026-13-01"],
    "to": ["x", "today"],
}


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Give a part of the contract without references to elsewhere at its top."""
    while "$ref" in part:
        found: Any = CONTRACT
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def sharpen(part: dict[str, Any]) -> dict[str, Any]:
    """Turn a schema into one that demands every field, and null only where it is allowed."""
    schema = dict(resolve(part))
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    if "properties" in schema:
        schema["properties"] = {name: sharpen(one) for name, one in schema["properties"].items()}
        schema["required"] = list(schema["properties"])
    if "items" in schema:
        schema["items"] = sharpen(schema["items"])
    return schema


def check(response: httpx.Response, path: str, method: str, status: int) -> Any:
    """Check a real response against the contract; give its body."""
    assert response.status_code == status, response.text
    described = CONTRACT["paths"][path][method]["responses"].get(str(status))
    schema = (
        described["content"]["application/json"]["schema"]
        if described
        else {"$ref": "#/components/schemas/Error"}
    )
    for name in (described or {}).get("headers", {}):
        assert response.headers[name].isdecimal(), name
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    jsonschema_rs.Draft202012Validator(sharpen(schema), validate_formats=True).validate(body)
    request_id = body["error"]["request_id"] if "error" in body else body["request_id"]
    assert request_id == response.headers["X-Request-ID"]
    return body


def parameters_of(path: str) -> list[dict[str, Any]]:
    """List the query parameters of a list."""
    described = [resolve(one) for one in CONTRACT["paths"][path]["get"].get("parameters", ())]
    return [one for one in described if one["in"] == "query"]


PARAMETERS = [(path, one["name"]) for path in LISTS for one in parameters_of(path)]


@pytest.fixture
async def world(app: Any, pool: asyncpg.Pool, clock: SetClock) -> tuple[KeyHolder, dict[str, str]]:
    """A key with every scope, and the id of one row behind each path."""
    holder = await make_holder(app, pool, clock(), scopes=(*READS, "blog:write"))
    tenant_id = holder.tenant_id
    await pool.execute("UPDATE tenants SET blog_approved_at = now() WHERE id = $1", tenant_id)
    project_id = await add_project(pool, tenant_id)
    ids = {"/projects": str(project_id)}
    (ids["/visits"],) = await add_visits(pool, tenant_id, project_id, {})
    (ids["/clicks"],) = await add_clicks(pool, tenant_id, {"project_id": project_id})
    for kind, path in enumerate(("/checkouts", "/sales", "/refunds", "/upsells"), 1):
        (ids[path],) = await add_conversions(pool, tenant_id, project_id, kind, {})
    return holder, ids


def fill(path: str, ids: dict[str, str]) -> str:
    """Give a contract's path with a real id."""
    head, brace, _name = path.partition("/{")
    return PREFIX + (f"{head}/{ids[head]}" if brace else path)


async def call(api: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await api.request(method, path, json=DRAFT if method == "post" else None)


def test_the_contract_has_fifteen_operations() -> None:
    assert len(OPERATIONS) == 15


class TestAnswers:
    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_success(self, world: tuple[KeyHolder, dict[str, str]], path: str, method: str) -> None:
        holder, ids = world
        response = await call(holder.api, method, fill(path, ids))
        body = check(response, path, method, 201 if method == "post" else 200)
        assert body["data"] != []
        for name in LIMITS:
            assert response.headers[name].isdecimal()

    @pytest.mark.parametrize("path", LISTS)
    async def test_nothing_at_all(self, foreign: KeyHolder, path: str) -> None:
        body = check(await foreign.api.get(PREFIX + path), path, "get", 200)
        assert (body["data"], body["pagination"]["total"]) == ([], 0)

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_refusals(  # noqa: PLR0913, PLR0917  fixtures
        self,
        app: Any,
        pool: asyncpg.Pool,
        clock: SetClock,
        anonymous: httpx.AsyncClient,
        world: tuple[KeyHolder, dict[str, str]],
        path: str,
        method: str,
    ) -> None:
        _holder, ids = world
        where = BASE + fill(path, ids)
        assert check(await call(anonymous, method, where), path, method, 401)["error"]["details"]
        powerless = await make_holder(app, pool, clock(), scopes=(), rate_limit_rpm=1)
        for status in (403, 429):
            response = await call(powerless.api, method, where)
            check(response, path, method, status)
            assert set(LIMITS) <= {name for name in LIMITS if name in response.headers}
        assert int(response.headers["Retry-After"]) > 0

    @pytest.mark.parametrize(("path", "method"), [one for one in OPERATIONS if "{" in one[0]])
    async def test_what_is_not_there(
        self, foreign: KeyHolder, world: tuple[KeyHolder, dict[str, str]], path: str, method: str
    ) -> None:
        _holder, ids = world
        check(await foreign.api.get(fill(path, ids)), path, method, 404)

    async def test_a_draft_that_breaks_rules(self, world: tuple[KeyHolder, dict[str, str]]) -> None:
        holder, _ids = world
        described = CONTRACT["components"]["schemas"]["BlogArticleCreateRequest"]
        for name in described["required"]:
            body = {key: value for key, value in DRAFT.items() if key != name}
            response = await holder.api.post("/v1/blog/articles", json=body)
            error = check(response, "/blog/articles", "post", 400)["error"]
            assert [fault["field"] for fault in error["details"]["errors"]] == [name]
        for name, limits in described["properties"].items():
            for size, status in (
                (limits.get("maxLength", 80), 201),
                (limits.get("maxLength", 200_000) + 1, 400),
                (limits.get("minLength", 1), 201),
                (limits.get("minLength", 1) - 1, 400),
            ):
                response = await holder.api.post("/v1/blog/articles", json=DRAFT | {name: "x" * size})
                if name == "content" and size == 80:
                    continue
                check(response, "/blog/articles", "post", status)

    async def test_without_a_category(self, world: tuple[KeyHolder, dict[str, str]]) -> None:
        holder, _ids = world
        for body in (DRAFT | {"category_slug": None}, {k: DRAFT[k] for k in ("title", "excerpt", "content")}):
            response = await holder.api.post("/v1/blog/articles", json=body)
            assert check(response, "/blog/articles", "post", 201)["data"]["category"] is None


class TestParameters:
    @pytest.mark.parametrize(("path", "name"), PARAMETERS)
    async def test_each_is_heeded(
        self, world: tuple[KeyHolder, dict[str, str]], path: str, name: str
    ) -> None:
        """A good value is taken, one that no row has finds nothing, a bad one is named."""
        holder, _ids = world
        good = GOOD.get(name, "nothing-is-called-so")
        body = check(await holder.api.get(PREFIX + path, params={name: good}), path, "get", 200)
        if name not in {"page", "per_page", "from", "to"}:
            assert body["pagination"]["total"] == 0
        for bad in BAD.get(name, []):
            response = await holder.api.get(PREFIX + path, params={name: bad})
            error = check(response, path, "get", 400)["error"]
            assert [fault["field"] for fault in error["details"]["errors"]] == [name]

    @pytest.mark.parametrize("path", LISTS)
    async def test_defaults(self, world: tuple[KeyHolder, dict[str, str]], path: str) -> None:
        holder, _ids = world
        shown = (await holder.api.get(PREFIX + path)).json()["pagination"]
        for one in parameters_of(path):
            if "default" in one["schema"]:
                assert shown[one["name"]] == one["schema"]["default"]

    @pytest.mark.parametrize("path", LISTS)
    async def test_time_on_either_side(self, world: tuple[KeyHolder, dict[str, str]], path: str) -> None:
        holder, _ids = world
        if any(one["name"] == "from" for one in parameters_of(path)):
            for params in ({"from": "2026-05-01T09:31:00Z"}, {"to": "2026-05-01T09:29:59.999Z"}):
                response = await holder.api.get(PREFIX + path, params=params)
                assert check(response, path, "get", 200)["data"] == []


class TestLanguages:
    def test_messages_are_those_of_the_contract(self) -> None:
        described = CONTRACT["x-i18n"]
        for code, texts in described["errors"].items():
            assert {name: MESSAGES[code][name] for name in described["locales"]} == texts

    @pytest.mark.parametrize("language", ["en", "pt-BR", "es"])
    async def test_of_every_refusal(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, anonymous: httpx.AsyncClient, language: str
    ) -> None:
        limited = await make_holder(app, pool, clock(), scopes=("visits:read",), rate_limit_rpm=4)
        headers = {"Accept-Language": f"fr, {language};q=0.7"}
        asked = [
            (anonymous, "/v1/visits", "unauthorized"),
            (limited.api, "/v1/sales", "forbidden"),
            (limited.api, f"/v1/visits/{uuid.UUID(int=1)}", "not_found"),
            (limited.api, "/v1/visits?page=0", "validation_error"),
            (limited.api, "/v1/visits", None),
            (limited.api, "/v1/visits", "rate_limit_exceeded"),
        ]
        for api, path, code in asked:
            response = await api.get(BASE + path, headers=headers)
            if code is not None:
                error = response.json()["error"]
                assert (error["code"], error["message"]) == (code, MESSAGES[code][language])  # type: ignore[index]
                assert response.headers["Content-Language"] == language
        await pool.execute("ALTER TABLE api_keys RENAME COLUMN scopes TO ranges")
        error = (await limited.api.get("/v1/visits", headers=headers)).json()["error"]
        assert (error["code"], error["message"]) == ("internal_error", MESSAGES["internal_error"][language])


@pytest.fixture
async def foreign(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    """A key of a tenant that has nothing."""
    return await make_holder(app, pool, clock())
