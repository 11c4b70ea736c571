"""Hand text messages to a provider; SWITCHYARD_SMS_URL chooses which.

    twilio://SID:TOKEN@api.twilio.com?from=+15005550006      from: a number, or a messaging service (MG…)
    kavenegar://APIKEY@api.kavenegar.com?sender=…&template=…  template: a look-up of that name, for codes
    catcher://127.0.0.1:8025                                  the mail catcher of `up`

Without a host it is the provider's own. Over https, and over http to this machine only.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx2
import msgspec

from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused
from control_plane.delivery.retry_after import read_retry_after
from control_plane.delivery.smtp import is_loopback
from control_plane.delivery.templates import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.domains.messages.model import Sms

ANSWER_S: Final = 15.0

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_FORM: Final = "SWITCHYARD_SMS_URL must begin with twilio://SID:TOKEN@, kavenegar://APIKEY@ or catcher://"
_TOO_MANY: Final = 429
_SERVER_FAULT: Final = 500


class TextMessage(msgspec.Struct, frozen=True):
    """What a provider is to send. `to`: E.164. `code`: the code in the text, if that is what it is about."""

    to: str
    text: str
    code: str | None = None


class SmsProvider(Protocol):
    """Knows what one provider wants to be asked."""

    def describe(self, message: TextMessage) -> httpx2.Request:
        """Give the request that sends a message."""


class Twilio(msgspec.Struct, frozen=True):
    """Twilio's Messages resource. `sender`: a number, or the SID of a messaging service."""

    base_url: str
    account: str
    token: str
    sender: str

    def describe(self, message: TextMessage) -> httpx2.Request:
        """Give the request that sends a message."""
        url = f"{self.base_url}/2010-04-01/Accounts/{quote(self.account, safe='')}/Messages.json"
        key = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        form = {"To": message.to, key: self.sender, "Body": message.text}
        credentials = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        return httpx2.Request("POST", url, data=form, headers={"Authorization": f"Basic {credentials}"})


class Kavenegar(msgspec.Struct, frozen=True):
    """Kavenegar's sms/send, and verify/lookup for codes where there is a `template`."""

    base_url: str
    api_key: str
    sender: str
    template: str

    def describe(self, message: TextMessage) -> httpx2.Request:
        """Give the request that sends a message."""
        url, receptor = f"{self.base_url}/v1/{quote(self.api_key, safe='')}", f"00{message.to[1:]}"
        if self.template and message.code:
            form = {"receptor": receptor, "token": message.code, "template": self.template}
            return httpx2.Request("POST", f"{url}/verify/lookup.json", data=form)
        form = {"receptor": receptor, "message": message.text}
        form |= {"sender": self.sender} if self.sender else {}
        return httpx2.Request("POST", f"{url}/sms/send.json", data=form)


class Catcher(msgspec.Struct, frozen=True):
    """The mail catcher of `up`, which sends nothing on."""

    base_url: str

    def describe(self, message: TextMessage) -> httpx2.Request:
        """Give the request that sends a message."""
        return httpx2.Request("POST", f"{self.base_url}/sms", json={"to": message.to, "text": message.text})


def read_sms_url(url: str) -> SmsProvider:
    """Read SWITCHYARD_SMS_URL. Raises ValueError, without the URL in it: it holds a key."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # Not parse_qs, to which the + of a number is a space.
        options = {
            name: unquote(value)
            for name, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair)
        }
    except ValueError as error:
        raise ValueError(_FORM) from error
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "twilio" and user and password and options.keys() == {"from"}:
        return Twilio(_base_url(host or "api.twilio.com", port), user, password, options["from"])
    if parts.scheme == "kavenegar" and user and options.keys() <= {"sender", "template"}:
        base_url = _base_url(host or "api.kavenegar.com", port)
        return Kavenegar(base_url, user, options.get("sender", ""), options.get("template", ""))
    if parts.scheme == "catcher" and is_loopback(host):
        return Catcher(_base_url(host, port))
    raise ValueError(_FORM)


async def send_sms(provider: SmsProvider, sms: Sms, product: str, now: datetime) -> None:
    """Hand a text message to the provider. Raises DeliveryDelayed, DeliveryRefused."""
    if not _E164.fullmatch(sms.to):
        raise DeliveryRefused("the number is not in the form +15005550006")
    text = render(sms.template, sms.language, {"product": product} | sms.data)
    code = sms.data.get("code")
    request = provider.describe(TextMessage(sms.to, text.lead, str(code) if code else None))
    try:
        async with httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
            response = await client.send(request)
    except httpx2.HTTPError as error:
        # Not its text: it may name the URL, which may hold the key.
        raise DeliveryDelayed(f"the SMS provider does not answer: {type(error).__name__}") from None
    _judge(response.status_code, response.headers, now)


def _judge(status: int, headers: Mapping[str, str], now: datetime) -> None:
    if status == _TOO_MANY or status >= _SERVER_FAULT:
        wait = read_retry_after(headers.get("Retry-After"), now)
        raise DeliveryDelayed(f"the SMS provider answered {status}", wait)
    if not httpx2.codes.is_success(status):
        raise DeliveryRefused(f"the SMS provider answered {status}")


def _base_url(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    scheme = "http" if is_loopback(host) else "https"
    return f"{scheme}://{name}:{port}" if port else f"{scheme}://{name}"
