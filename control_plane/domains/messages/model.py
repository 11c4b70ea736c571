"""Messages to people: what is to be sent, to whom, and in which language."""

from __future__ import annotations

import enum
import uuid
from typing import Any

import msgspec


class Template(enum.StrEnum):
    """Every message that there is; its texts are in control_plane/delivery/templates/.

    What each takes in `data`, all of it text or numbers; a key that is not there renders as nothing::

        VERIFY_EMAIL, VERIFY_PHONE, MFA_CODE   code, minutes
        PASSWORD_RESET                         token, minutes, link
        MFA_CHANGED                            change
        NEW_SIGN_IN                            device, address
        DOMAIN_LAPSED                          domain, reason
        ALREADY_REGISTERED, PASSWORD_CHANGED   nothing

    Any may have `product`, the name of what the account is for; else it is what the tenant sends mail as.
    `minutes`: how long a code or token counts; a message that is delivered later is of no use, and not sent.
    `link`: else it is made of SWITCHYARD_PASSWORD_RESET_URL and the token.
    """

    VERIFY_EMAIL = "verify_email"
    VERIFY_PHONE = "verify_phone"
    ALREADY_REGISTERED = "already_registered"
    PASSWORD_RESET = "password_reset"  # noqa: S105  the name of a template
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  the name of a template
    MFA_CODE = "mfa_code"
    MFA_CHANGED = "mfa_changed"
    NEW_SIGN_IN = "new_sign_in"
    DOMAIN_LAPSED = "domain_lapsed"


class Mail(msgspec.Struct, frozen=True, kw_only=True, tag="mail"):
    """An e-mail. `data`: what the template's placeholders are filled with."""

    tenant_id: uuid.UUID
    to: str
    template: Template
    language: str
    data: dict[str, Any]


class Sms(msgspec.Struct, frozen=True, kw_only=True, tag="sms"):
    """A text message. `to`: E.164."""

    tenant_id: uuid.UUID
    to: str
    template: Template
    language: str
    data: dict[str, Any]


class Push(msgspec.Struct, frozen=True, kw_only=True, tag="push"):
    """A notification to a user's browsers. `subscription_id`: to this one; None: to all of them."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    template: Template
    language: str
    data: dict[str, Any]
    subscription_id: uuid.UUID | None = None
