"""The published links contract, field by field: what we document, and what we answer.

The contract is kept beside the project (../shared/contracts); without it these tests are skipped.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from tests.dialects.links.conftest import PREFIX, link_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg
    import httpx

    from tests.dialects.links.conftest import Caller

CONTRACT_FILE = Path(__file__).parents[2].parent / "shared" / "contracts" / "links.openapi.json"
MOUNT = PREFIX.removesuffix("/public")
"""What stands before the contract's paths: its servers' base path."""

pytestmark = pytest.mark.skipif(
    not CONTRACT_FILE.is_file(), reason="the published contract is not beside the project"
)
CONTRACT: dict[str, Any] = json.loads(CONTRACT_FILE.read_text()) if CONTRACT_FILE.is_file() else {"paths": {}}
OPERATIONS = [(path, method) for path, item in CONTRACT["paths"].items() for method in item]

LIMITS = (
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "minItems",
    "maxItems",
    "default",
    "format",
)


def resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        found: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def flatten(document: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Give a schema without references and single choices: (schema, whether null is allowed)."""
    schema = dict(resolve(document, schema))
    nullable = bool(schema.pop("nullable", False))
    choices = schema.pop("oneOf", None) or schema.pop("anyOf", None)
    if choices:
        others = [choice for choice in choices if choice != {"type": "null"}]
        assert len(others) == 1, f"more than one kind of value: {others}"
        nullable |= len(others) < len(choices)
        schema = flatten(document, others[0])[0] | schema
    if isinstance(schema.get("type"), list):
        nullable |= "null" in schema["type"]
        (schema["type"],) = set(schema["type"]) - {"null"}
    return schema, nullable


def compare(
    served: dict[str, Any], wanted: dict[str, Any], ours: Any, theirs: Any, place: str
) -> Iterator[str]:
    """List where our schema does not say at least what theirs does."""
    our, our_null = flatten(served, ours)
    their, their_null = flatten(wanted, theirs)
    if our.get("type") != their.get("type"):
        yield f"{place}: type {our.get('type')}, not {their.get('type')}"
    if "enum" in their and sorted(our.get("enum", ())) != sorted(their["enum"]):
        yield f"{place}: enum {our.get('enum')}, not {their['enum']}"
    if their_null and not our_null:
        yield f"{place}: null is not allowed"
    for name in LIMITS:
        if name in their and our.get(name) != their[name]:
            yield f"{place}: {name} {our.get(name)!r}, not {their[name]!r}"
    for name in set(their.get("required", ())) - set(our.get("required", ())):
        yield f"{place}: {name} is not required"
    for name, schema in their.get("properties", {}).items():
        if name in our.get("properties", {}):
            yield from compare(served, wanted, our["properties"][name], schema, f"{place}.{name}")
        else:
            yield f"{place}: {name} is missing"
    if "items" in their:
        yield from compare(served, wanted, our.get("items", {}), their["items"], f"{place}[]")


@pytest.fixture
async def served(anonymous: httpx.AsyncClient) -> dict[str, Any]:
    response = await anonymous.get("/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


class TestDocument:
    """What we serve as our OpenAPI document says all that the contract says."""

    def test_the_contract_has_nine_operations(self) -> None:
        assert len(OPERATIONS) == 9

    async def test_it_is_openapi_3_1(self, served: dict[str, Any]) -> None:
        assert served["openapi"] == "3.1.0"
        assert set(CONTRACT["components"]["securitySchemes"]) <= set(served["components"]["securitySchemes"])

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_parameters(self, served: dict[str, Any], path: str, method: str) -> None:
        ours = served["paths"][MOUNT + path][method]
        theirs = CONTRACT["paths"][path][method]
        mine = {(one["in"], one["name"]): one for one in ours.get("parameters", ())}
        faults: list[str] = []
        for one in theirs.get("parameters", ()):
            own = mine[one["in"], one["name"]]
            assert own.get("required", False) == one.get("required", False), one["name"]
            faults += compare(served, CONTRACT, own["schema"], one["schema"], one["name"])
        assert faults == []

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_names_and_security(self, served: dict[str, Any], path: str, method: str) -> None:
        ours = served["paths"][MOUNT + path][method]
        theirs = CONTRACT["paths"][path][method]
        assert ours["operationId"] == theirs["operationId"]
        assert ours["security"] == theirs.get("security", CONTRACT["security"])

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_bodies(self, served: dict[str, Any], path: str, method: str) -> None:
        ours = served["paths"][MOUNT + path][method]
        theirs = CONTRACT["paths"][path][method]
        if "requestBody" not in theirs:
            assert "requestBody" not in ours
            return
        assert ours["requestBody"]["required"]
        own, other = (one["requestBody"]["content"]["application/json"]["schema"] for one in (ours, theirs))
        assert list(compare(served, CONTRACT, own, other, "body")) == []

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_responses(self, served: dict[str, Any], path: str, method: str) -> None:
        ours = served["paths"][MOUNT + path][method]["responses"]
        faults = []
        for status, given in CONTRACT["paths"][path][method]["responses"].items():
            their, our = resolve(CONTRACT, given), resolve(served, ours[status])
            faults += [
                f"{status}: no header {name}"
                for name in their.get("headers", {})
                if name not in our["headers"]
            ]
            if "content" in their:
                own, other = (one["content"]["application/json"]["schema"] for one in (our, their))
                faults += compare(served, CONTRACT, own, other, status)
            else:
                assert not our.get("content")
        assert faults == []

    async def test_every_response_that_can_happen_is_described(self, served: dict[str, Any]) -> None:
        for path, item in served["paths"].items():
            for method, operation in item.items():
                needed = {"401", "500", "503"}
                if "requestBody" in operation:
                    needed |= {"413", "415", "422"}
                if "/links" in path:
                    needed |= {"403", "429"}
                if "{" in path:
                    needed |= {"404"}
                assert needed <= set(operation["responses"]), (method, path)


def validator(path: str, method: str, status: int) -> Any:
    """Make the validator of what the contract says of a response's body."""
    response = resolve(CONTRACT, CONTRACT["paths"][path][method]["responses"][str(status)])
    schema = inline(response["content"]["application/json"]["schema"])
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def inline(schema: Any) -> Any:
    """Put schemas in the place of references, and say `nullable` as JSON Schema does."""
    if isinstance(schema, list):
        return [inline(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = dict(resolve(CONTRACT, schema))
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    return {name: inline(part) for name, part in schema.items()}


def check(response: httpx.Response, path: str, method: str, status: int) -> Any:
    """Check a real response against the contract; give its body."""
    assert response.status_code == status, response.text
    described = resolve(CONTRACT, CONTRACT["paths"][path][method]["responses"][str(status)])
    for name in described.get("headers", {}):
        assert name in response.headers, name
        if name.startswith("X-RateLimit") or name == "Retry-After":
            assert response.headers[name].isdecimal()
    if "content" not in described:
        assert response.content == b""
        return None
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    validator(path, method, status).validate(body)
    return body


class TestAnswers:
    """Real responses of every operation and status, against the contract's schemas."""

    async def test_links(self, caller: Caller) -> None:
        examples = CONTRACT["paths"]["/public/links"]["post"]["requestBody"]["content"]["application/json"]
        for example in examples["examples"].values():
            response = await caller.api.post("/links", json=example["value"])
            link = check(response, "/public/links", "post", 201)
            one = await caller.api.get(f"/links/{link['id']}")
            assert check(one, "/public/links/{id}", "get", 200) == link
        listed = check(await caller.api.get("/links"), "/public/links", "get", 200)
        assert listed["total"] == len(listed["items"]) == len(examples["examples"])
        deleted = await caller.api.delete(f"/links/{link['id']}")
        check(deleted, "/public/links/{id}", "delete", 204)

    async def test_repeated_creation(self, caller: Caller) -> None:
        headers = {"Idempotency-Key": "one"}
        for status in (201, 200):
            response = await caller.api.post("/links", json=link_body(), headers=headers)
            check(response, "/public/links", "post", status)

    async def test_clicks(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = (await caller.api.post("/links", json=link_body())).json()
        await pool.execute(
            "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch,"
            " is_bot, is_conversion, verdict_version, landed_at)"
            " VALUES ($1, uuid_floor($4), $2, $3, 1, 4, false, false, false, 1, $4)",
            caller.account.tenant_id,
            uuid.UUID(link["id"]),
            uuid.UUID(link["variants"][0]["id"]),
            caller_moment := (await pool.fetchval("SELECT now()")),
        )
        await pool.execute(
            "INSERT INTO click_totals VALUES ($1, $2, $3, 1, 0, 0, 0)",
            caller.account.tenant_id,
            uuid.UUID(link["id"]),
            uuid.UUID(link["variants"][0]["id"]),
        )
        await pool.execute(
            "INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, clicks)"
            " VALUES ($1, 1, $2, $3, date_bin('15 minutes', $4::timestamptz, 'epoch'), 1)",
            caller.account.tenant_id,
            uuid.UUID(link["id"]),
            uuid.UUID(link["variants"][0]["id"]),
            caller_moment,
        )
        response = await caller.api.get(f"/links/{link['id']}/clicks")
        assert len(check(response, "/public/links/{id}/clicks", "get", 200)["items"]) == 1

    async def test_keys(self, caller: Caller) -> None:
        new = check(await caller.manage.post("/keys?name=Mine"), "/public/keys", "post", 201)
        check(await caller.manage.get("/keys"), "/public/keys", "get", 200)
        check(await caller.manage.get("/keys/rate-limit"), "/public/keys/rate-limit", "get", 200)
        revoked = await caller.manage.delete(f"/keys/{new['id']}")
        check(revoked, "/public/keys/{key_id}", "delete", 204)

    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    async def test_without_credentials(self, anonymous: httpx.AsyncClient, path: str, method: str) -> None:
        response = await anonymous.request(method, fill(path))
        body = check(response, path, method, 401)
        if path.startswith("/public/links"):
            described = resolve(CONTRACT, CONTRACT["components"]["responses"]["UnauthorizedError"])
            assert body == described["content"]["application/json"]["example"]

    @pytest.mark.parametrize(
        ("path", "method"), [one for one in OPERATIONS if one[0].startswith("/public/links")]
    )
    async def test_without_api_access(self, free_caller: Caller, path: str, method: str) -> None:
        response = await free_caller.api.request(method, fill(path))
        described = CONTRACT["components"]["responses"]["ForbiddenError"]
        assert check(response, path, method, 403) == described["content"]["application/json"]["example"]

    @pytest.mark.parametrize(("path", "method"), [one for one in OPERATIONS if "{" in one[0]])
    async def test_of_what_is_not_there(self, caller: Caller, path: str, method: str) -> None:
        client = caller.manage if path.startswith("/public/keys") else caller.api
        check(await client.request(method, fill(path)), path, method, 404)

    @pytest.mark.parametrize(
        ("path", "method"), [one for one in OPERATIONS if one[0].startswith("/public/links")]
    )
    async def test_over_the_limit(self, caller: Caller, pool: asyncpg.Pool, path: str, method: str) -> None:
        await pool.execute("UPDATE plans SET api_requests_per_hour = 0")
        described = CONTRACT["components"]["responses"]["RateLimitError"]
        response = await caller.api.request(method, fill(path))
        assert check(response, path, method, 429) == described["content"]["application/json"]["example"]

    async def test_conflict_and_faults_read_as_in_the_contract(self, caller: Caller) -> None:
        for status in (201, 409):
            taken = await caller.api.post("/links", json=link_body(slug="homepage-test"))
            body = check(taken, "/public/links", "post", status)
        described = CONTRACT["components"]["responses"]
        assert body == described["ConflictError"]["content"]["application/json"]["example"]
        light = link_body()
        light["variants"][0]["weight"] = 40
        refused = await caller.api.post("/links", json=light)
        body = check(refused, "/public/links", "post", 422)
        assert body == described["ValidationError"]["content"]["application/json"]["example"]


def fill(path: str) -> str:
    """Give a contract's path below our prefix, with an id that nobody has."""
    path = path.removeprefix("/public").replace("{id}", "{key_id}")
    return path.format(key_id="0198c0de-0000-7000-8000-000000000000")
