"""Settings of the edge, read once from SWITCHYARD_* environment variables.

README.md has the table of them; tests/test_settings.py fails when it omits one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.contract.redis_keys import GROUPS
from edge.contract.redis_url import read_redis_url

if TYPE_CHECKING:
    from collections.abc import Mapping


def _variable(field: str) -> str:
    return f"SWITCHYARD_{field.upper()}"


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=_variable):
    """One field per variable: `edge_port` is read from SWITCHYARD_EDGE_PORT."""

    redis_url: str
    edge_host: str = "127.0.0.1"
    edge_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8080
    edge_server: Literal["wire", "granian"] = "wire"
    edge_socket: str = ""
    edge_proxy_protocol: Literal["off", "on"] = "off"
    edge_cpu: Annotated[int, msgspec.Meta(ge=-1)] = -1
    edge_access_log: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    edge_header_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    edge_idle_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 75.0
    edge_header_kb: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    edge_body_kb: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 64
    edge_requests_per_connection: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    edge_connections: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    edge_connections_per_address: Annotated[int, msgspec.Meta(ge=1)] = 2000
    journal_dir: str = "var/journal"
    journal_budget_mb: Annotated[int, msgspec.Meta(ge=16)] = 4096
    journal_segment_mb: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    journal_sync: Literal["never", "interval", "always"] = "never"
    journal_sync_ms: Annotated[int, msgspec.Meta(ge=1)] = 1000
    ship_ms: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    ship_window_mb: Annotated[int, msgspec.Meta(ge=1)] = 128
    event_partitions: Annotated[int, msgspec.Meta(ge=0, le=GROUPS)] = 0
    link_cache_size: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    unknown_link_ttl_s: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    snapshot_dir: str = ""
    snapshot_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    trusted_proxies: str = ""
    country_header: str = "CF-IPCountry"
    geo_database: str = ""
    cookie_max_age_s: Annotated[int, msgspec.Meta(ge=1)] = 90 * 86_400
    fingerprint_secret: str = ""

    def __post_init__(self) -> None:
        """Refuse what no single field can tell."""
        read_redis_url(self.redis_url)
        if self.journal_budget_mb < self.journal_segment_mb:
            raise ValueError(
                f"SWITCHYARD_JOURNAL_BUDGET_MB ({self.journal_budget_mb}) must hold at least one segment"
                f" (SWITCHYARD_JOURNAL_SEGMENT_MB: {self.journal_segment_mb})"
            )


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises ValueError naming the variable that is missing or malformed."""
    # An empty variable counts as one that is not set.
    values = {name: value for name, value in environment.items() if value}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def snapshot_path(settings: Settings) -> Path:
    """Give the file with this host's links, by default beside the folder of its journals."""
    journals = Path(settings.journal_dir)
    folder = Path(settings.snapshot_dir) if settings.snapshot_dir else journals.parent
    return folder / f"{journals.name}.links"
