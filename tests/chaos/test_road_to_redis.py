"""The connections of shippers, feeds, flushers and publisher to Redis are slow, blocked, cut, refused."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from deploy.embedded import EmbeddedValkey, RunningServer, make_server_folder
from tests.chaos.cases import Case, assert_case
from tests.chaos.chaos_stack import ChaosStack, chaos_stack
from tests.chaos.slow_road import SlowRoad

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos, road to Redis")

SLOW_S = 0.3
"""How long a slow Redis takes over each answer; a second is when the edge gives up on it."""


@pytest.fixture(scope="module")
def valkey(home: Path) -> Iterator[EmbeddedValkey]:
    folder = make_server_folder(home / "valkey")
    valkey = EmbeddedValkey(folder, secrets.token_hex(16))
    running = RunningServer(valkey, home / "valkey.log")
    running.start()
    yield valkey
    running.stop()


@pytest.fixture(scope="module")
def road(valkey: EmbeddedValkey, form: Form) -> Iterator[SlowRoad]:
    if not form.is_whole:
        pytest.skip("part of ./switchyard test chaos")
    with SlowRoad(valkey.port) as road:
        yield road


@pytest.fixture(scope="module")
def stack(home: Path, valkey: EmbeddedValkey, road: SlowRoad) -> Iterator[ChaosStack]:
    url = valkey.url.replace(f":{valkey.port}/", f":{road.port}/")
    with chaos_stack(home / "stack", SWITCHYARD_REDIS_URL=url, SWITCHYARD_SNAPSHOT_S="1") as stack:
        yield stack


async def test_slow(stack: ChaosStack, road: SlowRoad, form: Form) -> None:
    case = Case("slow", road.slow(SLOW_S), ("ms to answer",), refuses=True)
    await assert_case(stack, case, form.hold_s)


async def test_blocked(stack: ChaosStack, road: SlowRoad, form: Form) -> None:
    case = Case("blocked", road.blocked, ("Redis does not answer: clicks stay in the journal",))
    await assert_case(stack, case, form.hold_s)


async def test_closed(stack: ChaosStack, road: SlowRoad, form: Form) -> None:
    case = Case(
        "closed", road.closed, ("redis: Redis at", "Redis does not answer: clicks stay in the journal")
    )
    await assert_case(stack, case, form.hold_s)
