"""An SMTP server on the loopback address that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage


class MailServer:
    """Keeps the mails that it takes. `answers`: what it says to mails, in turn; then 250."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.seen: list[EmailMessage] = []
        """Every mail that arrived, taken or not."""
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.recipient_answers: list[str] = []
        self.open = asyncio.Event()
        """While it is not set, mails are read and not answered."""
        self.open.set()
        self.url = ""

    @property
    def attempts(self) -> int:
        return len(self.seen)

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[MailServer]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", port
        )
        self.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.open.set()
            server.close()

    async def handle_RCPT(  # noqa: N802  the library's names
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.seen.append(mail)
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            self.mails.append(mail)
            self.recipients.append(envelope.rcpt_tos)
        return answer
