"""Hand e-mails to an SMTP server."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
import msgspec

from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused

if TYPE_CHECKING:
    from email.message import EmailMessage

ANSWER_S: Final = 30.0
"""How long a server may take for one answer."""

LONGEST_ANSWER: Final = 200
PERMANENT: Final = 500
"""Answers from this code on are final (RFC 5321, 4.2.1)."""

PORTS: Final = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT: Final = 587

_FORM: Final = (
    "SWITCHYARD_SMTP_URL must be as in: smtp://user:password@mail.example.com:587?starttls=always; "
    "smtps:// for TLS from the start; starttls is one of always, auto and never"
)


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail is handed in. `start_tls`: None where it is done if the server offers it."""

    host: str
    port: int
    use_tls: bool
    start_tls: bool | None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Keep the password out of logs."""
        return f"SmtpServer({self.host!r}, {self.port})"


def read_smtp_url(url: str) -> SmtpServer:
    """Read SWITCHYARD_SMTP_URL. Raises ValueError, without the URL in it: a password may be.

    A password is only sent over TLS, unless the server is this machine or `starttls=never` says otherwise.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        choice = query.pop("starttls", [""])[-1]
    except ValueError as error:
        raise ValueError(_FORM) from error
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or query:
        raise ValueError(_FORM)
    if choice not in {"", "always", "auto", "never"} or (parts.scheme == "smtps" and choice):
        raise ValueError(_FORM)
    wanted: dict[str, bool | None] = {"always": True, "auto": None, "never": False}
    default = True if parts.password and not is_loopback(host) else None
    return SmtpServer(
        host=host,
        port=port or (SUBMISSION_PORT if parts.username and parts.scheme == "smtp" else PORTS[parts.scheme]),
        use_tls=parts.scheme == "smtps",
        start_tls=False if parts.scheme == "smtps" else wanted.get(choice, default),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host in a setting is this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def send_mail(server: SmtpServer, message: EmailMessage) -> None:
    """Hand a mail in. Raises DeliveryDelayed, DeliveryRefused."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.use_tls,
        start_tls=server.start_tls,
        username=server.username,
        password=server.password,
        timeout=ANSWER_S,
    )
    try:
        # Whatever is wrong before it has been told of the mail is not wrong with the mail.
        await client.connect()
    except (aiosmtplib.SMTPException, OSError) as error:
        raise DeliveryDelayed(f"the SMTP server cannot be used: {_explain(error)}") from None
    try:
        await client.send_message(message)
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _judge(error.recipients[0]) from None
    except aiosmtplib.SMTPResponseException as error:
        raise _judge(error) from None
    except aiosmtplib.SMTPNotSupported as error:
        raise DeliveryRefused(f"the SMTP server cannot carry it: {_explain(error)}") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise DeliveryDelayed(f"the SMTP server did not take it: {_explain(error)}") from None
    finally:
        # Once it has taken the mail, how it says goodbye does not matter.
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=1)
        client.close()


def _judge(error: aiosmtplib.SMTPResponseException) -> DeliveryDelayed | DeliveryRefused:
    kind: type[DeliveryDelayed | DeliveryRefused]
    kind = DeliveryRefused if error.code >= PERMANENT else DeliveryDelayed
    return kind(f"the SMTP server answered {error.code}: {_shorten(error.message)}")


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {_shorten(str(error))}"


def _shorten(text: str) -> str:
    return " ".join(text.split())[:LONGEST_ANSWER]
