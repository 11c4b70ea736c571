"""What somebody says of who they are, and what is known of it."""

from __future__ import annotations

import msgspec

from control_plane.domains.users.model import Language, User


class Identifier(msgspec.Struct, frozen=True):
    """How a user is called at sign-in: an e-mail address, or a phone number in E.164."""

    email: str | None = None
    phone_number: str | None = None

    @property
    def text(self) -> str:
        """The same text for whatever is compared as the same."""
        return (self.email or "").lower() or self.phone_number or ""


class Candidate(msgspec.Struct, frozen=True):
    """Whom an identifier means. `user`: None for nobody. `password_hash`: None where there is none."""

    user: User | None = None
    password_hash: str | None = None
    is_locked: bool = False

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return "Candidate()"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who wants to be a user. `password_hash`: argon2id."""

    identifier: Identifier
    password_hash: str
    full_name: str | None
    affiliate_code: str | None
    accepts_terms: bool
    language: Language

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return "Registration()"
