"""Deliver a message: open it, find how it is sent, send it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

import msgspec

from control_plane.core.dns_servers import read_servers
from control_plane.core.name_resolver import NameResolver
from control_plane.core.sealing import SealBroken
from control_plane.delivery.branding import fetch_branding
from control_plane.delivery.mail import compose, read_sender
from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused
from control_plane.delivery.push import PushSender
from control_plane.delivery.push_transport import GuardedTransport
from control_plane.delivery.sms import read_sms_url, send_sms
from control_plane.delivery.smtp import read_smtp_url, send_mail
from control_plane.domains.messages.model import Mail, Push, Sms
from control_plane.domains.messages.service import SEALING_CONTEXT

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.core.clock import Clock
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Pool
    from control_plane.delivery.branding import Branding
    from control_plane.settings import Settings

Message: TypeAlias = Mail | Sms | Push

DELIVERY_S: Final = 60.0
"""How long an attempt may take, whatever it waits for."""

NO_SMTP_SERVER: Final = "no SMTP server is set"
NO_SMS_PROVIDER: Final = "no SMS provider is set"
TOKEN_PLACE: Final = "{token}"  # noqa: S105  where a token goes


class Courier:
    """Delivers messages by what the settings name. Raises ValueError when one of them is malformed."""

    def __init__(self, settings: Settings, pool: Pool, sealer: SealerSource, clock: Clock) -> None:
        self._pool = pool
        self._sealer = sealer
        self._clock = clock
        self._sender = read_sender(settings.mail_from)
        self._smtp = read_smtp_url(settings.smtp_url) if settings.smtp_url else None
        self._sms = read_sms_url(settings.sms_url) if settings.sms_url else None
        self._reset_url = settings.password_reset_url
        if self._reset_url and TOKEN_PLACE not in self._reset_url:
            raise ValueError(f"SWITCHYARD_PASSWORD_RESET_URL must say where the token goes: {TOKEN_PLACE}")
        resolver = NameResolver(read_servers(settings.dns_resolvers))
        transport = GuardedTransport(resolver, allow_private=settings.allow_private_targets)
        subject = settings.vapid_subject or f"mailto:{self._sender.addr_spec}"
        if not subject.startswith(("mailto:", "https:")):
            raise ValueError("SWITCHYARD_VAPID_SUBJECT must begin with mailto: or https:")
        self._push = PushSender(pool, sealer, transport, subject)

    async def deliver(self, job_id: int, sealed: bytes, enqueued_at: datetime) -> None:
        """Deliver the message of a job. Raises DeliveryDelayed, DeliveryRefused."""
        try:
            message = msgspec.json.decode(
                await self._sealer.open(sealed, SEALING_CONTEXT),
                type=Message,
            )
        except SealBroken as error:
            raise DeliveryDelayed("the master key is another one, or the job was changed") from error
        except msgspec.MsgspecError:
            # Without its cause, which quotes the message.
            raise DeliveryRefused("the job is no message that this version knows") from None
        if _is_late(message, enqueued_at, self._clock()):
            raise DeliveryRefused("its code had expired before it could be delivered")
        try:
            async with asyncio.timeout(DELIVERY_S):
                await self._send(message, _identify(job_id, sealed))
        except TimeoutError as error:
            raise DeliveryDelayed(f"it took longer than {DELIVERY_S:g} s") from error

    async def _send(self, message: Message, identity: str) -> None:
        branding, now = await fetch_branding(self._pool, message.tenant_id), self._clock()
        message = self._add_link(message)
        if isinstance(message, Mail):
            await self._send_mail(message, branding, identity)
        elif isinstance(message, Push):
            await self._push.send(message, branding.product, now)
        elif self._sms is None:
            raise DeliveryRefused(NO_SMS_PROVIDER)
        else:
            await send_sms(self._sms, message, branding.product, now)

    async def _send_mail(self, mail: Mail, branding: Branding, identity: str) -> None:
        if self._smtp is None:
            raise DeliveryRefused(NO_SMTP_SERVER)
        composed = compose(mail, branding, sender=self._sender, identity=identity, now=self._clock())
        await send_mail(self._smtp, composed)

    def _add_link(self, message: Message) -> Message:
        """Make a link of a token, where there is a page that takes it."""
        token = message.data.get("token")
        if not (self._reset_url and token) or message.data.get("link"):
            return message
        link = self._reset_url.replace(TOKEN_PLACE, quote(str(token), safe=""))
        return msgspec.structs.replace(message, data=message.data | {"link": link})


def _is_late(message: Message, enqueued_at: datetime, now: datetime) -> bool:
    minutes = message.data.get("minutes")
    return isinstance(minutes, int) and now > enqueued_at + timedelta(minutes=minutes)


def _identify(job_id: int, sealed: bytes) -> str:
    """Name a message, the same at every attempt and on no other server: seals are random."""
    return f"{job_id}.{hashlib.sha256(sealed).hexdigest()[:20]}"
