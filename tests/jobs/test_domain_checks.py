from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dns.rcode
import msgspec
import pytest

from control_plane.core.ids import new_id
from control_plane.core.sealing import read_master_key
from control_plane.db.data_keys import SealerSource
from control_plane.domains.custom_domains import challenges, service, store
from control_plane.domains.custom_domains.model import Claim
from control_plane.domains.custom_domains.probe import Probe
from control_plane.domains.messages.model import Mail
from control_plane.domains.messages.service import SEALING_CONTEXT
from control_plane.jobs import domain_checks
from control_plane.settings import Settings
from tests.builders import insert_user

if TYPE_CHECKING:
    from uuid import UUID

    from control_plane.db.pool import Pool
    from control_plane.domains.custom_domains.model import Finding
    from tests.dns_server import DnsServer

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
DOMAIN = "go.acme.com"
RECORD = challenges.record_name(DOMAIN)
TOKEN = "0" * 48


@pytest.fixture
def settings(database_url: str, dns_server: DnsServer) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url="redis://unused.example",
        jwt_secret="s" * 32,
        master_key="00" * 32,
        dns_resolvers=dns_server.address,
    )


async def insert_claim(pool: Pool, **changes: Any) -> Claim:
    """Insert a claim that is due, of a new tenant unless one is given."""
    async with pool.acquire() as db, db.transaction():
        if "tenant_id" not in changes:
            changes["tenant_id"], _ = await insert_user(db)
        fields: dict[str, Any] = {
            "id": new_id(),
            "domain": DOMAIN,
            "method": "DNS_TXT",
            "challenge": TOKEN,
            "status": "pending",
            "created_at": NOW,
            "expires_at": NOW + timedelta(days=7),
            "next_check_at": NOW,
        }
        claim = Claim(**(fields | changes))
        await store.insert_claim(db, claim)
    return claim


async def fetch(pool: Pool, claim: Claim) -> Claim:
    async with pool.acquire() as db, db.transaction():
        found = await store.lock_claim(db, claim.tenant_id, claim.id)
    assert found is not None
    return found


async def read_mails(pool: Pool) -> list[Mail]:
    sealer = SealerSource(pool, read_master_key("00" * 32), lambda: NOW)
    rows = await pool.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'send_message' ORDER BY id")
    return [
        msgspec.json.decode(await sealer.open(row["payload"], SEALING_CONTEXT), type=Mail) for row in rows
    ]


async def read_audit(pool: Pool, tenant_id: UUID) -> list[tuple[str, str]]:
    rows = await pool.fetch(
        "SELECT actor_kind, action FROM audit_log WHERE tenant_id = $1 ORDER BY id", tenant_id
    )
    return [(row["actor_kind"], row["action"]) for row in rows]


async def count_published(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM domain_outbox WHERE domain = $1", DOMAIN)
    return count


class TestPending:
    async def test_is_verified_when_its_proof_appears(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claim = await insert_claim(pool)
        await domain_checks.check_domains(pool, settings, NOW)
        found = await fetch(pool, claim)
        assert (found.status, found.next_check_at) == ("pending", NOW + timedelta(hours=1))
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await domain_checks.check_domains(pool, settings, NOW + timedelta(minutes=59))
        assert (await fetch(pool, claim)).status == "pending"
        await domain_checks.check_domains(pool, settings, NOW + timedelta(hours=1))
        found = await fetch(pool, claim)
        assert (found.status, found.verified_at) == ("verified", NOW + timedelta(hours=1))
        assert await count_published(pool) == 1
        assert await read_audit(pool, claim.tenant_id) == [("system", "domain.verify")]

    async def test_is_left_alone_once_expired(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claim = await insert_claim(pool)
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await domain_checks.check_domains(pool, settings, NOW + timedelta(days=7))
        found = await fetch(pool, claim)
        assert (found.status, found.next_check_at) == ("pending", None)
        assert "expired" in (found.last_error or "")
        assert dns_server.questions == []

    async def test_of_another_tenants_domain_keeps_trying(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        await insert_claim(pool, status="verified", next_check_at=NOW + timedelta(days=1))
        claim = await insert_claim(pool)
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await domain_checks.check_domains(pool, settings, NOW)
        found = await fetch(pool, claim)
        assert (found.status, found.next_check_at) == ("pending", NOW + timedelta(hours=1))
        assert "another tenant" in (found.last_error or "")
        assert await count_published(pool) == 0


class TestVerified:
    async def test_three_days_without_the_record_lapse(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claim = await insert_claim(pool, status="verified", verified_at=NOW)
        await pool.execute(
            "UPDATE tenants SET contact_email = 'Ops@acme.example' WHERE id = $1", claim.tenant_id
        )
        await pool.execute("UPDATE users SET role = 'admin', language = 'es'")
        for day in range(2):
            await domain_checks.check_domains(pool, settings, NOW + timedelta(days=day))
            assert (await fetch(pool, claim)).status == "verified"
        assert await count_published(pool) == 0
        await domain_checks.check_domains(pool, settings, NOW + timedelta(days=2))
        assert (await fetch(pool, claim)).status == "lapsed"
        assert await count_published(pool) == 1
        assert await read_audit(pool, claim.tenant_id) == [("system", "domain.lapse")]
        mails = await read_mails(pool)
        assert [(mail.template, mail.language) for mail in mails] == [
            ("domain_lapsed", "en"),
            ("domain_lapsed", "es"),
        ]
        assert mails[0].to == "Ops@acme.example"
        assert mails[0].data["domain"] == DOMAIN
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await domain_checks.check_domains(pool, settings, NOW + timedelta(days=3))
        assert (await fetch(pool, claim)).status == "verified"
        assert await count_published(pool) == 2

    async def test_a_dns_that_fails_for_a_week_takes_nothing_down(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claim = await insert_claim(pool, status="verified", verified_at=NOW)
        dns_server.failing[RECORD] = dns.rcode.SERVFAIL
        for day in range(8):
            await domain_checks.check_domains(pool, settings, NOW + timedelta(days=day))
        found = await fetch(pool, claim)
        assert (found.status, found.failed_checks) == ("verified", 0)
        assert "Nothing could be learned" in (found.last_error or "")

    async def test_lapses_without_mail_where_there_is_no_master_key(
        self, pool: Pool, settings: Settings
    ) -> None:
        claim = await insert_claim(
            pool, status="verified", failed_checks=2, failing_since=NOW - timedelta(days=2)
        )
        await pool.execute("UPDATE users SET role = 'admin'")
        keyless = msgspec.structs.replace(settings, master_key="")
        await domain_checks.check_domains(pool, keyless, NOW)
        assert (await fetch(pool, claim)).status == "lapsed"
        assert await read_mails(pool) == []


class TestWorkers:
    async def test_several_share_what_is_due(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claims = [await insert_claim(pool, domain=f"go{n}.acme.com") for n in range(30)]
        for claim in claims:
            dns_server.set_texts(challenges.record_name(claim.domain), challenges.proof_of(TOKEN))
        await asyncio.gather(*(domain_checks.check_domains(pool, settings, NOW) for _ in range(3)))
        assert len(dns_server.questions) == 30
        assert await pool.fetchval("SELECT count(*) FROM custom_domains WHERE status = 'verified'") == 30
        assert await pool.fetchval("SELECT count(*) FROM domain_outbox") == 30

    async def test_what_a_worker_left_undone_is_due_again(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        claim = await insert_claim(pool)
        async with pool.acquire() as db, db.transaction():
            assert len(await service.take_due(db, NOW, 10)) == 1
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await domain_checks.check_domains(pool, settings, NOW + timedelta(minutes=29))
        assert (await fetch(pool, claim)).status == "pending"
        await domain_checks.check_domains(pool, settings, NOW + timedelta(minutes=30))
        assert (await fetch(pool, claim)).status == "verified"

    async def test_one_that_breaks_holds_up_no_other(
        self,
        pool: Pool,
        settings: Settings,
        dns_server: DnsServer,
    ) -> None:
        broken = await insert_claim(pool, domain="broken.acme.com")
        claim = await insert_claim(pool)
        dns_server.set_texts(RECORD, challenges.proof_of(TOKEN))
        await pool.execute(
            "ALTER TABLE custom_domains ADD CHECK (domain <> 'broken.acme.com' OR checked_at IS NULL)"
        )
        await domain_checks.check_domains(pool, settings, NOW)
        assert (await fetch(pool, claim)).status == "verified"
        assert (await fetch(pool, broken)).next_check_at == NOW + timedelta(minutes=30)

    async def test_a_claim_removed_meanwhile_does_no_harm(
        self, pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claim = await insert_claim(pool)
        look = Probe.look

        async def remove_and_look(probe: Probe, claim: Claim) -> Finding:
            await pool.execute("DELETE FROM custom_domains")
            return await look(probe, claim)

        monkeypatch.setattr(Probe, "look", remove_and_look)
        await domain_checks.check_domains(pool, settings, NOW)
        assert await pool.fetchval("SELECT count(*) FROM custom_domains WHERE id = $1", claim.id) == 0
