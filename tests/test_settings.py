from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control_plane.settings import read_settings as read_control_plane_settings
from edge.settings import read_settings as read_edge_settings

if TYPE_CHECKING:
    from control_plane.settings import Settings as ControlPlaneSettings
    from edge.settings import Settings as EdgeSettings

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
NEEDED = {
    "SWITCHYARD_DATABASE_URL": "postgresql://localhost/x",
    "SWITCHYARD_REDIS_URL": "redis://localhost",
    "SWITCHYARD_JWT_SECRET": "s" * 32,
}


@pytest.mark.parametrize("settings", [read_control_plane_settings(NEEDED), read_edge_settings(NEEDED)])
def test_the_readme_lists_every_setting_with_its_default(
    settings: ControlPlaneSettings | EdgeSettings,
) -> None:
    for name in settings.__struct_fields__:
        variable = f"SWITCHYARD_{name.upper()}"
        row = next((line for line in README.splitlines() if f"| `{variable}` |" in line), None)
        assert row is not None, f"README.md does not list {variable}"
        stated = row.split("|")[2].strip().strip("`")
        if variable in NEEDED or stated in {"none", "made by `up"}:
            continue
        default = getattr(settings, name)
        assert stated == (f"{default:g}" if isinstance(default, float) else str(default))


def test_a_setting_that_is_missing_or_malformed_is_named() -> None:
    with pytest.raises(ValueError, match="SWITCHYARD_REDIS_URL"):
        read_edge_settings({})
    for read_settings in (read_edge_settings, read_control_plane_settings):
        with pytest.raises(ValueError, match="SWITCHYARD_REDIS_URL must begin with one of redis://"):
            read_settings(NEEDED | {"SWITCHYARD_REDIS_URL": "http://localhost"})
    with pytest.raises(ValueError, match=r"int.*SWITCHYARD_EDGE_PORT"):
        read_edge_settings(NEEDED | {"SWITCHYARD_EDGE_PORT": "eighty"})
    with pytest.raises(ValueError, match=r"32.*SWITCHYARD_JWT_SECRET"):
        read_control_plane_settings(NEEDED | {"SWITCHYARD_JWT_SECRET": "short"})
    with pytest.raises(ValueError, match="SWITCHYARD_JOURNAL_BUDGET_MB"):
        read_edge_settings(
            NEEDED | {"SWITCHYARD_JOURNAL_BUDGET_MB": "20", "SWITCHYARD_JOURNAL_SEGMENT_MB": "32"}
        )


def test_providers_and_redirect_uris_are_secure_and_whole() -> None:
    for change, named in [
        ({"SWITCHYARD_GOOGLE_ISSUER": "http://accounts.google.com"}, "GOOGLE_ISSUER must be https"),
        ({"SWITCHYARD_TELEGRAM_ISSUER": "https://a.test/?x"}, "TELEGRAM_ISSUER must be https"),
        ({"SWITCHYARD_GOOGLE_CLIENT_ID": "x"}, "GOOGLE_CLIENT_SECRET are set together"),
        (
            {"SWITCHYARD_OAUTH_REDIRECT_URIS": "https://a.test/b,http://a.test/b"},
            "OAUTH_REDIRECT_URIS: 'http:",
        ),
    ]:
        with pytest.raises(ValueError, match=named):
            read_control_plane_settings(NEEDED | change)
    settings = read_control_plane_settings(
        NEEDED | {"SWITCHYARD_OAUTH_REDIRECT_URIS": " https://a.test/b , test.acme.app:/b,"}
    )
    assert settings.allowed_redirect_uris == {"https://a.test/b", "test.acme.app:/b"}
