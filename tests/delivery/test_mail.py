from __future__ import annotations

import email
import email.policy
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.delivery.branding import Branding
from control_plane.delivery.mail import compose, read_sender
from control_plane.delivery.outcomes import DeliveryRefused
from control_plane.delivery.smtp import SmtpServer, read_smtp_url
from control_plane.domains.messages.model import Mail, Template

if TYPE_CHECKING:
    from email.message import EmailMessage

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)


def make(branding: Branding | None = None, **changes: Any) -> EmailMessage:
    """Compose a mail and read it again, as a receiver does."""
    fields: dict[str, Any] = {
        "tenant_id": uuid.uuid4(),
        "to": "ann@example.com",
        "template": Template.NEW_SIGN_IN,
        "language": "pt-BR",
        "data": {"device": "Firefox", "address": "192.0.2.7"},
    }
    sender = read_sender("Switchyard <no-reply@switchyard.test>")
    composed = compose(
        Mail(**fields | changes), branding or Branding(), sender=sender, identity="7.ab", now=NOW
    )
    return email.message_from_bytes(composed.as_bytes(), policy=email.policy.default)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


def test_the_headers() -> None:
    message = make()
    assert message["From"] == "Switchyard <no-reply@switchyard.test>"
    assert message["To"] == "ann@example.com"
    assert message["Date"] == "Mon, 04 May 2026 10:20:30 +0000"
    assert message["Message-ID"] == "<7.ab@switchyard.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "pt-BR"
    assert message["Reply-To"] is None


def test_text_and_html_in_utf_8() -> None:
    message = make(data={"device": "Telefon „Zoë“ 電話"})
    assert message.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        assert "„Zoë“ 電話" in body(message, kind)
        assert "até agora desconhecido" in body(message, kind)
    assert '<html lang="pt-BR">' in body(message, "html")


def test_branding() -> None:
    footer = "<p>Acme &amp; Söhne<br>Berlin</p><style>p{}</style>"
    message = make(Branding("Acme", "help@acme.test", footer))
    assert message["From"] == "Acme <no-reply@switchyard.test>"
    assert message["Reply-To"] == "help@acme.test"
    assert "Acme" in message["Subject"]
    assert footer in body(message, "html")
    assert body(message, "plain").splitlines()[-2:] == ["-- ", "Acme & Söhne Berlin"]


EVIL = "x\r\nBcc: victim@example.com\r\n\r\nbody"


@pytest.mark.parametrize(
    "message",
    [
        lambda: make(Branding(EVIL)),
        lambda: make(Branding("", f"a@b.test{EVIL}")),
        lambda: make(data={"product": EVIL, "device": EVIL}),
        lambda: make(language=EVIL),
    ],
)
def test_no_value_begins_a_header(message: Any) -> None:
    made = message()
    assert made["Bcc"] is None
    assert made["Auto-Submitted"] == "auto-generated"
    assert not made.defects


@pytest.mark.parametrize(
    "address",
    ["", "ann", "@b.test", "ann@", "a b@c.test", f"a@b.test{EVIL}", "x" * 250 + "@b.test"],
)
def test_who_is_nobody_is_refused(address: str) -> None:
    with pytest.raises(DeliveryRefused):
        make(to=address)


def test_a_domain_in_other_letters_is_written_as_the_dns_has_it() -> None:
    assert make(to="ann@Bücher.example")["To"] == "ann@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.test", SmtpServer(host="mail.test", port=25, use_tls=False, start_tls=None)),
        ("smtp://mail.test:2525?starttls=always",
         SmtpServer(host="mail.test", port=2525, use_tls=False, start_tls=True)),
        ("smtp://mail.test?starttls=never",
         SmtpServer(host="mail.test", port=25, use_tls=False, start_tls=False)),
        ("smtps://mail.test", SmtpServer(host="mail.test", port=465, use_tls=True, start_tls=False)),
        ("smtp://a%40b:p%3Aw@mail.test",
         SmtpServer(host="mail.test", port=587, use_tls=False, start_tls=True,
                    username="a@b", password="p:w")),
        ("smtp://u:p@127.0.0.1:25",
         SmtpServer(host="127.0.0.1", port=25, use_tls=False, start_tls=None, username="u", password="p")),
        ("smtp://u:p@mail.test?starttls=auto",
         SmtpServer(host="mail.test", port=587, use_tls=False, start_tls=None, username="u", password="p")),
    ],
)  # fmt: skip
def test_urls_of_servers(url: str, server: SmtpServer) -> None:
    assert read_smtp_url(url) == server


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(read_smtp_url("smtp://u:secret@mail.test"))
