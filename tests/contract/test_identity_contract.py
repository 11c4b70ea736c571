"""The published identity contract, field by field: what real answers hold.

The contract is kept beside the project (../shared/contracts); without it these tests are skipped.
PROBES has one row per operation; a part that serves more operations adds its rows there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # a development dependency, without types

from tests.dialects.members import Member, make_member

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock

CONTRACT_FILE = Path(__file__).parents[2].parent / "shared" / "contracts" / "identity.openapi.yaml"
PREFIX = "/v1"

pytestmark = pytest.mark.skipif(
    not CONTRACT_FILE.is_file(), reason="the published contract is not beside the project"
)
CONTRACT: dict[str, Any] = (
    yaml.safe_load(CONTRACT_FILE.read_text()) if CONTRACT_FILE.is_file() else {"paths": {}}
)


class Probe(NamedTuple):
    """A request that succeeds. `path`: as the contract has it, its parameters filled in from World.names.

    `caller`: a field of World. `optional`: fields of the schema that this answer may leave out.
    """

    method: str
    path: str
    status: int
    caller: str = "admin"
    body: dict[str, Any] | None = None
    query: str = ""
    optional: frozenset[str] = frozenset()


CONTACT = frozenset({"contact_email"})
BRANDING = {
    "display_name": "Acme",
    "logo_url": "https://cdn.example.com/a.png",
    "logo_dark_url": "https://cdn.example.com/a.png",
    "favicon_url": "https://cdn.example.com/a.png",
    "og_image_url": "https://cdn.example.com/a.png",
    "primary_color": "#fff",
    "secondary_color": "#fff",
    "accent_color": "#fff",
    "background_color": "#fff",
    "font_family": "Arial",
    "email_from_name": "Acme",
    "email_from_address": "a@example.com",
    "email_reply_to": "a@example.com",
    "email_footer_html": "<p>Acme</p>",
    "support_url": "https://example.com/",
    "terms_url": "https://example.com/",
    "privacy_url": "https://example.com/",
    "embed_enabled": True,
    "embed_allowed_hosts": ["example.com"],
    "watermark_text": "Acme",
    "watermark_image_url": "https://cdn.example.com/a.png",
    "watermark_enabled": True,
}
TENANT_CHANGES = {
    "name": "Acme",
    "contact_name": "Al",
    "contact_email": "al@example.com",
    "contact_phone": "030 12345",
    "billing_email": "al@example.com",
    "allowed_origins": ["https://shop.example"],
}
USER_CHANGES = {
    "full_name": "Al",
    "slogan": "Go",
    "about_me": "x",
    "company_name": "Acme",
    "website_name": "acme.example",
    "birth_date": "1990-02-28",
    "gender": "Other",
    "email_tell_me": True,
    "sms_tell_me": True,
    "push_tell_me": True,
    "telegram_tell_me": True,
}
NEW_TENANT = {
    "slug": "other",
    "name": "Other",
    "kind": "Reseller",
    "contact_name": "Al",
    "contact_email": "al@example.com",
    "contact_phone": "030 12345",
}

PROBES = [
    Probe("get", "/users/me", 200),
    Probe("patch", "/users/me", 200, body=USER_CHANGES),
    Probe("get", "/users/me/balance", 200),
    Probe("post", "/users/me/avatar", 200, body={"avatar_url": "https://cdn.example.com/a.png"}),
    Probe("get", "/users/{user_id}", 200),
    Probe("get", "/users", 200, query="?q=acme&tenant_id={tenant_id}&page=1&page_size=20"),
    Probe("post", "/users/{user_id}/ban", 204, body={"reason": "x", "unblock_date": "2030-01-01T00:00:00Z"}),
    Probe("get", "/tenants", 200, caller="superadmin", optional=CONTACT),
    Probe("post", "/tenants", 201, caller="superadmin", body=NEW_TENANT),
    Probe("get", "/tenants/by-slug/{slug}", 200, optional=CONTACT),
    Probe("get", "/tenants/{tenant_id}", 200, optional=CONTACT),
    Probe("patch", "/tenants/{tenant_id}", 200, body=TENANT_CHANGES),
    Probe("get", "/tenants/{tenant_id}/branding", 200, optional=frozenset(BRANDING)),
    Probe("put", "/tenants/{tenant_id}/branding", 200, body=BRANDING),
    Probe("get", "/tenants/{tenant_id}/usage", 200, query="?from=2026-05-01&to=2026-05-04"),
]


class World(NamedTuple):
    """Who calls, and what stands at the parameters of paths."""

    admin: Member
    superadmin: Member
    names: dict[str, str]


@pytest.fixture
async def world(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> World:
    admin = await make_member(app, pool, settings, clock())
    other = await make_member(app, pool, settings, clock(), tenant_id=admin.tenant_id)
    superadmin = await make_member(app, pool, settings, clock(), is_superadmin=True)
    slug = await pool.fetchval("SELECT slug FROM tenants WHERE id = $1", admin.tenant_id)
    names = {"user_id": str(other.user_id), "tenant_id": str(admin.tenant_id), "slug": slug}
    return World(admin, superadmin, names)


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Give a part of the contract without references to elsewhere at its top."""
    while "$ref" in part:
        found: Any = CONTRACT
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def sharpen(part: dict[str, Any]) -> dict[str, Any]:
    """Turn a schema of OpenAPI 3.0 into one of JSON Schema: null where it is allowed, and types by size."""
    schema = dict(resolve(part))
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    if schema.get("type") == "integer" and schema.get("format") != "int64":
        schema |= {"minimum": -(2**31), "maximum": 2**31 - 1}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            schema[name] = sharpen(schema[name])
    if "properties" in schema:
        schema["properties"] = {name: sharpen(one) for name, one in schema["properties"].items()}
    if "allOf" in schema:
        schema["allOf"] = [sharpen(one) for one in schema["allOf"]]
    return schema


def list_missing(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """List the fields of a schema that an answer leaves out."""
    schema = resolve(schema)
    for one in schema.get("allOf", ()):
        yield from list_missing(one, value, place)
    if isinstance(value, list):
        for n, item in enumerate(value):
            yield from list_missing(schema["items"], item, f"{place}[{n}]")
    if isinstance(value, dict):
        for name, kind in schema.get("properties", {}).items():
            if name in value:
                yield from list_missing(kind, value[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}"


def check(response: httpx.Response, probe: Probe) -> None:
    """Compare an answer with what the contract says of it."""
    assert response.status_code == probe.status, response.text
    described = CONTRACT["paths"][probe.path][probe.method]["responses"][str(probe.status)]
    if "content" not in described:
        return
    assert response.headers["Content-Type"].partition(";")[0] == "application/json"
    schema = described["content"]["application/json"]["schema"]
    body = response.json()
    jsonschema_rs.Draft202012Validator(sharpen(schema), validate_formats=True).validate(body)
    missing = [one for one in list_missing(schema, body) if one.rpartition(".")[2] not in probe.optional]
    assert missing == []


def label(probe: Probe) -> str:
    return f"{probe.method} {probe.path}"


class TestAnswers:
    @pytest.mark.parametrize("probe", PROBES, ids=label)
    async def test_success(self, world: World, probe: Probe) -> None:
        caller: Member = getattr(world, probe.caller)
        response = await caller.api.request(
            probe.method, PREFIX + (probe.path + probe.query).format(**world.names), json=probe.body
        )
        check(response, probe)

    @pytest.mark.parametrize("probe", PROBES, ids=label)
    async def test_lists_are_not_empty(self, world: World, probe: Probe) -> None:
        """An empty list would agree with any schema."""
        if probe.method == "get":
            caller: Member = getattr(world, probe.caller)
            response = await caller.api.get(PREFIX + (probe.path + probe.query).format(**world.names))
            assert response.json().get("data") != []


class TestRequests:
    @pytest.mark.parametrize("probe", [one for one in PROBES if one.body], ids=label)
    def test_every_field_of_the_contract_is_sent(self, probe: Probe) -> None:
        described = CONTRACT["paths"][probe.path][probe.method]["requestBody"]["content"]
        fields = set(resolve(described["application/json"]["schema"])["properties"])
        assert set(probe.body or ()) == fields - {"avatar_id"}

    @pytest.mark.parametrize("probe", PROBES, ids=label)
    def test_every_query_parameter_of_the_contract_is_sent(self, probe: Probe) -> None:
        described = CONTRACT["paths"][probe.path][probe.method].get("parameters", [])
        for parameter in described:
            if parameter["in"] == "query":
                assert f"{parameter['name']}=" in probe.query

    def test_every_operation_of_users_and_tenants_is_probed(self) -> None:
        probed = {(probe.method, probe.path) for probe in PROBES}
        ours = {
            (method, path)
            for path, item in CONTRACT["paths"].items()
            for method, operation in item.items()
            if operation.get("tags") == ["Users"] or operation.get("tags") == ["Tenants"]
        }
        assert ours - probed <= {("post", "/tenants/{tenant_id}/domains/verify")}
