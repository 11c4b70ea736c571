"""The queue of messages, with real Postgres and a real SMTP server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from control_plane.core.clock import utc_now
from control_plane.core.retry import OUTAGES
from control_plane.core.sealing import read_master_key
from control_plane.db.data_keys import SealerSource
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Mail, Sms, Template
from control_plane.jobs import worker
from control_plane.jobs.messages import AT_ONCE, RETRY_DELAYS
from control_plane.settings import Settings
from deploy.bootstrap import CHECKOUT
from tests.delivery.mail_servers import MailServer
from tests.dialects.members import make_tenant
from tests.stacks import environment
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from control_plane.db.pool import Pool
    from tests.conftest import TestServer

MASTER_KEY = "00" * 32


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url="redis://unused.example",
        jwt_secret="s" * 32,
        master_key=MASTER_KEY,
        mail_from="Switchyard <no-reply@switchyard.test>",
    )


@pytest.fixture
async def smtp() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


@contextlib.asynccontextmanager
async def running(settings: Settings, **changes: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(msgspec.structs.replace(settings, **changes), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def send(pool: Pool, message: Mail | Sms | None = None, **changes: Any) -> None:
    message = message or Mail(
        tenant_id=await make_tenant(pool, utc_now()),
        to="ann@example.com",
        template=Template.VERIFY_EMAIL,
        language="en",
        data={"code": "314159", "minutes": 10},
    )
    sealer = SealerSource(pool, read_master_key(MASTER_KEY), utc_now)
    async with pool.acquire() as db, db.transaction():
        await messages.send(db, sealer, msgspec.structs.replace(message, **changes))


async def fetch_jobs(pool: Pool) -> list[dict[str, Any]]:
    rows = await pool.fetch(
        "SELECT id, status, attempts, execute_after - clock_timestamp() AS pause FROM pgqueuer ORDER BY id"
    )
    return [dict(row) for row in rows]


async def is_waiting(pool: Pool, attempts: int) -> dict[str, Any] | None:
    """Give the job once it waits for its next attempt after `attempts` of them."""
    (job,) = await fetch_jobs(pool)
    return job if (job["status"], job["attempts"]) == ("queued", attempts) else None


async def make_due(pool: Pool) -> None:
    await pool.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 second'")
    # As an enqueued job does: the worker looks at once.
    await pool.execute(
        "SELECT pg_notify('ch_pgqueuer', json_build_object('channel', 'ch_pgqueuer', 'operation', 'update',"
        " 'sent_at', now(), 'table', 'pgqueuer', 'type', 'table_changed_event')::text)"
    )


async def is_dead(pool: Pool) -> bool:
    return [job["status"] for job in await fetch_jobs(pool)] == ["failed"]


async def is_empty(pool: Pool) -> bool:
    return not await fetch_jobs(pool)


async def why_dead(pool: Pool) -> str:
    reason: str = await pool.fetchval(
        "SELECT traceback->>'exception_message' FROM pgqueuer_log WHERE status = 'failed'"
    )
    return reason


class TestDelivery:
    async def test_a_message_is_delivered_once_its_transaction_commits(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: smtp.mails)
            await eventually(lambda: is_empty(pool))
        (mail,) = smtp.mails
        assert mail["To"] == "ann@example.com"
        assert "314159" in mail["Subject"]

    async def test_what_was_enqueued_while_no_worker_ran_is_delivered(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        await send(pool)
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: smtp.mails)

    async def test_two_workers_deliver_each_message_once(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        async with running(settings, smtp_url=smtp.url), running(settings, smtp_url=smtp.url):
            for number in range(30):
                await send(pool, to=f"{number}@example.com")
            await eventually(lambda: is_empty(pool))
        assert sorted(smtp.recipients) == sorted([f"{number}@example.com"] for number in range(30))

    async def test_postgres_away_at_the_start_and_in_between(
        self, pool: Pool, settings: Settings, smtp: MailServer, postgres_server: TestServer
    ) -> None:
        await send(pool)
        postgres_server.stop()
        async with running(settings, smtp_url=smtp.url):
            postgres_server.start()
            await eventually(lambda: smtp.mails, timeout_s=20)
            postgres_server.kill()
            postgres_server.start()
            await eventually(lambda: try_to_send(pool), timeout_s=20)
            await eventually(lambda: len(smtp.mails) > 1, timeout_s=20)

    async def test_a_slow_server_delays_no_schedule(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: is_scheduled(pool, "trim_job_log"))
        await pool.execute("UPDATE pgqueuer_schedules SET next_run = now()")
        for number in range(30):
            await send(pool, to=f"{number}@example.com")
        smtp.open.clear()
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: smtp.attempts == AT_ONCE)
            await eventually(lambda: has_run(pool, "trim_job_log"))
            assert smtp.attempts == AT_ONCE  # the others wait
            smtp.open.set()
            await eventually(lambda: is_empty(pool), timeout_s=20)


async def is_scheduled(pool: Pool, name: str) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM pgqueuer_schedules WHERE entrypoint = $1", name))


async def has_run(pool: Pool, name: str) -> bool:
    run = "SELECT last_run IS NOT NULL FROM pgqueuer_schedules WHERE entrypoint = $1 AND status = 'queued'"
    return bool(await pool.fetchval(run, name))


async def try_to_send(pool: Pool) -> bool:
    try:
        await send(pool)
    except OUTAGES:
        return False
    return True


class TestRetries:
    async def test_it_is_tried_again_after_growing_pauses_and_then_is_dead(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        smtp.answers = ["451 come back later"] * 7
        async with running(settings, smtp_url=smtp.url):
            await send(pool, template=Template.PASSWORD_CHANGED, data={})
            for attempt, pause in enumerate(RETRY_DELAYS, 1):
                job = await eventually(functools.partial(is_waiting, pool, attempt))
                assert job is not None
                assert 0.75 * pause < job["pause"] < 1.25 * pause
                await make_due(pool)
            await eventually(lambda: is_dead(pool))
        assert smtp.attempts == len(RETRY_DELAYS) + 1
        assert "451" in await why_dead(pool)

    async def test_copies_have_one_message_id(self, pool: Pool, settings: Settings, smtp: MailServer) -> None:
        smtp.answers = ["451 later"]
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: is_waiting(pool, 1))
            await make_due(pool)
            await eventually(lambda: smtp.mails)
            await send(pool)
            await eventually(lambda: len(smtp.mails) == 2)
        first, copy, other = [mail["Message-ID"] for mail in smtp.seen]
        assert first == copy != other

    async def test_no_server_there_is_a_delay(self, pool: Pool, settings: Settings) -> None:
        port = free_port()
        async with running(settings, smtp_url=f"smtp://127.0.0.1:{port}"):
            await send(pool)
            await eventually(lambda: is_waiting(pool, 1))
            async with MailServer().running(port) as smtp:
                await make_due(pool)
                await eventually(lambda: smtp.mails)

    @pytest.mark.parametrize("answer", ["550 no such user here", "552 mailbox full"])
    async def test_a_recipient_who_is_refused_for_good_is_not_tried_again(
        self, pool: Pool, settings: Settings, smtp: MailServer, answer: str
    ) -> None:
        smtp.recipient_answers = [answer]
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: is_dead(pool))
        assert answer[:3] in await why_dead(pool)
        assert smtp.attempts == 0

    async def test_a_recipient_who_is_refused_for_now_is(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        smtp.recipient_answers = ["450 greylisted"]
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: is_waiting(pool, 1))

    async def test_a_mail_that_is_refused_for_good_is_not_tried_again(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        smtp.answers = ["554 spam"]
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: is_dead(pool))
        assert "554" in await why_dead(pool)

    @pytest.mark.parametrize("address", ["", "ann", "@example.com", "ann@", "a b@c.de", "a@b\r\nBcc: x@y.z"])
    async def test_what_is_no_address_is_not_tried(
        self, pool: Pool, settings: Settings, smtp: MailServer, address: str
    ) -> None:
        async with running(settings, smtp_url=smtp.url):
            await send(pool, to=address)
            await eventually(lambda: is_dead(pool))
        assert smtp.attempts == 0

    async def test_without_a_server_it_is_dead_and_says_why(self, pool: Pool, settings: Settings) -> None:
        async with running(settings):
            await send(pool)
            await eventually(lambda: is_dead(pool))
        assert await why_dead(pool) == "no SMTP server is set"

    async def test_without_a_provider_too(self, pool: Pool, settings: Settings) -> None:
        sms = Sms(
            tenant_id=uuid.uuid4(), to="+15005550006", template=Template.MFA_CODE, language="en", data={}
        )
        async with running(settings):
            await send(pool, sms)
            await eventually(lambda: is_dead(pool))
        assert await why_dead(pool) == "no SMS provider is set"

    async def test_a_code_that_has_expired_is_not_sent(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        await send(pool)
        await pool.execute("UPDATE pgqueuer SET created = created - interval '11 minutes'")
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: is_dead(pool))
        assert "expired" in await why_dead(pool)

    async def test_another_master_key_kills_no_message(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        await send(pool)
        async with running(settings, smtp_url=smtp.url, master_key="11" * 32):
            await eventually(lambda: is_waiting(pool, 1))
        await make_due(pool)
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: smtp.mails)


class TestMasterKey:
    async def test_a_message_from_before_the_key_was_replaced_is_delivered(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        await send(pool)
        changed = msgspec.structs.replace(
            settings, master_key="11" * 32, previous_master_key=settings.master_key
        )
        async with running(changed, smtp_url=smtp.url):
            await eventually(lambda: is_empty(pool))
        assert smtp.attempts == 1


class TestDeath:
    async def test_what_a_killed_worker_had_in_hand_is_delivered_by_another(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        """The server took the mail, the worker dies before it hears so: a copy with the same id follows."""
        smtp.open.clear()
        variables = {
            "SWITCHYARD_DATABASE_URL": settings.database_url,
            "SWITCHYARD_REDIS_URL": settings.redis_url,
            "SWITCHYARD_JWT_SECRET": settings.jwt_secret,
            "SWITCHYARD_MASTER_KEY": MASTER_KEY,
            "SWITCHYARD_SMTP_URL": smtp.url,
            "SWITCHYARD_MAIL_FROM": settings.mail_from,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.roles", "jobs", env=environment() | variables, cwd=CHECKOUT
        )
        await send(pool)
        await eventually(lambda: smtp.attempts == 1, timeout_s=20)
        process.kill()
        await process.wait()
        smtp.open.set()
        assert [job["status"] for job in await fetch_jobs(pool)] == ["picked"]
        await pool.execute("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 minute'")
        async with running(settings, smtp_url=smtp.url):
            await eventually(lambda: is_empty(pool))
        assert smtp.attempts == 2
        assert smtp.seen[0]["Message-ID"] == smtp.seen[1]["Message-ID"]

    async def test_a_task_that_is_cancelled_cancels_no_message(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        """As at the end of an event loop: PgQueuer would take it for a message that nobody wants."""
        smtp.open.clear()
        async with running(settings, smtp_url=smtp.url):
            await send(pool)
            await eventually(lambda: smtp.attempts == 1)
            for task in asyncio.all_tasks():
                if getattr(task.get_coro(), "__qualname__", "") == "QueueManager._dispatch":
                    task.cancel()
        assert [job["status"] for job in await fetch_jobs(pool)] == ["picked"]

    async def test_a_worker_that_is_cancelled_ends_with_what_it_has_in_hand(
        self, pool: Pool, settings: Settings, smtp: MailServer
    ) -> None:
        smtp.open.clear()
        changed = msgspec.structs.replace(settings, smtp_url=smtp.url)
        task = asyncio.create_task(worker.run(changed, asyncio.Event()))
        await send(pool)
        await eventually(lambda: smtp.attempts == 1)
        task.cancel()
        smtp.open.set()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done
        assert await is_empty(pool)


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("master_key", ""),
            ("smtp_url", "http://secret@mail.test"),
            ("smtp_url", "smtp://u:secret@mail.test?starttls=perhaps"),
            ("smtp_url", "smtps://u:secret@mail.test?starttls=never"),
            ("smtp_url", "smtp://u:secret@mail.test?secret=x"),
            ("sms_url", "twilio://sid:secret@api.twilio.com"),
            ("sms_url", "carrier-pigeon://secret"),
            ("sms_url", "catcher://secret.example.com"),
            ("mail_from", "secret"),
            ("password_reset_url", "https://secret.test"),
            ("vapid_subject", "secret@example.com"),
        ],
    )
    async def test_a_setting_that_is_malformed_is_named_but_not_shown(
        self, settings: Settings, name: str, value: str
    ) -> None:
        changed = msgspec.structs.replace(settings, **{name: value})
        with pytest.raises(ValueError, match=f"SWITCHYARD_{name.upper()}") as refusal:
            await worker.run(changed, asyncio.Event())
        assert "secret" not in str(refusal.value)
