from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.chaos.chaos_stack import ChaosStack, chaos_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Form(msgspec.Struct, frozen=True):
    """How thorough the chaos is. `hold_s`: how long what was stopped stands still."""

    is_whole: bool
    hold_s: float


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", choices=["short", "whole"], default="short", help="every case, each for 10 s")


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos: {config.getoption('--chaos', 'short')}"


@pytest.fixture(scope="session")
def form(request: pytest.FixtureRequest) -> Form:
    is_whole = request.config.getoption("--chaos", "short") == "whole"
    return Form(is_whole, 10.0 if is_whole else 2.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[ChaosStack]:
    with chaos_stack(home, SWITCHYARD_SNAPSHOT_S="1") as stack:
        yield stack
