"""Two things go wrong at the same time under load; what was answered has one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cases import NO_FLUSHER, NO_POSTGRES, NO_REDIS, Case, assert_case
from tests.chaos.chaos_stack import EDGES
from tests.chaos.disturbances import (
    edges_restarted_without_stores,
    killed,
    killed_unwatched,
    redis_stays_empty,
    stopped,
    together,
)

if TYPE_CHECKING:
    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos, two at once")

CASES = [
    # The supervisor, which would start another, and each of the others in turn.
    Case("edge killed unwatched", killed_unwatched("edge-1"), ("edge-1 (process", "has ended"), breaks=True),
    Case("flusher killed unwatched", killed_unwatched("flusher"), ("flusher (process", *NO_FLUSHER)),
    Case("publisher killed unwatched", killed_unwatched("publisher"), ("publisher (process", "has ended")),
    Case("api killed unwatched", killed_unwatched("api"), ("api (process", "The API at")),
    Case("valkey killed unwatched", killed_unwatched("valkey"), ("valkey (process", *NO_REDIS)),
    Case("postgres killed unwatched", killed_unwatched("postgres"), ("postgres (process", *NO_POSTGRES)),
    # Any other two.
    Case("edge and flusher killed", killed("edge-1", "flusher"), breaks=True, is_short=True),
    Case("edge and valkey killed", killed("edge-1", "valkey"), breaks=True, forgets=True),
    Case("edge and postgres killed", killed("edge-1", "postgres"), breaks=True),
    Case("edge and publisher killed", killed("edge-1", "publisher"), breaks=True),
    Case("flusher and valkey killed", killed("flusher", "valkey")),
    Case("flusher and postgres killed", killed("flusher", "postgres")),
    Case("publisher and valkey killed", killed("publisher", "valkey")),
    Case("publisher and postgres killed", killed("publisher", "postgres")),
    Case("api and valkey killed", killed("api", "valkey")),
    Case("api and postgres killed", killed("api", "postgres")),
    Case("valkey and postgres killed", killed("valkey", "postgres"), is_short=True),
    Case("valkey and postgres stopped", stopped("valkey", "postgres"), (*NO_REDIS, *NO_POSTGRES)),
    Case("edge and flusher stopped", stopped("edge-1", "flusher"), ("edge-1 (", "flusher ("), breaks=True),
    Case("publisher and api stopped", stopped("publisher", "api"), ("publisher (process", "The API at")),
    Case(
        "postgres stopped, flusher killed",
        together(stopped("postgres"), killed("flusher")),
        NO_POSTGRES,
    ),
    Case(
        "valkey stopped, edge killed",
        together(stopped("valkey"), killed("edge-1")),
        NO_REDIS,
        breaks=True,
        forgets=True,
    ),
    Case(
        "edges restarted without Redis and Postgres",
        edges_restarted_without_stores,
        ("Links come from a snapshot", *NO_POSTGRES),
        breaks=True,
        forgets=True,
        is_short=True,
    ),
    Case(
        "edges restarted beside an empty Redis",
        together(redis_stays_empty, killed(*EDGES)),
        ("Links come from a snapshot", "Redis does not have every link"),
        breaks=True,
        forgets=True,
        is_short=True,
    ),
    Case("Redis stays empty", redis_stays_empty, ("Redis does not have every link",), refuses=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_loses_nothing(stack: ChaosStack, case: Case, form: Form) -> None:
    if not (case.is_short or form.is_whole):
        pytest.skip("part of ./switchyard test chaos")
    await assert_case(stack, case, form.hold_s)
