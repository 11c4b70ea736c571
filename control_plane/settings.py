"""Settings of the control plane, read once from SWITCHYARD_* environment variables.

README.md has the table of them; tests/test_settings.py fails when it omits one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from control_plane.core.dns_servers import read_servers
from control_plane.core.sealing import read_master_key
from control_plane.core.secure_urls import is_redirect_uri, is_secure
from edge.contract.redis_url import read_redis_url

if TYPE_CHECKING:
    from collections.abc import Mapping


def _variable(field: str) -> str:
    return f"SWITCHYARD_{field.upper()}"


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=_variable):
    """One field per variable: `api_port` is read from SWITCHYARD_API_PORT."""

    database_url: str
    redis_url: str
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_url: str = "http://127.0.0.1:8000"
    edge_url: str = "http://127.0.0.1:8080"
    jwt_secret: Annotated[str, msgspec.Meta(min_length=32)]
    jwt_previous_secret: str = ""
    jwt_issuer: str = "switchyard"
    master_key: str = ""
    previous_master_key: str = ""
    access_token_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 1800
    session_ttl_s: Annotated[int, msgspec.Meta(ge=3600)] = 2_592_000
    default_tenant: str = "demo"
    google_client_id: str = ""
    google_client_secret: str = ""
    google_issuer: str = "https://accounts.google.com"
    telegram_client_id: str = ""
    telegram_client_secret: str = ""
    telegram_issuer: str = "https://oauth.telegram.org"
    oauth_redirect_uris: str = ""
    trusted_proxies: str = ""
    links_key_prefix: str = "klinky_live_"
    key_requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 600
    blog_drafts_per_day: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10
    database_pool_size: Annotated[int, msgspec.Meta(ge=1, le=200)] = 10
    flusher_name: str = "flusher-1"
    ip_storage: Literal["full", "truncated", "none"] = "truncated"
    datacenter_networks: str = ""
    click_retention_months: Annotated[int, msgspec.Meta(ge=0)] = 0
    dns_resolvers: str = ""
    smtp_url: str = ""
    mail_from: str = "Switchyard <switchyard@localhost>"
    sms_url: str = ""
    password_reset_url: str = ""
    vapid_subject: str = ""
    allow_private_targets: bool = False

    def __post_init__(self) -> None:
        """Refuse what a type cannot tell."""
        read_redis_url(self.redis_url)
        for name in ("master_key", "previous_master_key"):
            try:
                if key := getattr(self, name):
                    read_master_key(key)
            except ValueError as error:
                raise ValueError(f"{_variable(name)} is no key: {error}") from error
        try:
            read_servers(self.dns_resolvers)
        except ValueError as error:
            raise ValueError(f"{_variable('dns_resolvers')} is malformed: {error}") from error
        for provider in ("google", "telegram"):
            self._check_provider(provider)
        for uri in self.allowed_redirect_uris:
            if not is_redirect_uri(uri):
                raise ValueError(
                    f"{_variable('oauth_redirect_uris')}: {uri!r} must be https, http to this machine,"
                    " or of an app's own scheme, without a fragment"
                )

    @property
    def allowed_redirect_uris(self) -> frozenset[str]:
        """Where a federated sign-in may come back to."""
        return frozenset(uri.strip() for uri in self.oauth_redirect_uris.split(",")) - {""}

    def _check_provider(self, provider: str) -> None:
        """Check that a provider has a secure issuer, and a client both of whose halves are there."""
        variable, issuer = _variable(provider), getattr(self, f"{provider}_issuer")
        if not is_secure(issuer) or "?" in issuer or "#" in issuer:
            raise ValueError(f"{variable}_ISSUER must be https, or http to this machine, got {issuer!r}")
        if bool(getattr(self, f"{provider}_client_id")) != bool(getattr(self, f"{provider}_client_secret")):
            raise ValueError(
                f"{variable}_CLIENT_ID and {variable}_CLIENT_SECRET are set together, or neither"
            )


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises ValueError naming the variable that is missing or malformed."""
    # An empty variable counts as one that is not set.
    values = {name: value for name, value in environment.items() if value}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
