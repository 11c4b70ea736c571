from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.audit_trail import read_audit

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.members import Member

FULL: dict[str, Any] = {
    "display_name": "Acme",
    "logo_url": "https://cdn.example.com/logo.png",
    "logo_dark_url": "https://cdn.example.com/dark.png",
    "favicon_url": "https://cdn.example.com/favicon.ico",
    "og_image_url": "https://cdn.example.com/og.png",
    "primary_color": "#0Af",
    "secondary_color": "#00aaff",
    "accent_color": "#00AAFF80",
    "background_color": "#fff",
    "font_family": "Open Sans, sans-serif",
    "email_from_name": "Acme Links",
    "email_from_address": "links@example.com",
    "email_reply_to": "support@example.com",
    "email_footer_html": '<p>By <a href="https://example.com" rel="noopener noreferrer">Acme</a></p>',
    "support_url": "https://example.com/support",
    "terms_url": "https://example.com/terms",
    "privacy_url": "https://example.com/privacy",
    "embed_enabled": True,
    "embed_allowed_hosts": ["example.com", "*.example.org"],
    "watermark_text": "Acme",
    "watermark_image_url": "https://cdn.example.com/mark.png",
    "watermark_enabled": True,
}
NOTHING = {"embed_enabled": False, "embed_allowed_hosts": [], "watermark_enabled": False}


def path_of(member: Member) -> str:
    return f"/v1/tenants/{member.tenant_id}/branding"


class TestGetBranding:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.get(path_of(member))).status_code == 401

    async def test_another_tenant_is_not_there(self, member: Member, stranger: Member) -> None:
        answer = await member.api.get(path_of(stranger))
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_a_viewer_reads_what_there_is(self, viewer: Member) -> None:
        answer = await viewer.api.get(path_of(viewer))
        assert (answer.status_code, answer.json()) == (200, NOTHING)


class TestReplaceBranding:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.put(path_of(member), json={})).status_code == 401

    async def test_a_viewer_may_not(self, viewer: Member) -> None:
        answer = await viewer.api.put(path_of(viewer), json=FULL)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
        assert (await viewer.api.get(path_of(viewer))).json() == NOTHING

    async def test_another_tenant_is_not_there(self, member: Member, stranger: Member) -> None:
        assert (await member.api.put(path_of(stranger), json=FULL)).status_code == 404
        assert (await stranger.api.get(path_of(stranger))).json() == NOTHING

    async def test_keeps_every_field(self, member: Member, pool: asyncpg.Pool) -> None:
        answer = await member.api.put(path_of(member), json=FULL)
        assert (answer.status_code, answer.json()) == (200, FULL)
        assert (await member.api.get(path_of(member))).json() == FULL
        (entry,) = await read_audit(pool, "tenant.brand")
        assert entry["before"]["primary_color"] is None
        assert entry["after"]["primary_color"] == "#0Af"
        await member.api.put(path_of(member), json=FULL)
        assert len(await read_audit(pool, "tenant.brand")) == 1

    async def test_what_is_left_out_or_null_goes(self, member: Member, superadmin: Member) -> None:
        await member.api.put(path_of(member), json=FULL)
        answer = await superadmin.api.put(path_of(member), json={"display_name": "New", "logo_url": None})
        assert answer.json() == NOTHING | {"display_name": "New"}
        assert (await member.api.get(path_of(member))).json() == NOTHING | {"display_name": "New"}

    async def test_hosts_and_addresses_are_normalised(self, member: Member) -> None:
        given = {
            "embed_allowed_hosts": ["Example.COM.", "example.com", "*.Bücher.example", "localhost"],
            "email_reply_to": "Al@EXAMPLE.com",
        }
        body = (await member.api.put(path_of(member), json=given)).json()
        assert body["embed_allowed_hosts"] == ["example.com", "*.xn--bcher-kva.example", "localhost"]
        assert body["email_reply_to"] == "Al@example.com"

    async def test_the_footer_is_made_harmless(self, member: Member) -> None:
        footer = '<p onclick="x()">Hi<script>alert(1)</script> <a href="javascript:x">me</a>'
        body = (await member.api.put(path_of(member), json={"email_footer_html": footer})).json()
        assert body["email_footer_html"] == "<p>Hi <a>me</a></p>"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"display_name": "a\r\nb"}, "display_name"),
            ({"email_from_name": "a\nBcc: b@example.com"}, "email_from_name"),
            ({"email_from_address": "nobody"}, "email_from_address"),
            ({"email_reply_to": "a@example.com, b@example.com"}, "email_reply_to"),
            ({"primary_color": "red"}, "primary_color"),
            ({"primary_color": "#12345"}, "primary_color"),
            ({"primary_color": "#1234"}, "primary_color"),
            ({"accent_color": "#fff;}"}, "accent_color"),
            ({"background_color": "#fff\n"}, "background_color"),
            ({"secondary_color": "url(x)"}, "secondary_color"),
            ({"font_family": "x;background:url(//a)"}, "font_family"),
            ({"font_family": "x'"}, "font_family"),
            ({"font_family": "x</style>"}, "font_family"),
            ({"logo_url": "http://cdn.example.com/x"}, "logo_url"),
            ({"logo_dark_url": "data:image/png;base64,AA"}, "logo_dark_url"),
            ({"favicon_url": "https://user:pass@example.com/"}, "favicon_url"),
            ({"og_image_url": 'https://example.com/"><script>'}, "og_image_url"),
            ({"support_url": "javascript:alert(1)"}, "support_url"),
            ({"terms_url": "https://localhost/"}, "terms_url"),
            ({"privacy_url": "//example.com"}, "privacy_url"),
            ({"watermark_image_url": "https://169.254.169.254/"}, "watermark_image_url"),
            ({"embed_allowed_hosts": ["a.example", "*"]}, "embed_allowed_hosts[1]"),
            ({"embed_allowed_hosts": ["*.com"]}, "embed_allowed_hosts[0]"),
            ({"embed_allowed_hosts": ["https://a.example"]}, "embed_allowed_hosts[0]"),
            ({"embed_allowed_hosts": ["a.example; script-src *"]}, "embed_allowed_hosts[0]"),
            ({"embed_allowed_hosts": ["10.0.0.1"]}, "embed_allowed_hosts[0]"),
            ({"embed_allowed_hosts": [f"a{n}.example" for n in range(51)]}, "embed_allowed_hosts"),
            ({"embed_enabled": "yes"}, "embed_enabled"),
            ({"email_footer_html": "x" * 10_001}, "email_footer_html"),
        ],
    )
    async def test_bad_bodies_are_named(self, member: Member, changes: dict[str, Any], field: str) -> None:
        answer = await member.api.put(path_of(member), json=FULL | changes)
        assert answer.status_code == 422, answer.text
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]
        assert (await member.api.get(path_of(member))).json() == NOTHING

    async def test_every_fault_is_named_at_once(self, member: Member) -> None:
        answer = await member.api.put(
            path_of(member), json={"primary_color": "red", "logo_url": "x", "email_reply_to": "x"}
        )
        fields = {fault["field"] for fault in answer.json()["errors"]}
        assert fields == {"primary_color", "logo_url", "email_reply_to"}
