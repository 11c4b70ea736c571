"""Messages to people: what is to be sent, to whom, and in which language."""

from __future__ import annotations

import enum
import uuid
from typing import Any

import msgspec


class Template(enum.StrEnum):
    """Every message that there is; its texts are in control_plane/jobs/templates/."""

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
    """A notification to all browsers of a user."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    template: Template
    language: str
    data: dict[str, Any]
