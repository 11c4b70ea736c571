"""The mail catcher of `up`: takes mail and text messages, shows them, and sends nothing on.

It listens on the loopback address only: SMTP on one port, HTTP on another. The last messages are kept in a
folder, a file each, and are there again after a restart.

    GET /                a page that lists them
    GET /messages.json   the same for programs, the newest first
    POST /sms            a text message, {"to": …, "text": …}: what catcher:// in SWITCHYARD_SMS_URL does
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import html
import os
import sys
from collections import deque
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiosmtpd.smtp import SMTP

from deploy.process import StartFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK: Final = "127.0.0.1"
KEPT: Final = 500
"""Messages; the oldest gives way, in memory and on disk."""

LARGEST_MAIL: Final = 1024 * 1024
LARGEST_REQUEST: Final = 64 * 1024
REQUEST_S: Final = 10.0

SMTP_PORT: Final = "SWITCHYARD_MAIL_CATCHER_SMTP_PORT"
HTTP_PORT: Final = "SWITCHYARD_MAIL_CATCHER_HTTP_PORT"
FOLDER: Final = "SWITCHYARD_MAIL_CATCHER_DIR"

CHANNEL: Final = "X-Switchyard-Channel"
"""Header of the file of a text message."""

JSON: Final = "application/json"
PAGE: Final = "text/html; charset=utf-8"

_STYLE: Final = (
    "body { font: 15px sans-serif; max-width: 60em; margin: 2em auto }"
    " pre { white-space: pre-wrap; background: #eee; padding: 1em }"
)


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is shown. `channel`: mail or sms."""

    channel: str
    sender: str
    to: str
    subject: str
    date: str
    message_id: str
    text: str
    html: str


class SmsIn(msgspec.Struct, frozen=True):
    """A text message as it is posted."""

    to: str
    text: str


class Mailbox:
    """The messages that were caught last: in memory, and in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files = deque(sorted(folder.glob("*.eml")))
        self._messages: deque[Caught] = deque(maxlen=KEPT)
        self._number = int(self._files[-1].stem) if self._files else 0
        self._drop_oldest()
        for file in self._files:
            self._messages.append(read_message(file.read_bytes()))

    @property
    def newest_first(self) -> list[Caught]:
        """What is kept."""
        return list(reversed(self._messages))

    def add(self, content: bytes) -> Caught:
        """Keep a message, and give it as it is shown."""
        caught = read_message(content)
        self._number += 1
        file = self._folder / f"{self._number:09}.eml"
        file.write_bytes(content)
        self._files.append(file)
        self._messages.append(caught)
        self._drop_oldest()
        return caught

    def _drop_oldest(self) -> None:
        while len(self._files) > KEPT:
            self._files.popleft().unlink(missing_ok=True)


def read_message(content: bytes) -> Caught:
    """Read a message; whatever is wrong with it, it is shown."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return Caught(
        channel=str(message.get(CHANNEL, "mail")),
        sender=str(message.get("From", "")),
        to=str(message.get("To", "")),
        subject=str(message.get("Subject", "")),
        date=str(message.get("Date", "")),
        message_id=str(message.get("Message-ID", "")),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    try:
        return "" if part is None else str(part.get_content())
    except (LookupError, ValueError):  # a charset or an encoding that does not exist
        return str(part)


class MailCatcher:
    """The two servers over a mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def serve(self, smtp_port: int, http_port: int, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises OSError when a port is taken."""
        loop = asyncio.get_running_loop()
        smtp = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, data_size_limit=LARGEST_MAIL, loop=loop),
            LOOPBACK,
            smtp_port,
        )
        web = await asyncio.start_server(self._answer, LOOPBACK, http_port, limit=LARGEST_REQUEST)
        async with smtp, web:
            await stop.wait()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        """Take a mail."""
        del server, session
        self._catch(envelope.content)
        return "250 OK"

    def _catch(self, content: bytes) -> None:
        caught = self._mailbox.add(content)
        sys.stderr.write(f"{caught.channel} to {caught.to!r}: {caught.subject!r}\n")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                status, kind, body = await self._handle(reader)
                head = f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                policy = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
                writer.write(f"{head}{policy}X-Content-Type-Options: nosniff\r\n\r\n".encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # whoever asked is gone, or asked for nothing that is here
        finally:
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
        """Answer one request: (status, type, body). Raises ValueError for what is no request."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, path, _version = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("host", LOOPBACK).partition(":")[0] not in {LOOPBACK, "localhost"}:
            # A page of another site whose name leads here: the codes in these messages are not for it.
            return "403 Forbidden", "text/plain", b"Ask for 127.0.0.1.\n"
        match method, path:
            case "GET", "/":
                return "200 OK", PAGE, show_page(self._mailbox.newest_first).encode()
            case "GET", "/messages.json":
                return "200 OK", JSON, msgspec.json.encode(self._mailbox.newest_first)
            case "POST", "/sms":
                return await self._take_sms(reader, headers)
        return "404 Not Found", "text/plain", b"There is / and /messages.json.\n"

    async def _take_sms(
        self, reader: asyncio.StreamReader, headers: Mapping[str, str]
    ) -> tuple[str, str, bytes]:
        # Not what a form of another site's page can post.
        if headers.get("content-type") != JSON:
            return "415 Unsupported Media Type", "text/plain", b"Send JSON.\n"
        length = min(int(headers.get("content-length", "0")), LARGEST_REQUEST)
        sms = msgspec.json.decode(await reader.readexactly(length), type=SmsIn)
        message = EmailMessage(policy=email.policy.SMTP)
        message[CHANNEL] = "sms"
        message["To"] = " ".join(sms.to.split())
        message["Date"] = format_datetime(datetime.now(UTC))
        message.set_content(sms.text)
        self._catch(message.as_bytes())
        return "201 Created", JSON, b"{}"


def show_page(messages: list[Caught]) -> str:
    """Lay messages out; nothing in them is HTML of ours, so all of it is escaped."""
    parts = [f"<!doctype html><meta charset=utf-8><title>Caught messages</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{len(messages)} caught messages</h1><p>None was sent on. Reload to see more.</p>")
    for message in messages:
        title = message.subject or f"Text message to {message.to}"
        facts = f"{message.channel} from {message.sender or 'us'} to {message.to}, {message.date}"
        parts.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(facts)}</p>")
        parts.append(f"<pre>{html.escape(message.text)}</pre>")
        if message.html:
            parts.append(f"<details><summary>HTML</summary><pre>{html.escape(message.html)}</pre></details>")
    return "\n".join(parts)


async def run(stop: asyncio.Event, environment: Mapping[str, str] = os.environ) -> None:
    """Run by the variables SMTP_PORT, HTTP_PORT and FOLDER. Raises StartFailed."""
    if missing := {SMTP_PORT, HTTP_PORT, FOLDER} - environment.keys():
        raise StartFailed(f"The mail catcher needs {', '.join(sorted(missing))}; `up` starts it.")
    ports = int(environment[SMTP_PORT]), int(environment[HTTP_PORT])
    catcher = MailCatcher(Mailbox(Path(environment[FOLDER])))
    try:
        await catcher.serve(*ports, stop)
    except OSError as error:
        raise StartFailed(
            f"The mail catcher cannot listen on the ports {ports}: {error.strerror}."
        ) from error
