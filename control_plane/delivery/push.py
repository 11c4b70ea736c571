"""Send notifications to browsers.

A message to a user becomes one for each of their browsers, so that one that is slow or gone delays no
other, and none gets a notification again because another one failed.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused
from control_plane.delivery.retry_after import read_retry_after
from control_plane.delivery.templates import render
from control_plane.delivery.vapid import authorize
from control_plane.delivery.web_push_encryption import LARGEST_TEXT, encrypt
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Template
from control_plane.domains.push import store
from control_plane.domains.push.sender_key import fetch_sender_key

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Pool
    from control_plane.delivery.push_transport import PushTransport
    from control_plane.domains.messages.model import Push
    from control_plane.domains.push.model import Subscription

KEPT_S: Final = 24 * 3600
"""How long a push service keeps a notification for a browser that is off."""

CODE_KEPT_S: Final = 300
"""The same for a code, which is waited for and of no use later."""

URGENT: Final = frozenset({Template.MFA_CODE, Template.VERIFY_EMAIL, Template.VERIFY_PHONE})
TOPIC_CHARACTERS: Final = 32
GONE: Final = frozenset({404, 410})
TOO_LARGE: Final = 413


class Notification(msgspec.Struct, frozen=True):
    """What a browser's service worker gets, in JSON."""

    title: str
    body: str
    template: str


class PushSender:
    """Sends to browsers. `subject`: whom push services may turn to, mailto: or https:."""

    def __init__(self, pool: Pool, sealer: SealerSource, transport: PushTransport, subject: str) -> None:
        self._pool = pool
        self._sealer = sealer
        self._transport = transport
        self._subject = subject

    async def send(self, push: Push, product: str, now: datetime) -> None:
        """Send a message to a browser, or have it sent to each of a user's browsers.

        Raises DeliveryDelayed, DeliveryRefused.
        """
        async with self._pool.acquire() as db:
            found = await store.list_subscriptions(db, (push.tenant_id, push.user_id))
        if push.subscription_id is None and len(found) > 1:
            await self._spread(push, found)
            return
        for subscription in found:
            if push.subscription_id in {None, subscription.id}:
                await self._send_to(push, subscription, product, now)

    async def _spread(self, push: Push, found: list[Subscription]) -> None:
        async with self._pool.acquire() as db, db.transaction():
            for subscription in found:
                single = msgspec.structs.replace(push, subscription_id=subscription.id)
                await messages.send(db, self._sealer, single)

    async def _send_to(self, push: Push, subscription: Subscription, product: str, now: datetime) -> None:
        async with self._pool.acquire() as db, db.transaction():
            key = await fetch_sender_key(db, self._sealer, now)
        text = render(push.template, push.language, {"product": product} | push.data)
        body = encrypt(
            _shape(push, text.subject, text.lead), subscription.keys.p256dh, subscription.keys.auth
        )
        is_urgent = push.template in URGENT
        headers = {
            "Authorization": authorize(subscription.endpoint, key, self._subject, now),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(CODE_KEPT_S if is_urgent else KEPT_S),
            "Urgency": "high" if is_urgent else "normal",
            "Topic": _topic_of(push),
        }
        answer = await self._transport.post(subscription.endpoint, headers, body)
        if answer.status in GONE:
            async with self._pool.acquire() as db:
                await store.delete_subscription(db, push.tenant_id, subscription.id)
            return
        _judge(answer.status, read_retry_after(answer.headers.get("retry-after"), now))


def _judge(status: int, wait: timedelta | None) -> None:
    if 200 <= status < 300:  # noqa: PLR2004
        return
    if status == TOO_LARGE:
        raise DeliveryRefused(f"the push service answered {status}")
    raise DeliveryDelayed(f"the push service answered {status}", wait)


def _shape(push: Push, title: str, lead: str) -> bytes:
    """Shape what the browser gets; a text that is too long is cut."""
    shaped = msgspec.json.encode(Notification(title, lead, push.template))
    while len(shaped) > LARGEST_TEXT:
        lead = lead[: len(lead) // 2]
        title = title[:200]
        shaped = msgspec.json.encode(Notification(title, lead, push.template))
    return shaped


def _topic_of(push: Push) -> str:
    """Name what a message says: where it waits to be fetched, a copy takes the place of the first one."""
    content = msgspec.json.encode([push.user_id, push.template, push.data], order="sorted")
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()[:TOPIC_CHARACTERS]
