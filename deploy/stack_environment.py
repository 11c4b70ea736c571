"""Where a command finds the stack that it works on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.data_folder import DataFolder

if TYPE_CHECKING:
    from pathlib import Path


def find_environment(data_dir: Path) -> dict[str, str]:
    """Give the SWITCHYARD_* variables of the stack that runs on `data_dir`; variables that are set win.

    Without a running stack there are only the variables that are set. Raises StartFailed when
    the folder cannot be read.
    """
    folder = DataFolder(data_dir)
    found: dict[str, str] = {}
    if ready := folder.read_ready():
        secrets = folder.read_secrets()
        found = {
            "SWITCHYARD_DATABASE_URL": ready.database_url,
            "SWITCHYARD_REDIS_URL": ready.redis_url,
            "SWITCHYARD_API_URL": ready.api_url,
            "SWITCHYARD_EDGE_URL": ready.edge_url,
            "SWITCHYARD_API_PORT": str(urlsplit(ready.api_url).port),
            "SWITCHYARD_EDGE_PORT": str(urlsplit(ready.edge_url).port),
            "SWITCHYARD_JOURNAL_DIR": str(folder.journal),
            "SWITCHYARD_JWT_SECRET": secrets.jwt_secret,
            "SWITCHYARD_FINGERPRINT_SECRET": secrets.fingerprint_secret,
            "SWITCHYARD_MASTER_KEY": secrets.master_key,
            "SWITCHYARD_SMTP_URL": ready.smtp_url,
            "SWITCHYARD_SMS_URL": ready.sms_url,
        }
    return found | {name: value for name, value in os.environ.items() if value}
