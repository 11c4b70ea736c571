"""Federated sign-in: providers, the way to them and back, and who a user is there."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

import msgspec


class ProviderName(enum.StrEnum):
    """Every provider that there is."""

    GOOGLE = "google"
    TELEGRAM = "telegram"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenID provider, and who we are to it.

    `issuers`: what its tokens may name as their issuer, exactly; `issuer` is what identities are kept
    under. `echoes_nonce`: whether its tokens always have the nonce; Telegram's may not. There the code
    still works only with our verifier (PKCE), so nobody can slip in a code of another attempt.
    """

    name: ProviderName
    issuer: str
    issuers: frozenset[str]
    client_id: str
    client_secret: str
    scope: str
    echoes_nonce: bool = True

    def __repr__(self) -> str:
        """Keep the secret out of logs."""
        return f"Provider({self.name.value!r}, {self.issuer!r})"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who went to a provider and is to come back.

    `state_hash`: SHA-256. `sealed_verifier`: the PKCE verifier. `user_id`: whose account is to be
    linked, None for a sign-in.
    """

    provider: ProviderName
    state_hash: bytes
    nonce: str
    sealed_verifier: bytes
    redirect_uri: str
    user_id: uuid.UUID | None
    created_at: datetime
    expires_at: datetime


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is about to begin, with what only the provider and the client get to see of it."""

    attempt: Attempt
    state: str
    code_challenge: str

    def __repr__(self) -> str:
        """Keep the state out of logs."""
        return f"Departure({self.attempt.provider.value!r})"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who came back, as the provider vouches. `email`: None unless the provider has verified it."""

    provider: ProviderName
    issuer: str
    subject: str
    email: str | None
    full_name: str | None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a user is at a provider. `email`: as the provider told it when the link was made."""

    provider: ProviderName
    issuer: str
    subject: str
    email: str | None
    created_at: datetime


def configure_google(issuer: str, client_id: str, client_secret: str) -> Provider:
    """Describe Google, which names itself in its tokens with or without the scheme."""
    return Provider(
        name=ProviderName.GOOGLE,
        issuer=issuer,
        issuers=frozenset({issuer, issuer.partition("://")[2]}),
        client_id=client_id,
        client_secret=client_secret,
        scope="openid email profile",
    )


def configure_telegram(issuer: str, client_id: str, client_secret: str) -> Provider:
    """Describe Telegram, which knows no addresses and does not give the nonce back."""
    return Provider(
        name=ProviderName.TELEGRAM,
        issuer=issuer,
        issuers=frozenset({issuer}),
        client_id=client_id,
        client_secret=client_secret,
        scope="openid profile",
        echoes_nonce=False,
    )
