from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import aiosmtplib
import pytest

from control_plane.core.clock import utc_now
from control_plane.core.sealing import read_master_key
from control_plane.db.data_keys import SealerSource
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Mail, Sms, Template
from control_plane.jobs import worker
from control_plane.settings import Settings
from deploy import mail_catcher
from deploy.bootstrap import CHECKOUT
from deploy.http_probe import fetch
from deploy.mail_catcher import Mailbox, MailCatcher
from deploy.process import StartFailed, is_port_free
from tests.dialects.members import make_tenant
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from control_plane.db.pool import Pool


class Running:
    """A mail catcher that runs in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.smtp_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Running]:
        stop = asyncio.Event()
        catcher = MailCatcher(Mailbox(self.folder))
        task = asyncio.create_task(catcher.serve(self.smtp_port, self.http_port, stop))
        await eventually(lambda: not is_port_free(self.http_port))
        try:
            yield self
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)

    async def mail(self, subject: str = "Hello", text: str = "Hi", html: str = "") -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@a.test", "b@b.test", subject
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
        await aiosmtplib.send(message, hostname="127.0.0.1", port=self.smtp_port)

    async def sms(self, text: str, kind: str = "application/json") -> int:
        body = json.dumps({"to": "+15005550006", "text": text}).encode()
        answer = await fetch(f"{self.url}/sms", method="POST", headers={"Content-Type": kind}, body=body)
        return answer.status

    async def list_messages(self) -> list[dict[str, Any]]:
        answer = await fetch(f"{self.url}/messages.json")
        assert answer.status == 200
        messages: list[dict[str, Any]] = json.loads(answer.body)
        return messages


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(tmp_path / "mails").serving() as running:
        yield running


async def test_mail_is_shown_and_kept(catcher: Running, capfd: pytest.CaptureFixture[str]) -> None:
    await catcher.mail("Grüße", "Zoë", "<p>Zoë</p>")
    (shown,) = await catcher.list_messages()
    assert (shown["channel"], shown["to"], shown["subject"]) == ("mail", "b@b.test", "Grüße")
    assert (shown["text"].strip(), shown["html"].strip()) == ("Zoë", "<p>Zoë</p>")
    (file,) = catcher.folder.iterdir()
    assert b"b@b.test" in file.read_bytes()
    assert capfd.readouterr().err == "mail to 'b@b.test': 'Grüße'\n"


async def test_text_messages_too(catcher: Running) -> None:
    assert await catcher.sms("Code 1234") == 201
    (shown,) = await catcher.list_messages()
    assert (shown["channel"], shown["to"], shown["text"].strip()) == ("sms", "+15005550006", "Code 1234")


async def test_the_newest_comes_first_and_all_are_there_after_a_restart(tmp_path: Path) -> None:
    running = Running(tmp_path)
    async with running.serving():
        await running.mail("one")
        await running.sms("two")
        before = await running.list_messages()
    assert [message["channel"] for message in before] == ["sms", "mail"]
    async with running.serving():
        assert await running.list_messages() == before
        await running.mail("three")
        assert (await running.list_messages())[0]["subject"] == "three"


def test_the_oldest_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_catcher, "KEPT", 3)
    for _restart in range(2):
        mailbox = Mailbox(tmp_path)
        for number in range(5):
            mailbox.add(f"Subject: {number}\r\n\r\n".encode())
            assert len(list(tmp_path.iterdir())) <= 3
        assert [message.subject for message in mailbox.newest_first] == ["4", "3", "2"]


async def test_html_is_shown_as_text(catcher: Running) -> None:
    await catcher.mail("<script>1</script>", "<script>2</script>", "<script>3</script>")
    page = (await fetch(catcher.url)).body.decode()
    assert "<script" not in page
    for number in (1, 2, 3):
        assert f"&lt;script&gt;{number}&lt;/script&gt;" in page


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\nx",
        b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x",
        b"Subject: =?utf-8?b?!?=\r\nTo: <<>>\r\n\r\nx",
    ],
)
async def test_whatever_is_wrong_with_a_mail_it_is_shown(catcher: Running, content: bytes) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=catcher.smtp_port) as client:
        await client.sendmail("a@a.test", ["b@b.test"], content)
    assert len(await catcher.list_messages()) == 1
    assert (await fetch(catcher.url)).status == 200


class TestStrangers:
    """Pages of other sites that a browser on this machine has open."""

    async def test_a_name_that_leads_here_reads_nothing(self, catcher: Running) -> None:
        await catcher.mail("secret")
        reader, writer = await asyncio.open_connection("127.0.0.1", catcher.http_port)
        writer.write(b"GET /messages.json HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.0 403")
        assert b"secret" not in answer

    async def test_a_form_posts_nothing(self, catcher: Running) -> None:
        assert await catcher.sms("x", kind="text/plain") == 415
        assert await catcher.list_messages() == []

    @pytest.mark.parametrize("request_bytes", [b"\r\n\r\n", b"x" * 100_000, b"GET / \r\n\r\n", b"POST /sms"])
    async def test_what_is_no_request_harms_nothing(self, catcher: Running, request_bytes: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", catcher.http_port)
        with contextlib.suppress(ConnectionError):
            writer.write(request_bytes)
            writer.write_eof()
            await reader.read()
        writer.close()
        assert await catcher.list_messages() == []

    async def test_other_paths_are_not_found(self, catcher: Running) -> None:
        assert (await fetch(f"{catcher.url}/../secrets")).status == 404


class TestRole:
    def start(self, running: Running) -> subprocess.Popen[bytes]:
        variables = {
            mail_catcher.SMTP_PORT: str(running.smtp_port),
            mail_catcher.HTTP_PORT: str(running.http_port),
            mail_catcher.FOLDER: str(running.folder),
        }
        argv = [sys.executable, "-m", "deploy.roles", "mail-catcher"]
        return subprocess.Popen(argv, cwd=CHECKOUT, env=os.environ | variables, stderr=subprocess.PIPE)

    async def test_killed_and_started_again_it_has_all(self, tmp_path: Path) -> None:
        running = Running(tmp_path)
        with self.start(running) as process:
            await eventually(lambda: not is_port_free(running.smtp_port))
            await running.mail("kept")
            process.kill()
        with self.start(running) as process:
            await eventually(lambda: not is_port_free(running.http_port))
            assert [message["subject"] for message in await running.list_messages()] == ["kept"]
            process.terminate()
            assert process.wait(10) == 0

    async def test_a_port_that_is_taken_is_named(self, tmp_path: Path) -> None:
        async with Running(tmp_path).serving() as running:
            ports = {mail_catcher.SMTP_PORT: str(running.smtp_port), mail_catcher.HTTP_PORT: str(free_port())}
            with pytest.raises(StartFailed, match=str(running.smtp_port)):
                await mail_catcher.run(asyncio.Event(), ports | {mail_catcher.FOLDER: str(tmp_path)})


async def test_from_the_queue_through_the_worker_to_the_page(
    pool: Pool, database_url: str, catcher: Running
) -> None:
    """A mail and a text message: enqueued, delivered by the jobs worker, caught, shown."""
    settings = Settings(
        database_url=database_url,
        redis_url="redis://unused.example",
        jwt_secret="s" * 32,
        master_key="00" * 32,
        smtp_url=f"smtp://127.0.0.1:{catcher.smtp_port}",
        sms_url=f"catcher://127.0.0.1:{catcher.http_port}",
    )
    tenant_id, data = await make_tenant(pool, utc_now()), {"code": "314159", "minutes": 10}
    sealer = SealerSource(pool, read_master_key(settings.master_key), utc_now)
    async with pool.acquire() as db, db.transaction():
        for kind, to, template in (
            (Mail, "ann@example.com", Template.VERIFY_EMAIL),
            (Sms, "+15005550006", Template.VERIFY_PHONE),
        ):
            message = kind(tenant_id=tenant_id, to=to, template=template, language="es", data=data)
            await messages.send(db, sealer, message)
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(settings, stop))

    async def list_both() -> list[dict[str, Any]]:
        found = await catcher.list_messages()
        return found if len(found) == 2 else []

    shown = {message["channel"]: message for message in await eventually(list_both, timeout_s=20)}
    stop.set()
    await asyncio.wait_for(working, 10)
    assert shown["mail"]["to"] == "ann@example.com"
    assert shown["mail"]["subject"] == "314159 es tu código para Switchyard"
    assert "<strong>314159</strong>" in shown["mail"]["html"]
    assert shown["sms"]["to"] == "+15005550006"
    assert shown["sms"]["text"].strip() == ("Tu código para Switchyard es 314159. Vale durante 10 minutos.")
