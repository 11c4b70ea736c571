from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import dns.rcode
import pytest

from control_plane.core.dns_servers import read_servers
from control_plane.core.name_resolver import NameResolver
from control_plane.dialects.identity import domains
from control_plane.domains.custom_domains import service
from control_plane.domains.custom_domains.probe import Probe
from control_plane.settings import Settings

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member
    from tests.dns_server import DnsServer
    from tests.http_server import HttpServer

DOMAIN = "go.acme.com"


@pytest.fixture
def settings(database_url: str, redis_url: str, dns_server: DnsServer) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        jwt_secret="a secret of the tests, long enough",
        master_key="00" * 32,
        edge_url="http://go.example.com",
        dns_resolvers=dns_server.address,
    )


async def verify(member: Member, domain: str = DOMAIN, **fields: Any) -> httpx.Response:
    path = f"/v1/tenants/{member.tenant_id}/domains/verify"
    return await member.api.post(path, json={"domain": domain} | fields)


async def start(member: Member, domain: str = DOMAIN, **fields: Any) -> dict[str, Any]:
    answer = await verify(member, domain, **fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def check(member: Member, claim: dict[str, Any]) -> httpx.Response:
    return await member.api.post(f"/v1/tenants/{member.tenant_id}/domains/{claim['id']}/check")


async def remove(member: Member, claim: dict[str, Any]) -> httpx.Response:
    return await member.api.delete(f"/v1/tenants/{member.tenant_id}/domains/{claim['id']}")


async def list_all(member: Member) -> list[dict[str, Any]]:
    answer = await member.api.get(f"/v1/tenants/{member.tenant_id}/domains")
    assert answer.status_code == 200
    listed: list[dict[str, Any]] = answer.json()["data"]
    return listed


def publish(dns_server: DnsServer, claim: dict[str, Any]) -> None:
    dns_server.set_texts(claim["record_name"], claim["record_value"])


async def own(member: Member, dns_server: DnsServer, domain: str = DOMAIN) -> dict[str, Any]:
    """Claim a domain and prove it."""
    claim = await start(member, domain)
    publish(dns_server, claim)
    answer = await check(member, claim)
    assert (answer.status_code, answer.json()["status"]) == (200, "verified"), answer.text
    return claim


async def read_published(pool: asyncpg.Pool) -> list[str]:
    return [row["domain"] for row in await pool.fetch("SELECT domain FROM domain_outbox ORDER BY id")]


async def read_actions(pool: asyncpg.Pool, member: Member) -> list[str]:
    rows = await pool.fetch(
        "SELECT action FROM audit_log WHERE tenant_id = $1 AND entity_type = 'domain' ORDER BY id",
        member.tenant_id,
    )
    return [row["action"] for row in rows]


async def again(member: Member) -> Member:
    """Give a member an access token of this moment."""
    answer = await member.api.post("/v1/auth/refresh", json={"refresh_token": member.tokens.refresh_token})
    assert answer.status_code == 200, answer.text
    member.api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return member


class TestVerify:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        path = f"/v1/tenants/{member.tenant_id}/domains/verify"
        assert (await anonymous.post(path, json={"domain": DOMAIN})).status_code == 401

    async def test_another_tenant(self, member: Member, stranger: Member) -> None:
        path = f"/v1/tenants/{member.tenant_id}/domains/verify"
        answer = await stranger.api.post(path, json={"domain": DOMAIN})
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_only_admins(self, viewer: Member) -> None:
        answer = await verify(viewer)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_a_superadmin_acts_on_any_tenant_that_there_is(
        self, superadmin: Member, member: Member
    ) -> None:
        path = f"/v1/tenants/{member.tenant_id}/domains/verify"
        assert (await superadmin.api.post(path, json={"domain": DOMAIN})).status_code == 200
        assert [claim["domain"] for claim in await list_all(member)] == [DOMAIN]
        answer = await superadmin.api.post(
            f"/v1/tenants/{uuid.uuid4()}/domains/verify", json={"domain": DOMAIN}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_a_record_by_default(self, member: Member, pool: asyncpg.Pool) -> None:
        claim = await start(member, "GO.Acme.com.")
        assert claim["verification_id"] == claim["id"]
        assert claim["record_name"] == f"_switchyard-challenge.{DOMAIN}"
        assert claim["challenge_record"] == f'{claim["record_name"]} TXT "{claim["record_value"]}"'
        assert claim["expires_at"] == "2026-05-11T10:20:30Z"
        assert (claim["status"], claim["method"], claim["file_url"]) == ("pending", "DNS_TXT", None)
        assert await read_actions(pool, member) == ["domain.claim"]
        assert await read_published(pool) == []

    async def test_a_file(self, member: Member) -> None:
        claim = await start(member, method="HTTP_FILE")
        assert claim["file_url"].startswith(f"http://{DOMAIN}/.well-known/switchyard-challenge/")
        assert claim["challenge_record"] == f"{claim['file_url']} {claim['file_content']}"
        assert claim["record_name"] is None

    async def test_asking_again_gives_the_same_challenge(
        self, member: Member, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        first = await start(member)
        clock.advance(days=6)
        assert await start(await again(member)) == first
        assert await read_actions(pool, member) == ["domain.claim"]
        by_file = await start(member, method="HTTP_FILE")
        assert (by_file["id"], by_file["file_content"]) == (first["id"], first["record_value"])

    async def test_many_at_once_make_one_claim(self, member: Member) -> None:
        claims = await asyncio.gather(*(start(member) for _ in range(10)))
        assert len({(claim["id"], claim["record_value"]) for claim in claims}) == 1

    async def test_an_expired_challenge_is_renewed(
        self, member: Member, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        first = await start(member)
        clock.advance(days=7)
        second = await start(await again(member))
        assert second["id"] == first["id"]
        assert second["record_value"] != first["record_value"]
        assert await read_actions(pool, member) == ["domain.claim", "domain.renew"]

    async def test_challenges_are_of_one_tenant_and_one_domain(
        self, member: Member, stranger: Member
    ) -> None:
        claims = [await start(member), await start(member, "x.acme.com"), await start(stranger)]
        assert len({claim["record_value"] for claim in claims}) == 3

    @pytest.mark.parametrize(
        "domain", ["8.8.8.8", "co.uk", "localhost", "*.acme.com", "acme.com:80", "go.example.com", ""]
    )
    async def test_refused_names(self, member: Member, domain: str) -> None:
        answer = await verify(member, domain)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert answer.json()["errors"][0]["field"] == "domain"

    async def test_a_name_without_room_for_a_record(self, member: Member) -> None:
        domain = ".".join(["a" * 58] * 4) + ".com"
        assert (await verify(member, domain)).status_code == 422
        assert (await verify(member, domain, method="HTTP_FILE")).status_code == 200

    async def test_an_unknown_method(self, member: Member) -> None:
        assert (await verify(member, method="MAIL")).status_code == 422

    async def test_a_tenant_has_so_many_and_no_more(
        self, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "MOST_CLAIMS", 2)
        answers = await asyncio.gather(*(verify(member, f"{n}a.acme.com") for n in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert refused.json()["code"] == "too_many_domains"


class TestCheck:
    async def test_the_record_verifies(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
    ) -> None:
        claim = await start(member)
        dns_server.set_texts(
            claim["record_name"], "v=spf1 -all", (claim["record_value"][:20], claim["record_value"][20:])
        )
        body = (await check(member, claim)).json()
        assert (body["status"], body["last_error"]) == ("verified", None)
        assert body["verified_at"] == "2026-05-04T10:20:30Z"
        assert "as it should be" in body["detail"]
        assert await read_published(pool) == [DOMAIN]
        assert await read_actions(pool, member) == ["domain.claim", "domain.verify"]
        assert [one["status"] for one in await list_all(member)] == ["verified"]

    async def test_nothing_there(self, member: Member, pool: asyncpg.Pool) -> None:
        claim = await start(member)
        answer = await check(member, claim)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["status"], body["last_error"]) == ("pending", body["detail"])
        assert "there is no name" in body["detail"]
        assert await read_published(pool) == []

    async def test_another_ones_challenge_proves_nothing(
        self,
        member: Member,
        stranger: Member,
        dns_server: DnsServer,
    ) -> None:
        claim, theirs = await start(member), await start(stranger)
        publish(dns_server, theirs)
        body = (await check(member, claim)).json()
        assert body["status"] == "pending"
        assert body["detail"] == f"1 TXT record at _switchyard-challenge.{DOMAIN}, not the one asked for."

    async def test_a_dns_that_fails(self, member: Member, dns_server: DnsServer) -> None:
        claim = await start(member)
        dns_server.failing[claim["record_name"]] = dns.rcode.SERVFAIL
        body = (await check(member, claim)).json()
        assert body["status"] == "pending"
        assert body["detail"].startswith("Nothing could be learned")

    async def test_a_verified_one_stays_so_however_often_somebody_looks(
        self,
        member: Member,
        dns_server: DnsServer,
        clock: SetClock,
    ) -> None:
        claim = await own(member, dns_server)
        dns_server.clear(claim["record_name"])
        for _ in range(4):
            clock.advance(seconds=6)
            body = (await check(member, claim)).json()
            assert (body["status"], body["last_error"]) == ("verified", body["detail"])
        publish(dns_server, claim)
        clock.advance(seconds=6)
        assert (await check(member, claim)).json()["last_error"] is None

    async def test_looking_needs_a_pause(self, member: Member, clock: SetClock) -> None:
        claim = await start(member)
        assert (await check(member, claim)).status_code == 200
        answer = await check(member, claim)
        assert (answer.status_code, answer.json()["code"]) == (429, "check_too_soon")
        assert answer.headers["Retry-After"] == "5"
        clock.advance(seconds=5)
        assert (await check(member, claim)).status_code == 200

    async def test_many_at_once_look_once(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
    ) -> None:
        claim = await start(member)
        publish(dns_server, claim)
        answers = await asyncio.gather(*(check(member, claim) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + [429] * 7
        assert len(dns_server.questions) == 1
        assert await read_published(pool) == [DOMAIN]

    async def test_an_expired_challenge(
        self,
        member: Member,
        dns_server: DnsServer,
        clock: SetClock,
    ) -> None:
        claim = await start(member)
        publish(dns_server, claim)
        clock.advance(days=7)
        answer = await check(await again(member), claim)
        assert (answer.status_code, answer.json()["code"]) == (409, "challenge_expired")
        assert dns_server.questions == []

    async def test_the_second_tenant_is_told_that_it_is_taken(
        self,
        member: Member,
        stranger: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
        clock: SetClock,
    ) -> None:
        mine, theirs = await own(member, dns_server), await start(stranger)
        dns_server.set_texts(mine["record_name"], mine["record_value"], theirs["record_value"])
        answer = await check(stranger, theirs)
        assert (answer.status_code, answer.json()["code"]) == (409, "domain_taken")
        (listed,) = await list_all(stranger)
        assert (listed["status"], listed["last_error"]) == (
            "pending",
            f"{DOMAIN} is already verified by another tenant.",
        )
        assert await read_published(pool) == [DOMAIN]
        assert (await remove(member, mine)).status_code == 204
        clock.advance(seconds=6)
        assert (await check(stranger, theirs)).json()["status"] == "verified"
        assert await read_published(pool) == [DOMAIN] * 3

    async def test_two_tenants_at_once_have_one_winner(
        self,
        member: Member,
        stranger: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
    ) -> None:
        mine, theirs = await start(member), await start(stranger)
        dns_server.set_texts(mine["record_name"], mine["record_value"], theirs["record_value"])
        answers = await asyncio.gather(check(member, mine), check(stranger, theirs))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert await read_published(pool) == [DOMAIN]
        assert await pool.fetchval("SELECT count(*) FROM custom_domains WHERE status = 'verified'") == 1

    async def test_a_challenge_renewed_meanwhile_proves_nothing(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        claim = await start(member)
        publish(dns_server, claim)
        look = Probe.look

        async def look_slowly(probe: Probe, claim: Any) -> Any:
            finding = await look(probe, claim)
            await pool.execute("UPDATE custom_domains SET challenge = 'new'")
            return finding

        monkeypatch.setattr(Probe, "look", look_slowly)
        assert (await check(member, claim)).json()["status"] == "pending"
        assert await read_published(pool) == []

    async def test_a_claim_removed_meanwhile(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        claim = await start(member)
        publish(dns_server, claim)
        look = Probe.look

        async def look_slowly(probe: Probe, claim: Any) -> Any:
            await pool.execute("DELETE FROM custom_domains")
            return await look(probe, claim)

        monkeypatch.setattr(Probe, "look", look_slowly)
        answer = await check(member, claim)
        assert (answer.status_code, answer.json()["code"]) == (404, "domain_not_found")

    async def test_no_transaction_is_open_while_it_looks(
        self,
        member: Member,
        pool: asyncpg.Pool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        claim = await start(member)
        open_ones: list[int] = []
        look = Probe.look

        async def watch(probe: Probe, claim: Any) -> Any:
            open_ones.append(
                await pool.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%'"
                )
            )
            return await look(probe, claim)

        monkeypatch.setattr(Probe, "look", watch)
        assert (await check(member, claim)).status_code == 200
        assert open_ones == [0]

    @pytest.mark.parametrize("method", ["check", "delete"])
    async def test_of_another_tenant_or_of_nobody(
        self, member: Member, stranger: Member, viewer: Member, method: str
    ) -> None:
        claim = await start(member)
        act = check if method == "check" else remove
        for wrong in ({"id": claim["id"]}, {"id": uuid.uuid4()}, {"id": "x"}):
            answer = await act(stranger, wrong)
            assert (answer.status_code, answer.json()["code"]) == (404, "domain_not_found")
        assert (await act(viewer, claim)).status_code == 403
        assert len(await list_all(member)) == 1


class TestCheckOfFile:
    @pytest.fixture(autouse=True)
    def local_files(
        self,
        dns_server: DnsServer,
        http_server: HttpServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Fetch files from the local server, whose port is not that of the web."""
        dns_server.set_records(DOMAIN, "A", "127.0.0.1")
        resolver = NameResolver(read_servers(dns_server.address))
        probe = Probe(resolver, allow_private=True, file_port=http_server.port)
        monkeypatch.setattr(domains, "open_probe", lambda *_a, **_k: probe)

    async def test_the_file_verifies(self, member: Member, http_server: HttpServer) -> None:
        claim = await start(member, method="HTTP_FILE")
        http_server.respond(200, claim["file_content"].encode() + b"\n")
        assert (await check(member, claim)).json()["status"] == "verified"
        (head,) = http_server.requests
        assert head.startswith(f"GET {claim['file_url'].removeprefix(f'http://{DOMAIN}')} HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        ("status", "body", "said"),
        [(404, None, "answered 404"), (302, None, "answered 302"), (200, b"hello", "something else")],
    )
    async def test_other_answers_do_not(
        self,
        member: Member,
        http_server: HttpServer,
        status: int,
        body: bytes | None,
        said: str,
    ) -> None:
        claim = await start(member, method="HTTP_FILE")
        http_server.respond(status, body or claim["file_content"].encode(), f"Location: {claim['file_url']}")
        answer = (await check(member, claim)).json()
        assert answer["status"] == "pending"
        assert said in answer["detail"]

    async def test_a_server_that_repeats_the_path_proves_nothing(
        self,
        member: Member,
        http_server: HttpServer,
    ) -> None:
        claim = await start(member, method="HTTP_FILE")
        http_server.respond(200, claim["file_url"].encode())
        assert (await check(member, claim)).json()["status"] == "pending"

    async def test_a_verified_domain_keeps_its_method_unless_told(
        self,
        member: Member,
        http_server: HttpServer,
    ) -> None:
        claim = await start(member, method="HTTP_FILE")
        http_server.respond(200, claim["file_content"].encode())
        await check(member, claim)
        assert (await start(member))["method"] == "HTTP_FILE"
        assert (await start(member, method="DNS_TXT"))["record_value"] == claim["file_content"]


class TestPrivateTargets:
    async def test_a_domain_that_leads_inside_is_not_fetched(
        self,
        member: Member,
        dns_server: DnsServer,
    ) -> None:
        dns_server.set_records(DOMAIN, "A", "127.0.0.1")
        claim = await start(member, method="HTTP_FILE")
        answer = (await check(member, claim)).json()
        assert answer["status"] == "pending"
        assert "no public address" in answer["detail"]


class TestListAndRemove:
    async def test_only_admins_see_them(self, viewer: Member, anonymous: httpx.AsyncClient) -> None:
        path = f"/v1/tenants/{viewer.tenant_id}/domains"
        assert (await viewer.api.get(path)).status_code == 403
        assert (await anonymous.get(path)).status_code == 401

    async def test_lists_ones_own_by_name(self, member: Member, stranger: Member) -> None:
        for name in ("b.acme.com", "a.acme.com"):
            await start(member, name)
        await start(stranger, "c.acme.com")
        assert [claim["domain"] for claim in await list_all(member)] == ["a.acme.com", "b.acme.com"]

    async def test_a_removed_one_is_gone_and_published(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
    ) -> None:
        claim = await own(member, dns_server)
        answer = await remove(member, claim)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await list_all(member) == []
        assert (await remove(member, claim)).status_code == 404
        assert await read_published(pool) == [DOMAIN, DOMAIN]
        assert await read_actions(pool, member) == ["domain.claim", "domain.verify", "domain.remove"]
        assert (await start(member))["record_value"] != claim["record_value"]

    async def test_the_publisher_is_woken(
        self,
        member: Member,
        dns_server: DnsServer,
        pool: asyncpg.Pool,
    ) -> None:
        woken = asyncio.Event()

        def wake(*_notification: object) -> None:
            woken.set()

        async with pool.acquire() as db:
            await db.add_listener("link_outbox", wake)
            await own(member, dns_server)
            await asyncio.wait_for(woken.wait(), 10)
            await db.remove_listener("link_outbox", wake)

    async def test_the_audit_holds_no_challenge(
        self,
        member: Member,
        pool: asyncpg.Pool,
        dns_server: DnsServer,
    ) -> None:
        claim = await own(member, dns_server)
        kept = await pool.fetch("SELECT before, after FROM audit_log WHERE entity_type = 'domain'")
        assert len(kept) == 2
        assert claim["record_value"].partition("=")[2] not in str([dict(row) for row in kept])
