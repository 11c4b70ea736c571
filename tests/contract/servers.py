"""A running API, asked by schemathesis whatever a document allows."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from tests.support import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest
    import schemathesis
    from schemathesis import BaseSchema

    from control_plane.settings import Settings

START_TIMEOUT_S: Final = 20

SETTINGS: Final = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@contextlib.contextmanager
def serve(config: Settings, **variables: str) -> Iterator[str]:
    """Run the API under Granian; give its address once it answers. `variables`: more of its environment."""
    port = free_port()
    environment = os.environ | {
        "SWITCHYARD_DATABASE_URL": config.database_url,
        "SWITCHYARD_REDIS_URL": config.redis_url,
        "SWITCHYARD_JWT_SECRET": config.jwt_secret,
        "SWITCHYARD_MASTER_KEY": "00" * 32,
        **variables,
    }
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory"]
    command += ["--host", "127.0.0.1", "--port", str(port), "control_plane.app:create_app"]
    process = subprocess.Popen(command, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"{address}/api/v1/public/health"):
            assert time.monotonic() < deadline, "the API does not answer"
            assert process.poll() is None, "the API ended"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def probe_all(schema: BaseSchema, subtests: pytest.Subtests, excluded: Sequence[Any]) -> None:
    """Ask every operation of a document, in all ways that it allows, and check what is answered.

    `excluded`: checks that are left out.
    """
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        with subtests.test(operation=operation.label):

            @SETTINGS
            @given(case=operation.as_strategy())
            def probe(case: schemathesis.Case[Any]) -> None:
                case.call_and_validate(excluded_checks=list(excluded))

            probe()
