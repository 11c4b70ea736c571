"""Against a local counterpart of the providers, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused
from control_plane.delivery.sms import read_sms_url, send_sms
from control_plane.domains.messages.model import Sms, Template
from tests.support import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
TEXT = "Your sign-in code for Acme is 314159. It counts for 5 minutes. Tell it to nobody."


class Provider:
    """Answers every request with `status`, and keeps the last one."""

    def __init__(self) -> None:
        self.status = 200
        self.extra = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.address = ""

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode(), strict_parsing=True).items()}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Provider]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        self.path = first.split()[1]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.body = await reader.readexactly(int(self.headers["content-length"]))
        head = f"HTTP/1.1 {self.status} x\r\n{self.extra}Content-Length: 2\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}{{}}".encode())
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider().running() as provider:
        yield provider


async def send(url: str, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "tenant_id": uuid.uuid4(),
        "to": "+5511987654321",
        "template": Template.MFA_CODE,
        "language": "en",
        "data": {"code": "314159", "minutes": 5},
    }
    await send_sms(read_sms_url(url), Sms(**fields | changes), "Acme", NOW)


class TestTwilio:
    async def test_posts_a_form_with_basic_credentials(self, provider: Provider) -> None:
        provider.status = 201
        await send(f"twilio://AC1:to%2Fken@{provider.address}?from=+15005550006")
        assert provider.path == "/2010-04-01/Accounts/AC1/Messages.json"
        assert provider.headers["authorization"] == "Basic " + base64.b64encode(b"AC1:to/ken").decode()
        assert provider.form == {"To": "+5511987654321", "From": "+15005550006", "Body": TEXT}

    async def test_a_messaging_service(self, provider: Provider) -> None:
        await send(f"twilio://AC1:token@{provider.address}?from=MG123")
        assert provider.form["MessagingServiceSid"] == "MG123"
        assert "From" not in provider.form


class TestKavenegar:
    async def test_sends_a_text(self, provider: Provider) -> None:
        await send(f"kavenegar://KEY@{provider.address}?sender=1000")
        assert provider.path == "/v1/KEY/sms/send.json"
        assert provider.form == {"receptor": "005511987654321", "message": TEXT, "sender": "1000"}

    async def test_looks_a_template_up_for_codes(self, provider: Provider) -> None:
        url = f"kavenegar://KEY@{provider.address}?template=login"
        await send(url)
        assert provider.path == "/v1/KEY/verify/lookup.json"
        assert provider.form == {"receptor": "005511987654321", "token": "314159", "template": "login"}
        await send(url, template=Template.PASSWORD_CHANGED, data={})
        assert provider.path == "/v1/KEY/sms/send.json"


async def test_catcher(provider: Provider) -> None:
    await send(f"catcher://{provider.address}")
    assert provider.path == "/sms"
    assert json.loads(provider.body) == {"to": "+5511987654321", "text": TEXT}


@pytest.mark.parametrize("status", [400, 401, 404, 302])
async def test_what_is_refused_for_good(provider: Provider, status: int) -> None:
    provider.status = status
    with pytest.raises(DeliveryRefused, match=str(status)):
        await send(f"kavenegar://KEY@{provider.address}")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_succeed_later(provider: Provider, status: int) -> None:
    provider.status, provider.extra = status, "Retry-After: 120\r\n"
    with pytest.raises(DeliveryDelayed, match=str(status)) as delay:
        await send(f"kavenegar://KEY@{provider.address}")
    assert delay.value.retry_after == timedelta(seconds=120)


async def test_nobody_there_and_the_key_is_not_said() -> None:
    with pytest.raises(DeliveryDelayed) as delay:
        await send(f"kavenegar://SECRET@127.0.0.1:{free_port()}")
    assert "SECRET" not in str(delay.value)


@pytest.mark.parametrize("number", ["", "5511987654321", "+0511987654321", "+55 11", "+1" * 20, "+٣٤٥٦٧٨٩"])
async def test_what_is_no_number_is_not_sent(provider: Provider, number: str) -> None:
    with pytest.raises(DeliveryRefused):
        await send(f"catcher://{provider.address}", to=number)
    assert provider.path == ""


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("twilio://AC1:t@?from=+1", "https://api.twilio.com"),
        ("twilio://AC1:t@proxy.test:8443?from=+1", "https://proxy.test:8443"),
        ("kavenegar://KEY@", "https://api.kavenegar.com"),
        ("kavenegar://KEY@localhost:80", "http://localhost:80"),
    ],
)
def test_http_is_for_this_machine_only(url: str, base_url: str) -> None:
    assert read_sms_url(url).base_url == base_url  # type: ignore[attr-defined]
